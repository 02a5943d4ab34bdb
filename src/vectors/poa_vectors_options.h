/* The options of poa-vectors: one table for its parser, --help, man page and completion. */
#ifndef POA_VECTORS_OPTIONS_H
#define POA_VECTORS_OPTIONS_H

/* X("name", letter, "ARGUMENT" or NULL, "help") */
#define POA_VECTORS_OPTIONS(X)                                                                     \
    X("json", 'j', NULL, "a JSON line for each file")                                              \
    X("help", 'h', NULL, "this text")

#define POA_VECTORS_USAGE "poa-vectors [--json] DIR"
#define POA_VECTORS_ABOUT                                                                          \
    "Runs the conformance vectors in DIR/vrf, bip340, ed25519, wycheproof, hash, noise\n"          \
    "and binomial through the code of this product."
#define POA_VECTORS_EXAMPLES(X) X("poa-vectors tests/vectors")
#define POA_VECTORS_EXITS       "0 all pass, 1 a failure or a file that cannot be used, 2 wrong usage."

#endif
