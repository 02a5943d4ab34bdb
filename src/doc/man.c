/* Manual pages. Source: groff_man(7). */
#include "doc.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "poa_version.h"

/* Text as roff has it: hyphens that may be copied, and no line that is a request. */
static void text(const char *s, size_t n)
{
    bool start = true;
    for (size_t i = 0; i < n; i++) {
        if (start && (s[i] == '.' || s[i] == '\''))
            printf("\\&");
        if (s[i] == '-')
            printf("\\-");
        else if (s[i] == '\\')
            printf("\\e");
        else
            putchar(s[i]);
        start = s[i] == '\n';
    }
}

static void line(const char *s)
{
    text(s, strlen(s));
    putchar('\n');
}

static void example_lines(const char *lines)
{
    printf(".EX\n");
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        text(lines, n);
        putchar('\n');
        lines += n + (lines[n] == '\n');
    }
    printf(".EE\n");
}

/* --data-dir of the key data_dir. */
static void option_name(const char *name)
{
    printf("\\fB\\-\\-");
    for (; *name; name++)
        printf(*name == '_' || *name == '-' ? "\\-" : "%c", *name);
    printf("\\fR");
}

static void option(const struct doc_option *o)
{
    printf(".TP\n");
    option_name(o->name);
    if (o->argument != NULL) {
        printf(" \\fI");
        text(o->argument, strlen(o->argument));
        printf("\\fR");
    }
    putchar('\n');
    line(o->help);
}

static void commands(const struct doc_program *p)
{
    printf(".SH COMMANDS\n");
    for (size_t i = 0; i < p->commands; i++) {
        const struct doc_command *c = &p->command[i];
        printf(".SS \"%s ", p->name);
        text(c->words, strlen(c->words));
        if (c->arguments[0]) {
            putchar(' ');
            text(c->arguments, strlen(c->arguments));
        }
        printf("\"\n");
        text(c->summary, strlen(c->summary));
        printf(".\n.PP\nOptions:");
        for (size_t k = 0; k < c->options; k++) {
            printf("%s\n", k ? "," : "");
            option_name(c->option[k]->name);
        }
        printf(".\n.PP\n");
        example_lines(c->examples);
    }
}

void doc_man(const struct doc_program *p)
{
    printf(".TH ");
    for (const char *s = p->name; *s; s++)
        printf(*s == '-' ? "\\-" : "%c", toupper((unsigned char)*s));
    printf(" %d \"\" \"poa " POA_VERSION "\" \"Proof\\-of\\-Assignment ledger\"\n", p->section);
    printf(".SH NAME\n");
    text(p->name, strlen(p->name));
    printf(" \\- ");
    line(p->summary);
    printf(".SH SYNOPSIS\n");
    line(p->usage);
    printf(".SH DESCRIPTION\n");
    line(p->about);
    if (p->keys)
        printf(".PP\nAll options but those of the first group are keys of the configuration too:\n"
               "lines key = value of the file, with _ for \\-. Options win over the file.\n");
    if (p->commands > 0)
        commands(p);
    printf(".SH OPTIONS\n");
    for (size_t i = 0; i < p->options; i++)
        option(&p->option[i]);
    if (p->commands > 0)
        printf(".SH ENVIRONMENT\n.TP\n.B POA_RPC\nthe node to ask, when \\-\\-rpc is not given\n"
               ".TP\n.B POA_KEYS\nwhere keys are, when \\-\\-keys is not given\n");
    if (p->keys)
        printf(".SH FILES\n.TP\n.I /etc/poa/poad.conf\nwhat the service reads\n"
               ".TP\n.I /var/lib/poa\nwhat it keeps: database, key, log of its votes\n");
    printf(".SH \"EXIT STATUS\"\n");
    line(p->exits);
    printf(".SH EXAMPLES\n");
    printf(".EX\n");
    for (size_t i = 0; i < p->examples; i++)
        line(p->example[i]);
    printf(".EE\n.SH \"SEE ALSO\"\n");
    bool first = true;
    for (size_t i = 0; i < doc_programs; i++)
        if (&doc_program[i] != p) {
            printf("%s.BR ", first ? "" : " ,\n");
            text(doc_program[i].name, strlen(doc_program[i].name));
            printf(" (%d)", doc_program[i].section);
            first = false;
        }
    printf("\n.PP\nThe documents in /usr/share/doc/poa.\n");
}
