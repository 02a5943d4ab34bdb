/* doc: what the programs take, as their own tables say, for manual pages and for the
 * completion of shells. Not for other modules. */
#ifndef POA_DOC_H
#define POA_DOC_H

#include <stdbool.h>
#include <stddef.h>

#define DOC_COMMAND_OPTIONS_MAX 128

struct doc_option {
    const char *name, *argument, *help; /* ARGUMENT NULL: a flag */
};

struct doc_command {
    const char *words, *arguments, *summary, *examples; /* EXAMPLES: lines */
    const struct doc_option *option[DOC_COMMAND_OPTIONS_MAX];
    size_t options;
};

struct doc_program {
    const char *name;
    int section; /* of the manual */
    const char *summary, *usage, *about, *exits;
    const struct doc_option *option;
    size_t options;
    const struct doc_command *command; /* none: a program without commands */
    size_t commands;
    const char *const *example;
    size_t examples;
    bool keys; /* every option is also a key of the configuration */
};

extern const struct doc_program doc_program[];
extern const size_t doc_programs;
/* NULL: there is none. */
const struct doc_program *doc_program_named(const char *name);

/* roff, section P->section. */
void doc_man(const struct doc_program *p);
/* For SHELL bash, zsh or fish; false: none of these. */
bool doc_completion(const char *shell, const struct doc_program *p);

#endif
