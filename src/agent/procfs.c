/* Readings of the host itself: live data without a sensor. Units are those of
 * SenML's registry (RFC 8428 section 12.1, RFC 8798 for bytes). */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "poa_agent.h"

#define ZONES_MAX 4
#define SECTOR    512

struct sink {
    struct agent_reading *out;
    size_t n;
    uint64_t now_ms;
};

static struct agent_reading *add(struct sink *s, const char *name, const char *unit)
{
    if (s->n == AGENT_PROCFS_MAX)
        return NULL;
    struct agent_reading *r = &s->out[s->n++];
    snprintf(r->name, sizeof r->name, "%s", name);
    r->unit = unit;
    r->time_ms = s->now_ms;
    return r;
}

static void add_count(struct sink *s, const char *name, const char *unit, uint64_t v)
{
    struct agent_reading *r = add(s, name, unit);
    if (r)
        snprintf(r->number, sizeof r->number, "%" PRIu64, v);
}

static void add_milli(struct sink *s, const char *name, const char *unit, int64_t v)
{
    struct agent_reading *r = add(s, name, unit);
    uint64_t m = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    if (r)
        snprintf(r->number, sizeof r->number, "%s%" PRIu64 ".%03" PRIu64, v < 0 ? "-" : "",
                 m / 1000, m % 1000);
}

static FILE *open_file(const struct agent_procfs *p, const char *path)
{
    char full[512];
    int n = snprintf(full, sizeof full, "%s%s", p->root, path);
    return n < 0 || n >= (int)sizeof full ? NULL : fopen(full, "re");
}

static void load(const struct agent_procfs *p, struct sink *s)
{
    double v;
    FILE *f = open_file(p, "/proc/loadavg");
    if (!f)
        return;
    if (fscanf(f, "%lf", &v) == 1 && v >= 0 && v < 1e6)
        add_milli(s, "load", NULL, (int64_t)(v * 1000 + 0.5));
    fclose(f);
}

/* Share of the processors' time since the last sample. */
static void processor(struct agent_procfs *p, struct sink *s)
{
    uint64_t t[8] = {0};
    FILE *f = open_file(p, "/proc/stat");
    if (!f)
        return;
    int got = fscanf(f,
                     "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                     " %" SCNu64 " %" SCNu64,
                     &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]);
    fclose(f);
    if (got < 4)
        return;
    uint64_t total = 0, idle = t[3] + t[4];
    for (int i = 0; i < 8; i++)
        total += t[i];
    uint64_t busy = total - idle;
    if (p->total && total > p->total && busy >= p->busy)
        add_milli(s, "cpu", "/", (int64_t)((busy - p->busy) * 1000 / (total - p->total)));
    p->busy = busy;
    p->total = total;
}

static void memory(const struct agent_procfs *p, struct sink *s)
{
    char line[256], key[64];
    uint64_t kib;
    FILE *f = open_file(p, "/proc/meminfo");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%63[^:]: %" SCNu64, key, &kib) != 2)
            continue;
        if (!strcmp(key, "MemTotal"))
            add_count(s, "mem_total", "B", kib * 1024);
        else if (!strcmp(key, "MemAvailable"))
            add_count(s, "mem_available", "B", kib * 1024);
    }
    fclose(f);
}

/* Whole disks only: partitions and layers on top would count twice. */
static bool whole_disk(const char *name)
{
    size_t n = strlen(name);
    if (!n || !strncmp(name, "loop", 4) || !strncmp(name, "ram", 3) || !strncmp(name, "dm-", 3) ||
        !strncmp(name, "md", 2) || !strncmp(name, "zram", 4) || !strncmp(name, "sr", 2))
        return false;
    if (!strncmp(name, "nvme", 4) || !strncmp(name, "mmcblk", 6))
        return !strchr(name + 4, 'p');
    return !isdigit((unsigned char)name[n - 1]);
}

static void disks(const struct agent_procfs *p, struct sink *s)
{
    char line[512], name[64];
    uint64_t in, out, all_in = 0, all_out = 0;
    bool any = false;
    FILE *f = open_file(p, "/proc/diskstats");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%*u %*u %63s %*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64, name, &in,
                   &out) != 3 ||
            !whole_disk(name))
            continue;
        any = true;
        all_in += in * SECTOR;
        all_out += out * SECTOR;
    }
    fclose(f);
    if (any) {
        add_count(s, "disk_read", "B", all_in);
        add_count(s, "disk_written", "B", all_out);
    }
}

static void network(const struct agent_procfs *p, struct sink *s)
{
    char line[512], name[64];
    uint64_t in, out, all_in = 0, all_out = 0;
    FILE *f = open_file(p, "/proc/net/dev");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, " %63[^:]: %" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, name, &in,
                   &out) != 3 ||
            !strcmp(name, "lo"))
            continue;
        all_in += in;
        all_out += out;
    }
    fclose(f);
    add_count(s, "net_received", "B", all_in);
    add_count(s, "net_sent", "B", all_out);
}

static void temperatures(const struct agent_procfs *p, struct sink *s)
{
    for (int i = 0; i < ZONES_MAX; i++) {
        char path[64], name[16];
        long milli;
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", i);
        FILE *f = open_file(p, path);
        if (!f)
            return;
        if (fscanf(f, "%ld", &milli) == 1 && milli > -273150 && milli < 1000000) {
            snprintf(name, sizeof name, "temp%d", i);
            add_milli(s, name, "Cel", milli);
        }
        fclose(f);
    }
}

size_t agent_procfs_read(struct agent_procfs *p, uint64_t now_ms,
                         struct agent_reading out[AGENT_PROCFS_MAX])
{
    struct sink s = {.out = out, .now_ms = now_ms};
    load(p, &s);
    processor(p, &s);
    memory(p, &s);
    disks(p, &s);
    network(p, &s);
    temperatures(p, &s);
    return s.n;
}
