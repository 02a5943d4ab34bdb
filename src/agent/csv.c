/* Rows of a CSV file as readings: see poa_agent.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "poa_agent.h"

/* Lines in which a file must show what it is. */
#define PROBE_LINES    100
#define LINE_MAX_BYTES 65536

struct agent_csv {
    FILE *file;
    char *line;
    size_t line_cap;
    char delimiter;
    int time_column;
    bool day_first;
    size_t columns;
    char name[AGENT_CSV_COLUMNS][AGENT_NAME_MAX + 1];
    uint64_t start; /* of the first row */
    uint64_t skipped, too_large;
    struct agent_reading reading[AGENT_CSV_COLUMNS];
};

/* --- cells ------------------------------------------------------------------- */

/* Splits LINE in place; quotes are taken off. Cells beyond the last column that
 * we keep are passed over. */
static size_t split(char *line, char delimiter, char *cell[AGENT_CSV_COLUMNS])
{
    size_t n = 0;
    char *p = line;
    for (;;) {
        char *to = p, *start = p;
        if (*p == '"') {
            for (p++; *p; p++) {
                if (*p == '"' && p[1] != '"')
                    break;
                if (*p == '"')
                    p++;
                *to++ = *p;
            }
            if (*p)
                p++;
            while (*p && *p != delimiter)
                p++;
        } else {
            while (*p && *p != delimiter)
                p++;
            to = p;
        }
        bool last = !*p;
        while (to > start && isspace((unsigned char)to[-1]))
            to--;
        *to = 0;
        while (isspace((unsigned char)*start))
            start++;
        if (n < AGENT_CSV_COLUMNS)
            cell[n++] = start;
        if (last)
            return n;
        p++;
    }
}

/* Of a number in a cell; most are printed with 17 digits at most. */
#define NUMBER_BYTES 512

/* A JSON number of CELL in OUT; with a decimal comma where the delimiter leaves
 * it that meaning. What does not fit is rounded to what a double holds, which is what
 * every reader makes of it. POA_E_TEXT: none, POA_E_RANGE: none that a pack may hold. */
static int number_of(const char *cell, char delimiter, char *out, size_t cap)
{
    char text[NUMBER_BYTES];
    size_t n = 0;
    const char *p = cell;
    if (*p == '+')
        p++;
    bool negative = *p == '-';
    if (negative)
        p++;
    /* JSON wants no leading zeros, and one digit before the point. */
    while (*p == '0' && isdigit((unsigned char)p[1]))
        p++;
    if (negative)
        text[n++] = '-';
    if (*p == '.' || (*p == ',' && delimiter != ','))
        text[n++] = '0';
    for (; *p && n + 2 < sizeof text; p++)
        text[n++] = *p == ',' && delimiter != ',' ? '.' : *p;
    if (*p)
        return POA_E_TEXT;
    if (n && text[n - 1] == '.')
        n--;
    text[n] = 0;
    int e = poa_json_number(text, n);
    if (e)
        return e;
    if (n < cap)
        memcpy(out, text, n + 1);
    else
        snprintf(out, cap, "%.17g", strtod(text, NULL));
    return POA_OK;
}

/* --- time ----------------------------------------------------------------------- */

static bool digits(const char **p, size_t least, size_t most, int *out)
{
    size_t n = 0;
    *out = 0;
    while (n < most && isdigit((unsigned char)**p)) {
        *out = *out * 10 + (*(*p)++ - '0');
        n++;
    }
    return n >= least;
}

/* "[ T]H:M[:S[.fff]][zone]" after a date; nothing is midnight. */
static bool clock_of(const char *p, struct tm *tm, int *ms, int *zone_minutes)
{
    int hours = 0, minutes = 0;
    *ms = *zone_minutes = 0;
    if (*p != 'T' && *p != 't' && *p != ' ')
        return !*p;
    while (*p == 'T' || *p == 't' || *p == ' ')
        p++;
    if (!digits(&p, 1, 2, &tm->tm_hour) || *p++ != ':' || !digits(&p, 2, 2, &tm->tm_min))
        return false;
    if (*p == ':') {
        p++;
        if (!digits(&p, 2, 2, &tm->tm_sec))
            return false;
        if (*p == '.' || *p == ',') {
            int scale = 100;
            for (p++; isdigit((unsigned char)*p); p++, scale /= 10)
                *ms += (*p - '0') * scale;
        }
    }
    while (*p == ' ')
        p++;
    if (*p == 'Z' || *p == 'z') {
        p++;
    } else if (*p == '+' || *p == '-') {
        int sign = *p++ == '-' ? -1 : 1;
        if (!digits(&p, 2, 2, &hours))
            return false;
        if (*p == ':')
            p++;
        if (*p && !digits(&p, 2, 2, &minutes))
            return false;
        *zone_minutes = sign * (hours * 60 + minutes);
    }
    return !*p && tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60 && hours < 24 &&
           minutes < 60;
}

/* Plain number: seconds, milliseconds or microseconds, by its size. */
static bool unix_time(const char *text, uint64_t *ms)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    long double v = strtold(text, &end);
    if (*end || errno || !(v >= 268435456.0L) || v >= 1e17L)
        return false;
    *ms = (uint64_t)(v < 1e11L ? v * 1000 : v < 1e14L ? v : v / 1000);
    return true;
}

int agent_csv_time(const char *text, bool *day_first, uint64_t *ms)
{
    struct tm tm = {0};
    const char *p = text;
    int a, b, c, milli, zone;
    if (unix_time(text, ms))
        return POA_OK;
    if (!digits(&p, 1, 4, &a) || (*p != '-' && *p != '/' && *p != '.'))
        return POA_E_TEXT;
    size_t first = (size_t)(p - text);
    char separator = *p++;
    if (!digits(&p, 1, 2, &b) || *p++ != separator || !digits(&p, 1, 4, &c))
        return POA_E_TEXT;
    if (first == 4) {
        tm.tm_year = a - 1900;
        tm.tm_mon = b - 1;
        tm.tm_mday = c;
    } else {
        if (a > 12)
            *day_first = true;
        else if (b > 12)
            *day_first = false;
        tm.tm_year = (c < 100 ? c + 2000 : c) - 1900;
        tm.tm_mon = (*day_first ? b : a) - 1;
        tm.tm_mday = *day_first ? a : b;
    }
    if (!clock_of(p, &tm, &milli, &zone))
        return POA_E_TEXT;
    int day = tm.tm_mday, month = tm.tm_mon;
    if (month < 0 || month > 11 || day < 1 || day > 31)
        return POA_E_TEXT;
    time_t t = timegm(&tm);
    /* timegm mends the 31st of June; we refuse it. */
    if (tm.tm_mday != day || tm.tm_mon != month) {
        if (tm.tm_sec < 60)
            return POA_E_TEXT;
    }
    int64_t v = ((int64_t)t - (int64_t)zone * 60) * 1000 + milli;
    if (v < (INT64_C(1000) << 28))
        return POA_E_TEXT;
    *ms = (uint64_t)v;
    return POA_OK;
}

/* --- lines ------------------------------------------------------------------------- */

/* The next line without its end; NOT_FOUND at the end of the file. */
static int next_line(struct agent_csv *c)
{
    errno = 0;
    ssize_t n = getline(&c->line, &c->line_cap, c->file);
    if (n < 0)
        return errno || ferror(c->file) ? POA_E_IO : POA_E_NOT_FOUND;
    while (n > 0 && (c->line[n - 1] == '\n' || c->line[n - 1] == '\r'))
        c->line[--n] = 0;
    /* A line without end is no row of ours; the rest of it is dropped with it. */
    if (n > LINE_MAX_BYTES || strlen(c->line) != (size_t)n)
        c->line[0] = 0;
    return POA_OK;
}

static size_t count_of(const char *text, char what)
{
    size_t n = 0;
    bool quoted = false;
    for (; *text; text++) {
        quoted ^= *text == '"';
        n += !quoted && *text == what;
    }
    return n;
}

static char delimiter_of(const char *line)
{
    static const char candidate[] = {';', '\t', ','};
    char best = ',';
    size_t most = 0;
    for (size_t i = 0; i < sizeof candidate; i++) {
        size_t n = count_of(line, candidate[i]);
        if (n > most) {
            most = n;
            best = candidate[i];
        }
    }
    return best;
}

void agent_name(const char *cell, size_t column, char out[AGENT_NAME_MAX + 1])
{
    size_t n = 0;
    for (; *cell && n < AGENT_NAME_MAX; cell++) {
        unsigned char ch = (unsigned char)*cell;
        if (ch < 128 && (isalnum(ch) || (n && strchr("-:./_", ch))))
            out[n++] = (char)ch;
        else if (n && out[n - 1] != '_')
            out[n++] = '_';
    }
    while (n && out[n - 1] == '_')
        n--;
    out[n] = 0;
    if (!n)
        snprintf(out, AGENT_NAME_MAX + 1, "v%zu", column);
}

static bool time_name(const char *name)
{
    static const char *const known[] = {"timestamp", "time", "datetime", "date",
                                        "date_time", "ts",   "unixtime", "epoch"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(name, known[i]))
            return true;
    return false;
}

/* One of the first lines. */
struct probed {
    char *cell[AGENT_CSV_COLUMNS];
    size_t cells;
    char delimiter;
    bool comment;
    uint32_t named; /* columns that it calls a time */
};

/* Reads line LINE, counted from 0, and splits it; a comment's mark is taken off. */
static int probe_line(struct agent_csv *c, int line, struct probed *out)
{
    int e = next_line(c);
    if (e)
        return e;
    if (!line && !strncmp(c->line, "\xef\xbb\xbf", 3))
        memmove(c->line, c->line + 3, strlen(c->line) - 2);
    char *text = c->line + strspn(c->line, " \t");
    out->comment = *text == '#';
    if (out->comment)
        text += strspn(text, "# \t");
    out->delimiter = delimiter_of(text);
    out->cells = split(text, out->delimiter, out->cell);
    out->named = 0;
    for (size_t i = 0; i < out->cells; i++)
        out->named |= (uint32_t)time_name(out->cell[i]) << i;
    return POA_OK;
}

/* The first of the columns in MASK that holds a time, or -1. */
static int time_column_of(struct agent_csv *c, const struct probed *p, uint32_t mask)
{
    uint64_t ms;
    for (size_t i = 0; i < p->cells; i++)
        if (mask >> i & 1 && !agent_csv_time(p->cell[i], &c->day_first, &ms))
            return (int)i;
    return -1;
}

/* The first row with a time and a number; with NAMED its time is in a column that a line
 * before it calls so. LINES: how many lines are before it. */
static int probe_row(struct agent_csv *c, bool named, int *lines)
{
    struct probed p;
    uint32_t mask = named ? 0 : UINT32_MAX;
    for (*lines = 0; *lines < PROBE_LINES; ++*lines) {
        long at = ftell(c->file);
        int e = at < 0 ? POA_E_IO : probe_line(c, *lines, &p);
        if (e)
            return e == POA_E_NOT_FOUND ? POA_E_TEXT : e;
        int time_column = p.comment ? -1 : time_column_of(c, &p, mask), values = 0;
        char number[40];
        for (size_t i = 0; i < p.cells; i++)
            values += (int)i != time_column &&
                      number_of(p.cell[i], p.delimiter, number, sizeof number) != POA_E_TEXT;
        if (time_column >= 0 && values) {
            c->delimiter = p.delimiter;
            c->time_column = time_column;
            c->columns = p.cells;
            c->start = (uint64_t)at;
            return POA_OK;
        }
        if (named && !mask)
            mask = p.named;
    }
    return POA_E_TEXT;
}

/* Names from the LINES lines before the first row: of the first that calls a column a time,
 * else that is no comment, else that has as many cells as the row. Rows whose values are
 * missing are among those lines, and name nothing. */
static int probe_names(struct agent_csv *c, int lines)
{
    struct probed p;
    int best = 0;
    size_t cells = c->columns;
    for (size_t i = 0; i < AGENT_CSV_COLUMNS; i++)
        snprintf(c->name[i], sizeof c->name[i], "v%zu", i + 1);
    rewind(c->file);
    for (int line = 0; line < lines; line++) {
        int e = probe_line(c, line, &p);
        if (e)
            return e;
        int score = 4 * (p.named != 0) + 2 * !p.comment + (p.cells == cells);
        if (p.cells < 2 || score <= best ||
            time_column_of(c, &p, UINT32_C(1) << c->time_column) >= 0)
            continue;
        best = score;
        c->columns = p.cells > cells ? p.cells : cells;
        for (size_t i = 0; i < p.cells; i++)
            agent_name(p.cell[i], i + 1, c->name[i]);
    }
    return POA_OK;
}

/* Learns delimiter, time column and names from the first lines. */
static int probe(struct agent_csv *c)
{
    int lines, e = probe_row(c, true, &lines);
    if (e == POA_E_TEXT) {
        rewind(c->file);
        e = probe_row(c, false, &lines);
    }
    return e ? e : probe_names(c, lines);
}

/* --- interface ------------------------------------------------------------------------ */

int agent_csv_open(const char *path, struct agent_csv **out, struct poa_why *why)
{
    struct agent_csv *c = calloc(1, sizeof *c);
    if (!c)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    c->day_first = true;
    c->file = fopen(path, "re");
    if (!c->file) {
        int e = errno == ENOENT ? POA_E_NOT_FOUND : POA_E_IO;
        poa_because(why, e, "cannot read %s: %s", path, strerror(errno));
        free(c);
        return e;
    }
    struct stat st;
    if (fstat(fileno(c->file), &st) == 0 && S_ISDIR(st.st_mode)) {
        agent_csv_close(c);
        return poa_because(why, POA_E_IO, "%s is a directory: give a file", path);
    }
    int e = probe(c);
    if (!e)
        e = agent_csv_seek(c, c->start);
    if (e) {
        poa_because(why, e,
                    e == POA_E_TEXT ? "%s has no row with a time and a number" : "cannot read %s",
                    path);
        agent_csv_close(c);
        return e;
    }
    *out = c;
    return POA_OK;
}

void agent_csv_close(struct agent_csv *c)
{
    if (!c)
        return;
    fclose(c->file);
    free(c->line);
    free(c);
}

int agent_csv_next(struct agent_csv *c, const struct agent_reading **out, size_t *n)
{
    char *cell[AGENT_CSV_COLUMNS];
    for (;;) {
        int e = next_line(c);
        if (e)
            return e;
        uint64_t ms;
        size_t cells = split(c->line, c->delimiter, cell), k = 0;
        if (cells <= (size_t)c->time_column ||
            agent_csv_time(cell[c->time_column], &c->day_first, &ms)) {
            c->skipped++;
            continue;
        }
        for (size_t i = 0; i < cells && i < c->columns; i++) {
            struct agent_reading *r = &c->reading[k];
            if ((int)i == c->time_column)
                continue;
            e = number_of(cell[i], c->delimiter, r->number, sizeof r->number);
            c->too_large += e == POA_E_RANGE;
            if (e)
                continue;
            memcpy(r->name, c->name[i], sizeof r->name);
            r->unit = NULL;
            r->time_ms = ms;
            k++;
        }
        if (!k) {
            c->skipped++;
            continue;
        }
        *out = c->reading;
        *n = k;
        return POA_OK;
    }
}

uint64_t agent_csv_offset(const struct agent_csv *c)
{
    return (uint64_t)ftell(c->file);
}

int agent_csv_seek(struct agent_csv *c, uint64_t offset)
{
    if (offset < c->start)
        offset = c->start;
    if (fseek(c->file, 0, SEEK_END))
        return POA_E_IO;
    long end = ftell(c->file);
    if (end < 0)
        return POA_E_IO;
    if (offset > (uint64_t)end)
        return POA_E_RANGE;
    return fseek(c->file, (long)offset, SEEK_SET) ? POA_E_IO : POA_OK;
}

uint64_t agent_csv_skipped(const struct agent_csv *c)
{
    return c->skipped;
}

uint64_t agent_csv_too_large(const struct agent_csv *c)
{
    return c->too_large;
}
