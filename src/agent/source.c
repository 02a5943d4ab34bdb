/* A source of readings, and the packs made of what it says. A sample is never
 * split over two packs, so that the cursor of a pack is a place to go on from. */
#include <stdlib.h>
#include <string.h>

#include "poa_agent.h"
#include "poa_log.h"

struct agent_source {
    struct agent_keep *keep;
    struct agent_csv *csv; /* or a command, or the host's own readings */
    struct agent_exec *exec;
    struct agent_procfs procfs;
    char base_name[64];
    uint64_t readings;

    /* The pack under construction. */
    uint8_t content[POA_EDGE_PACK_CONTENT];
    struct poa_writer w;
    struct poa_senml senml;
    bool begun;
    uint64_t cursor; /* after its last sample */
};

int agent_source_open(const char *spec, const uint8_t device32[32], struct agent_keep *keep,
                      struct agent_source **out, struct poa_why *why)
{
    struct agent_source *s = calloc(1, sizeof *s);
    if (!s)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    char hex[17];
    poa_hex(device32, 8, hex);
    strcpy(s->base_name, "urn:dev:poa:");
    strcat(s->base_name, hex);
    strcat(s->base_name, ":");
    s->keep = keep;
    s->procfs.root = "";
    int e = POA_OK;
    if (!strncmp(spec, "csv:", 4)) {
        e = agent_csv_open(spec + 4, &s->csv, why);
        /* Where the last durable pack ended. */
        if (!e && agent_keep_cursor(keep)) {
            e = agent_csv_seek(s->csv, agent_keep_cursor(keep));
            if (e == POA_E_RANGE)
                poa_because(why, e, "%s is shorter than what was read of it before", spec + 4);
        }
    } else if (!strncmp(spec, "exec:", 5)) {
        e = agent_exec_open(spec + 5, &s->exec, why);
    } else if (strcmp(spec, "procfs")) {
        e = poa_because(why, POA_E_CONFIG, "source %s is not procfs, csv:FILE or exec:COMMAND",
                        spec);
    }
    if (e) {
        agent_source_close(s);
        return e;
    }
    *out = s;
    return POA_OK;
}

void agent_source_close(struct agent_source *s)
{
    if (!s)
        return;
    agent_csv_close(s->csv);
    agent_exec_close(s->exec);
    free(s);
}

int agent_source_flush(struct agent_source *s)
{
    if (!s->begun)
        return POA_OK;
    struct poa_pack p = {.seq = agent_keep_next_seq(s->keep),
                         .from_ms = s->senml.from_ms,
                         .to_ms = s->senml.to_ms,
                         .readings = s->senml.count};
    struct poa_writer w = s->w;
    struct poa_senml end = s->senml;
    end.w = &w;
    int e = poa_senml_end(&end);
    if (e)
        return e;
    p.content = poa_written(&w);
    e = agent_keep_push(s->keep, &p, s->cursor);
    if (!e)
        s->begun = false;
    return e;
}

/* All of R, or nothing and POA_E_BUFFER. */
static int add_sample(struct agent_source *s, const struct agent_reading *r, size_t n)
{
    if (!s->begun) {
        s->w = poa_writer_over(s->content, sizeof s->content);
        poa_senml_begin(&s->senml, &s->w, s->base_name, r[0].time_ms);
    }
    struct poa_writer w = s->w;
    struct poa_senml senml = s->senml;
    for (size_t i = 0; i < n; i++) {
        int e = poa_senml_add_text(&s->senml, r[i].name, r[i].unit, r[i].time_ms, r[i].number,
                                   strlen(r[i].number));
        if (e == POA_E_BUFFER) {
            s->w = w;
            s->senml = senml;
            return e;
        }
        if (e)
            POA_LOG_LIMITED(60000, POA_LOG_WARN, "source", "reading %s is left out: %s", r[i].name,
                            poa_error_text(e));
    }
    s->begun = s->senml.count > 0;
    return POA_OK;
}

/* A sample that came: to the pack under construction, or to the next one. */
static int take(struct agent_source *s, const struct agent_reading *r, size_t n)
{
    if (!n)
        return POA_OK;
    int e = add_sample(s, r, n);
    if (e == POA_E_BUFFER) {
        e = agent_source_flush(s);
        if (!e)
            e = add_sample(s, r, n);
        if (e == POA_E_BUFFER) {
            POA_LOG_LIMITED(60000, POA_LOG_WARN, "source", "a sample does not fit in a pack");
            e = POA_OK;
        }
    }
    if (e)
        return e;
    s->readings += n;
    s->cursor = s->csv ? agent_csv_offset(s->csv) : 0;
    return POA_OK;
}

int agent_source_sample(struct agent_source *s, uint64_t now_ms)
{
    struct agent_reading own[AGENT_PROCFS_MAX];
    const struct agent_reading *r = own;
    size_t n = 0;
    /* One place for the pack under construction, one for what it cannot take. */
    if (agent_keep_free(s->keep) < 2)
        return POA_E_FULL;
    if (s->exec) {
        agent_exec_start(s->exec, poa_clock_monotonic_ms(poa_clock_system()), now_ms);
        return POA_OK;
    }
    if (s->csv) {
        uint64_t before = agent_csv_too_large(s->csv);
        int e = agent_csv_next(s->csv, &r, &n);
        if (agent_csv_too_large(s->csv) > before)
            POA_LOG_LIMITED(60000, POA_LOG_WARN, "source",
                            "a value before byte %llu of the file is left out: it is too large for "
                            "a number",
                            (unsigned long long)agent_csv_offset(s->csv));
        if (e)
            return e;
    } else {
        n = agent_procfs_read(&s->procfs, now_ms, own);
    }
    return take(s, r, n);
}

int agent_source_fd(const struct agent_source *s)
{
    return s->exec ? agent_exec_fd(s->exec) : -1;
}

int agent_source_collect(struct agent_source *s)
{
    const struct agent_reading *r = NULL;
    size_t n = 0;
    int e = agent_exec_read(s->exec, poa_clock_monotonic_ms(poa_clock_system()), &r, &n);
    return e ? e : take(s, r, n);
}

size_t agent_source_open_readings(const struct agent_source *s)
{
    return s->begun ? s->senml.count : 0;
}

uint64_t agent_source_readings(const struct agent_source *s)
{
    return s->readings;
}
