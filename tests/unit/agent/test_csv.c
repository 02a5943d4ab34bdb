/* CSV files as they are found in the wild. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "poa_agent.h"

static char path[64];

static void write_file(const char *text)
{
    strcpy(path, "/tmp/poa-csv-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void remove_file(void)
{
    if (path[0])
        unlink(path);
}

TestSuite(csv, .fini = remove_file);

static struct agent_csv *open_text(const char *text)
{
    struct agent_csv *c = NULL;
    struct poa_why why = {""};
    write_file(text);
    cr_assert_eq(agent_csv_open(path, &c, &why), POA_OK, "%s", why.text);
    return c;
}

/* "name=number@ms ..." for each row, rows by ';'. */
static const char *dump(struct agent_csv *c)
{
    static char out[2048];
    const struct agent_reading *r;
    size_t n, at = 0;
    while (!agent_csv_next(c, &r, &n)) {
        for (size_t i = 0; i < n; i++)
            at += (size_t)snprintf(out + at, sizeof out - at, "%s=%s@%" PRIu64 "%s", r[i].name,
                                   r[i].number, r[i].time_ms, i + 1 < n ? " " : ";");
    }
    out[at] = 0;
    return out;
}

Test(csv, forms)
{
    static const struct {
        const char *file, *rows;
    } form[] = {
        {"timestamp,power_w_1s,power_w_8s\n2011-12-31T00:00:02,0,1\n2011-12-31T00:00:12,2,3\n",
         "power_w_1s=0@1325289602000 power_w_8s=1@1325289602000;"
         "power_w_1s=2@1325289612000 power_w_8s=3@1325289612000;"},
        {"timestamp,value\n2013-07-04 00:00:00,69.88083514\n", "value=69.88083514@1372896000000;"},
        {"29/11/2011 00:00:03;0;0\r\n29/11/2011 00:00:10;2;0\r\n",
         "v2=0@1322524803000 v3=0@1322524803000;v2=2@1322524810000 v3=0@1322524810000;"},
        {"Time;Temp (\xc2\xb0"
         "C)\n2020-01-01T00:00:00Z;21,5\n",
         "Temp_C=21.5@1577836800000;"},
        {"\xef\xbb\xbf"
         "ts\ta\n1577836800\t-1\n1577836800500\t+2\n",
         "a=-1@1577836800000;a=2@1577836800500;"},
        {"a,time\n007,2020-01-01T01:00:00+01:00\n.5,2020-01-01T00:00:00.250Z\n-.5,\n",
         "a=7@1577836800000;a=0.5@1577836800250;"},
        {"date,\"the, name\"\n2020-01-01,\"1\"\n2020-01-02,\"x\"\"y\"\n2020-01-03, 3 \n",
         "the_name=1@1577836800000;the_name=3@1578009600000;"},
        {"when,x,when2\n2020-01-01,,2\n2020-01-01,NaN,\n2020-01-01,1e3,n/a",
         "when2=2@1577836800000;x=1e3@1577836800000;"},
        {"# exported\nid,timestamp,v\n20110101,2020-01-01,5\n", "id=20110101@1577836800000 "
                                                                "v=5@1577836800000;"},
    };
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        struct agent_csv *c = open_text(form[i].file);
        const char *rows = dump(c);
        cr_assert_str_eq(rows, form[i].rows, "form %zu: %s", i, rows);
        agent_csv_close(c);
        unlink(path);
    }
}

/* The first line names the columns, whatever the first rows lack. */
Test(csv, names_come_from_the_header)
{
    static const struct {
        const char *file, *rows;
    } form[] = {
        {"time,power\n2020-01-01,NaN\n2020-01-02,5\n", "power=5@1577923200000;"},
        {"time,power\nn/a,ERR\n2020-01-02,5\n", "power=5@1577923200000;"},
        {"time,power\n2020-01-01,\n2020-01-02,5\n", "power=5@1577923200000;"},
        {"time,power\n\n2020-01-02,5\n", "power=5@1577923200000;"},
        {"time,power\n# calibrated\n2020-01-02,5\n", "power=5@1577923200000;"},
        {"when,power\n# calibrated, twice\nn/a,ERR\n2020-01-01,x\n2020-01-02,5\n",
         "power=5@1577923200000;"},
        {"# time,power\n2020-01-02,5\n", "power=5@1577923200000;"},
        {"meter 7, Berlin\n\ntime,power\n2020-01-02,5\n", "power=5@1577923200000;"},
        {"time,a,b\n2020-01-01,1\n2020-01-02,5,6\n",
         "a=1@1577836800000;a=5@1577923200000 b=6@1577923200000;"},
        {"id,time,v\n20110101,n/a,5\n20110102,2020-01-02,5\n",
         "id=20110102@1577923200000 v=5@1577923200000;"},
        {"time,date,v\n12:00,2020-01-02,5\n", "v=5@1577923200000;"},
        {"2020-01-01,NaN\n2020-01-02,5\n", "v2=5@1577923200000;"},
    };
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        struct agent_csv *c = open_text(form[i].file);
        const char *rows = dump(c);
        cr_assert_str_eq(rows, form[i].rows, "form %zu: %s", i, rows);
        agent_csv_close(c);
        unlink(path);
    }
}

Test(csv, values_that_no_double_holds_are_passed_over)
{
    struct agent_csv *c = open_text("t,v,w\n2020-01-01,1e400,2\n2020-01-02,-1e400,inf\n");
    cr_assert_str_eq(dump(c), "w=2@1577836800000;");
    cr_assert_eq(agent_csv_too_large(c), 2);
    cr_assert_eq(agent_csv_skipped(c), 1);
    agent_csv_close(c);
    unlink(path);
    /* The first row has no other value: it is a row all the same. */
    c = open_text("t,v\n2020-01-01,1e400\n2020-01-02,5\n");
    cr_assert_str_eq(dump(c), "v=5@1577923200000;");
    cr_assert_eq(agent_csv_too_large(c), 1);
    agent_csv_close(c);
}

/* Printed in full, as some programs do: the same double in fewer digits. */
Test(csv, long_numbers_are_values_too)
{
    char file[1024] = "t,v\n2020-01-01,", want[96];
    const char *tenth = "0.1000000000000000055511151231257827021181583404541015625";
    strcat(file, tenth);
    strcat(file, "\n2020-01-02,-");
    size_t n = strlen(file);
    memset(file + n, '9', 200);
    strcpy(file + n + 200, "\n2020-01-03,");
    n = strlen(file);
    memset(file + n, '1', 400);
    strcpy(file + n + 400, "\n");
    snprintf(want, sizeof want, "v=%.17g@1577836800000;v=%.17g@1577923200000;", strtod(tenth, NULL),
             -1e200);
    struct agent_csv *c = open_text(file);
    cr_assert_str_eq(dump(c), want);
    cr_assert_eq(agent_csv_too_large(c), 1);
    cr_assert_eq(agent_csv_skipped(c), 1);
    agent_csv_close(c);
}

Test(csv, times)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } row[] = {
        {"1970-01-01", 0},
        {"2020-02-30", 0},
        {"2020-02-29", UINT64_C(1582934400000)},
        {"2020-13-01", 0},
        {"2020-06-01T24:00:00", 0},
        {"2020-06-01T23:59:59", UINT64_C(1591055999000)},
        {"2020-06-01 23:59", UINT64_C(1591055940000)},
        {"2020-06-01T23:59:59.125-0130", UINT64_C(1591061399125)},
        {"2020/06/01 00:00:00", UINT64_C(1590969600000)},
        {"1.6.2020 00:00", UINT64_C(1590969600000)},
        {"1/6/20", UINT64_C(1590969600000)},
        {"06/13/2020", UINT64_C(1592006400000)},
        {"1590969600.5", UINT64_C(1590969600500)},
        {"1590969600000000", UINT64_C(1590969600000)},
        {"12345", 0},
        {"", 0},
        {"12:30:00", 0},
        {"2020-06-01x", 0},
        {"nan", 0},
        {"infinity", 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        bool day_first = true;
        uint64_t ms = 0;
        int e = agent_csv_time(row[i].text, &day_first, &ms);
        cr_assert_eq(e, row[i].ms ? POA_OK : POA_E_TEXT, "%s", row[i].text);
        if (!e)
            cr_assert_eq(ms, row[i].ms, "%s: %" PRIu64, row[i].text, ms);
    }
}

Test(csv, month_first_is_learnt)
{
    struct agent_csv *c = open_text("t,v\n06/13/2020 00:00:00,1\n06/11/2020 00:00:00,2\n");
    cr_assert_str_eq(dump(c), "v=1@1592006400000;v=2@1591833600000;");
    agent_csv_close(c);
}

Test(csv, goes_on_where_it_stopped)
{
    struct agent_csv *c = open_text("t,v\n2020-01-01,1\r\n2020-01-02,2\r\n2020-01-03,3\r\n");
    const struct agent_reading *r;
    size_t n;
    cr_assert_eq(agent_csv_next(c, &r, &n), POA_OK);
    uint64_t at = agent_csv_offset(c);
    agent_csv_close(c);
    struct poa_why why;
    cr_assert_eq(agent_csv_open(path, &c, &why), POA_OK);
    cr_assert_eq(agent_csv_seek(c, at), POA_OK);
    cr_assert_eq(agent_csv_next(c, &r, &n), POA_OK);
    cr_assert_str_eq(r[0].number, "2");
    cr_assert_eq(agent_csv_seek(c, 1000), POA_E_RANGE);
    cr_assert_eq(agent_csv_seek(c, 0), POA_OK, "the header is not a row");
    cr_assert_eq(agent_csv_next(c, &r, &n), POA_OK);
    cr_assert_str_eq(r[0].number, "1");
    agent_csv_close(c);
}

Test(csv, bad_lines_are_counted)
{
    struct agent_csv *c =
        open_text("t,v\n2020-01-01,1\ngarbage\n,\n2020-01-02\n2020-01-02,x\n2020-01-03,3\n");
    cr_assert_str_eq(dump(c), "v=1@1577836800000;v=3@1578009600000;");
    cr_assert_eq(agent_csv_skipped(c), 4);
    agent_csv_close(c);
}

Test(csv, what_is_not_a_table_is_refused)
{
    static const char *const bad[] = {"", "hello\n", "a,b\n1,2\n3,4\n", "2020-01-01\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct agent_csv *c;
        struct poa_why why = {""};
        write_file(bad[i]);
        cr_assert_eq(agent_csv_open(path, &c, &why), POA_E_TEXT, "%zu", i);
        cr_assert_gt(strlen(why.text), 0);
        unlink(path);
    }
    struct agent_csv *c;
    struct poa_why why;
    cr_assert_eq(agent_csv_open("/nonexistent/x.csv", &c, &why), POA_E_NOT_FOUND);
    cr_assert_eq(agent_csv_open("/", &c, &why), POA_E_IO);
    cr_assert_str_eq(why.text, "/ is a directory: give a file");
}
