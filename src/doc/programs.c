/* The programs that people call, from the tables that these parse with. */
#include "doc.h"

#include <stdio.h>
#include <string.h>

#include "poa_agent_options.h"
#include "poa_cli.h"
#include "poa_config.h"
#include "poa_sim_options.h"
#include "poa_vectors_options.h"

#define LENGTH(a)                        (sizeof(a) / sizeof(a)[0])
#define OPTION(name, argument, help)     {name, argument, help},
#define LETTERED(name, letter, arg, txt) {name, arg, txt},
#define EXAMPLE(line)                    line,

static const struct doc_option agent_options[] = {POA_AGENT_OPTIONS(LETTERED)};
static const char *const agent_examples[] = {POA_AGENT_EXAMPLES(EXAMPLE)};
static const struct doc_option sim_options[] = {POA_SIM_OPTIONS(LETTERED)};
static const char *const sim_examples[] = {POA_SIM_EXAMPLES(EXAMPLE)};
static const struct doc_option vectors_options[] = {POA_VECTORS_OPTIONS(LETTERED)};
static const char *const vectors_examples[] = {POA_VECTORS_EXAMPLES(EXAMPLE)};

#define ARGUMENT_TEXT(unit)                            unit
#define ARGUMENT_U32(unit)                             unit
#define ARGUMENT_U32_OR_0(unit)                        unit
#define ARGUMENT_FLAG(unit)                            "yes|no"
#define KEY(type, name, unit, min, max, default, help) {#name, ARGUMENT_##type(unit), help},
static const char *const node_examples[] = {POA_CONFIG_EXAMPLES(EXAMPLE)};
static const struct doc_option node_options[] = {POA_CONFIG_OPTIONS(OPTION) POA_CONFIG_KEYS(KEY)};

#define CLI_OPTION(id, name, argument, help) {name, argument, help},
static const struct doc_option cli_options_all[] = {CLI_OPTIONS(CLI_OPTION)};
#define CLI_COMMAND(words, function, arguments, least, most, options, summary, examples)           \
    {words, arguments, summary, examples, {NULL}, 0},
static struct doc_command cli_commands[] = {CLI_COMMANDS(CLI_COMMAND)};
#define CLI_SET(words, function, arguments, least, most, options, summary, examples) options,
static const cli_options cli_sets[] = {CLI_COMMANDS(CLI_SET)};
static const char *const cli_examples[] = {"poa devnet", "poa send bob 1000 --from alice",
                                           "poa send --help"};

const struct doc_program doc_program[] = {
    {.name = "poa",
     .section = 1,
     .summary = "command line of the Proof-of-Assignment ledger",
     .usage = "poa COMMAND [argument]... [option]...",
     .about = "Keys, wallet, queries, proofs and test networks. poa COMMAND --help says the same\n"
              "as this page.",
     .exits = "0 done, 1 failed (one line on standard error says why), 2 used wrongly.",
     .option = cli_options_all,
     .options = LENGTH(cli_options_all),
     .command = cli_commands,
     .commands = LENGTH(cli_commands),
     .example = cli_examples,
     .examples = LENGTH(cli_examples)},
    {.name = "poad",
     .section = 8,
     .summary = "node of the Proof-of-Assignment ledger",
     .usage = POA_CONFIG_USAGE,
     .about = POA_CONFIG_ABOUT,
     .exits = POA_CONFIG_EXITS,
     .option = node_options,
     .options = LENGTH(node_options),
     .example = node_examples,
     .examples = LENGTH(node_examples),
     .keys = true},
    {.name = "poa-device",
     .section = 1,
     .summary = "micro-miner of the Proof-of-Assignment ledger",
     .usage = POA_AGENT_USAGE,
     .about = POA_AGENT_ABOUT,
     .exits = POA_AGENT_EXITS,
     .option = agent_options,
     .options = LENGTH(agent_options),
     .example = agent_examples,
     .examples = LENGTH(agent_examples)},
    {.name = "poa-sim",
     .section = 1,
     .summary = "simulator of the Proof-of-Assignment consensus core",
     .usage = POA_SIM_USAGE,
     .about = POA_SIM_ABOUT,
     .exits = POA_SIM_EXITS,
     .option = sim_options,
     .options = LENGTH(sim_options),
     .example = sim_examples,
     .examples = LENGTH(sim_examples)},
    {.name = "poa-vectors",
     .section = 1,
     .summary = "conformance vectors for the Proof-of-Assignment ledger",
     .usage = POA_VECTORS_USAGE,
     .about = POA_VECTORS_ABOUT,
     .exits = POA_VECTORS_EXITS,
     .option = vectors_options,
     .options = LENGTH(vectors_options),
     .example = vectors_examples,
     .examples = LENGTH(vectors_examples)},
};
const size_t doc_programs = LENGTH(doc_program);

static void fill_commands(void)
{
    for (size_t i = 0; i < LENGTH(cli_commands); i++) {
        struct doc_command *c = &cli_commands[i];
        c->options = 0;
        for (size_t k = 0; k < LENGTH(cli_options_all); k++)
            if (cli_sets[i] >> k & 1)
                c->option[c->options++] = &cli_options_all[k];
    }
}

const struct doc_program *doc_program_named(const char *name)
{
    fill_commands();
    for (size_t i = 0; i < doc_programs; i++)
        if (strcmp(doc_program[i].name, name) == 0)
            return &doc_program[i];
    return NULL;
}
