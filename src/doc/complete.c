/* Completion for bash, zsh and fish: commands, their options, and files for arguments. */
#include "doc.h"

#include <stdio.h>
#include <string.h>

/* --data-dir of the key data_dir. */
static void option_name(const char *name)
{
    for (; *name; name++)
        putchar(*name == '_' ? '-' : *name);
}

/* Inside '...' of a shell. */
static void quoted(const char *s)
{
    for (; *s; s++)
        printf(*s == '\'' ? "'\\''" : "%c", *s);
}

/* The words that may come first; each once. */
static bool first_of_its_word(const struct doc_program *p, size_t i, char *word, size_t cap)
{
    size_t n = strcspn(p->command[i].words, " ");
    snprintf(word, cap, "%.*s", (int)n, p->command[i].words);
    for (size_t k = 0; k < i; k++)
        if (strncmp(p->command[k].words, word, n) == 0 &&
            (p->command[k].words[n] == ' ' || p->command[k].words[n] == 0))
            return false;
    return true;
}

/* Whether there are commands `WORD x`, which are printed. */
static bool second_words(const struct doc_program *p, const char *word, const char *between)
{
    bool any = false;
    size_t n = strlen(word);
    for (size_t i = 0; i < p->commands; i++)
        if (strncmp(p->command[i].words, word, n) == 0 && p->command[i].words[n] == ' ') {
            printf("%s%s", any ? between : "", p->command[i].words + n + 1);
            any = true;
        }
    return any;
}

static void option_words(const struct doc_option *o)
{
    printf(" --");
    option_name(o->name);
}

/* --- bash ------------------------------------------------------------------------------ */

static void bash_commands(const struct doc_program *p)
{
    char word[64];
    printf("    local -A second=(\n");
    for (size_t i = 0; i < p->commands; i++)
        if (first_of_its_word(p, i, word, sizeof word)) {
            printf("        [%s]='", word);
            (void)second_words(p, word, " ");
            printf("'\n");
        }
    printf("    )\n    local -A options=(\n");
    for (size_t i = 0; i < p->commands; i++) {
        printf("        ['%s']='", p->command[i].words);
        for (size_t k = 0; k < p->command[i].options; k++)
            option_words(p->command[i].option[k]);
        printf("'\n");
    }
    printf(
        "    )\n"
        "    local words=${COMP_WORDS[1]:-} wanted=\n"
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
        "        wanted=\"${!second[*]} --help --version\"\n"
        "    elif [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"${second[$words]:-}\" ] && [[ $current != -* "
        "]]; then\n"
        "        wanted=${second[$words]}\n"
        "    elif [[ $current == -* ]]; then\n"
        "        wanted=${options[\"$words ${COMP_WORDS[2]:-}\"]:-${options[$words]:-}}\n"
        "        [ \"$words\" != devnet ] || [ -n \"$wanted\" ] || wanted=${options['devnet up']}\n"
        "    fi\n");
}

static void bash(const struct doc_program *p)
{
    printf("# bash completion of %s, printed by poa-doc\n"
           "_%s() {\n    local current=${COMP_WORDS[COMP_CWORD]}\n",
           p->name, p->name);
    if (p->commands > 0) {
        bash_commands(p);
    } else {
        printf("    local wanted=\n    [[ $current != -* ]] || wanted='");
        for (size_t k = 0; k < p->options; k++)
            option_words(&p->option[k]);
        printf("'\n");
    }
    printf("    mapfile -t COMPREPLY < <(compgen -W \"$wanted\" -- \"$current\")\n}\n"
           "complete -o default -F _%s %s\n",
           p->name, p->name);
}

/* --- zsh ------------------------------------------------------------------------------- */

/* 'name[help]:argument:' as _arguments reads it. */
static void zsh_option(const struct doc_option *o)
{
    printf(" \\\n            '--");
    option_name(o->name);
    printf("[");
    for (const char *s = o->help; *s; s++)
        printf(*s == '\'' ? "'\\''" : *s == '[' || *s == ']' || *s == '\\' ? "\\%c" : "%c", *s);
    printf("]");
    if (o->argument != NULL) {
        printf(":");
        for (const char *s = o->argument; *s; s++)
            printf(*s == ':' ? "\\%c" : "%c", *s);
        printf(":_files");
    }
    printf("'");
}

static void zsh_commands(const struct doc_program *p)
{
    char word[64];
    printf("        local -a found\n        if (( CURRENT == 2 )); then\n            found=(");
    for (size_t i = 0; i < p->commands; i++)
        if (first_of_its_word(p, i, word, sizeof word))
            printf(" %s", word);
    printf(")\n            _describe command found\n            return\n        fi\n"
           "        if (( CURRENT == 3 )) && [[ $words[3] != -* ]]; then\n"
           "            case $words[2] in\n");
    for (size_t i = 0; i < p->commands; i++)
        if (first_of_its_word(p, i, word, sizeof word)) {
            printf("            %s) found=(", word);
            (void)second_words(p, word, " ");
            printf(") ;;\n");
        }
    printf("            esac\n            if (( $#found )); then\n"
           "                _describe command found\n                return\n            fi\n"
           "        fi\n        case \"$words[2] $words[3]\" in\n");
    /* Longer names first: `tx show x` is no `tx x`. */
    for (int two = 1; two >= 0; two--)
        for (size_t i = 0; i < p->commands; i++) {
            const struct doc_command *c = &p->command[i];
            if ((strchr(c->words, ' ') != NULL) != (two == 1))
                continue;
            printf("        %s'%s'%s)\n            _arguments",
                   strcmp(c->words, "devnet up") == 0 ? "'devnet '-*|'devnet '|" : "", c->words,
                   two ? "" : "' '*");
            for (size_t k = 0; k < c->options; k++)
                zsh_option(c->option[k]);
            printf(" \\\n            '*:argument:_files'\n            ;;\n");
        }
    printf("        esac\n");
}

static void zsh(const struct doc_program *p)
{
    printf("#compdef %s\n# printed by poa-doc\n_%s() {\n", p->name, p->name);
    if (p->commands > 0) {
        zsh_commands(p);
    } else {
        printf("    _arguments");
        for (size_t k = 0; k < p->options; k++)
            zsh_option(&p->option[k]);
        printf(" \\\n            '*:file:_files'\n");
    }
    printf("}\n_%s \"$@\"\n", p->name);
}

/* --- fish ------------------------------------------------------------------------------ */

static void fish_option(const char *program, const char *condition, const struct doc_option *o)
{
    printf("complete -c %s%s -l ", program, condition);
    option_name(o->name);
    printf("%s -d '", o->argument != NULL ? " -r" : "");
    quoted(o->help);
    printf("'\n");
}

static void fish_command(const struct doc_program *p, size_t i)
{
    const struct doc_command *c = &p->command[i];
    char word[64], condition[256];
    bool first = first_of_its_word(p, i, word, sizeof word);
    const char *space = strchr(c->words, ' ');
    if (first && space == NULL)
        printf("complete -c %s -f -n __fish_use_subcommand -a %s -d '", p->name, word);
    else if (first)
        printf("complete -c %s -f -n __fish_use_subcommand -a %s\n", p->name, word);
    if (space != NULL)
        printf("complete -c %s -f -n '__poa_at %s' -a %s -d '", p->name, word, space + 1);
    if (space != NULL || first) {
        quoted(c->summary);
        printf("'\n");
    }
    /* `poa devnet --load 5` means `poa devnet up`. */
    snprintf(condition, sizeof condition, " -n '__poa_in %s'",
             strcmp(c->words, "devnet up") == 0 ? word : c->words);
    for (size_t k = 0; k < c->options; k++)
        fish_option(p->name, condition, c->option[k]);
}

static void fish(const struct doc_program *p)
{
    printf("# fish completion of %s, printed by poa-doc\n", p->name);
    if (p->commands > 0)
        printf("# The word before the cursor is all that there is but the program.\n"
               "function __poa_at\n    set -l words (commandline -opc)\n"
               "    test (count $words) -eq 2; and test \"$words[2]\" = \"$argv[1]\"\nend\n"
               "# The command is ARGV.\n"
               "function __poa_in\n    set -l words (commandline -opc)\n"
               "    set -l last (math (count $argv) + 1)\n"
               "    test (count $words) -ge $last; and test \"$words[2..$last]\" = \"$argv\"\n"
               "end\n");
    for (size_t k = 0; k < p->commands; k++)
        fish_command(p, k);
    for (size_t k = 0; p->commands == 0 && k < p->options; k++)
        fish_option(p->name, "", &p->option[k]);
}

bool doc_completion(const char *shell, const struct doc_program *p)
{
    static const struct {
        const char *name;
        void (*print)(const struct doc_program *p);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print(p);
            return true;
        }
    return false;
}
