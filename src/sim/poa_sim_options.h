/* The options of poa-sim: one table for its parser, --help, man page and completion. */
#ifndef POA_SIM_OPTIONS_H
#define POA_SIM_OPTIONS_H

/* X("name", letter, "ARGUMENT" or NULL, "help") */
#define POA_SIM_OPTIONS(X)                                                                         \
    X("seeds", 's', "A..B", "seeds to run (default 1..100)")                                       \
    X("nodes", 'n', "N", "witnesses in every run (default: drawn from the seed)")                  \
    X("jobs", 'J', "N", "processes (default: as many as there are processors)")                    \
    X("replay", 'r', "SEED", "one seed, with a readable trace on standard output")                 \
    X("clean", 'c', NULL, "no faults: finality and block period in message delays")                \
    X("real", 'R', NULL, "real cryptography in every run (default: every 50th)")                   \
    X("devices", 'd', "FAULT",                                                                     \
      "of devices or gateways in every run (default: drawn from the seed)")                        \
    X("mutant", 'm', "NAME", "break one rule; a run that does not notice is a defect")             \
    X("list-mutants", 'l', NULL, "names of the mutants, one a line")                               \
    X("json", 'j', NULL, "the result as one JSON line")                                            \
    X("help", 'h', NULL, "this text")

#define POA_SIM_USAGE "poa-sim [--seeds A..B] [option]..."
#define POA_SIM_ABOUT "Runs simulated networks of the product's own consensus core under faults."
#define POA_SIM_EXAMPLES(X)                                                                        \
    X("poa-sim --seeds 1..2000")                                                                   \
    X("poa-sim --replay 42 | less")                                                                \
    X("poa-sim --devices lying --seeds 1..100")                                                    \
    X("poa-sim --clean --nodes 4 --json")
#define POA_SIM_EXITS "0 nothing broke, 1 something did, 2 bad arguments."

#endif
