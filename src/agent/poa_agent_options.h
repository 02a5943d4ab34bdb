/* The options of poa-device: one table for its parser, --help, man page and completion. */
#ifndef POA_AGENT_OPTIONS_H
#define POA_AGENT_OPTIONS_H

/* X("name", letter, "ARGUMENT" or NULL, "help") */
#define POA_AGENT_OPTIONS(X)                                                                       \
    X("key", 'k', "FILE", "key file of the device (poa keys new --kind device)")                   \
    X("passphrase-file", 'p', "FILE", "passphrase of the key file, when it has one")               \
    X("gateway", 'g', "KEY@HOST:PORT", "gateway and its key in hex; commas or repeat for several") \
    X("genesis", 'G', "FILE", "genesis of the chain (.poa): trust starts there")                   \
    X("chain", 'c', "HEX", "chain id; trust starts at the first gateway that answers")             \
    X("trust-days", 'D', "DAYS", "after this long offline, want a new start of trust; 0: never")   \
    X("source", 's', "SOURCE", "procfs, csv:FILE, exec:COMMAND or none (default procfs)")          \
    X("interval", 'i', "SECONDS", "between samples; 0: as fast as they find a place (default 5)")  \
    X("pack-every", 'P', "SECONDS", "a pack of readings is closed at the latest (default 10)")     \
    X("state", 'S', "FILE", "what must survive a restart (default: KEYFILE.state)")                \
    X("queue", 'q', "PACKS", "packs kept while there is no gateway (default 256)")                 \
    X("streaming", 't', NULL,                                                                      \
      "hold no committee: certificates come in parts, as to a small device")                       \
    X("for", 'f', "DURATION", "stop after 30s, 5m, 2h")                                            \
    X("once", 'o', NULL, "stop when the source has ended and all its packs have a receipt")        \
    X("check", 'C', "KEY",                                                                         \
      "ask, with proof, who this device is (or what this poa1... holds); stop")                    \
    X("talk", 'T', "KEY", "device to talk to, end to end through the gateway; repeat for several") \
    X("say", 'y', "TEXT", "with --talk: say this once to each of them")                            \
    X("pair", 'w', "ADDRESS", "show a QR code with which ADDRESS, the owner, registers it; stop")  \
    X("maker", 'm', "ID@KEY", "with --pair: the manufacturer and its attestation key in hex")      \
    X("region", 'r', "N", "with --pair: where it stands (default 0)")                              \
    X("json", 'j', NULL, "print a summary in JSON at the end")                                     \
    X("log-level", 'l', "LEVEL", "error, warn, info, debug (default info)")                        \
    X("help", 'h', NULL, "this")

#define POA_AGENT_USAGE "poa-device --key FILE --gateway KEY@HOST:PORT [option]..."
#define POA_AGENT_ABOUT                                                                            \
    "Mines with this machine: seals the blocks that the lottery assigns to it,\n"                  \
    "publishes readings, and checks everything that a gateway says."
#define POA_AGENT_EXAMPLES(X)                                                                      \
    X("poa-device --key kettle.json --genesis genesis.poa --gateway 4f9c...@192.0.2.7:7650")       \
    X("poa-device --key meter.json --source csv:may.csv --once --gateway 4f9c...@192.0.2.7:7650")  \
    X("poa-device --key kettle.json --genesis genesis.poa --pair poa1... --maker 1@9c3d...")       \
    X("poa-device --key kettle.json --check 1b2a... --gateway 4f9c...@192.0.2.7:7650")             \
    X("poa-device --key kettle.json --talk 1b2a... --say \"on\" --gateway 4f9c...@192.0.2.7:7650")
#define POA_AGENT_EXITS                                                                            \
    "0 done, 1 failed (--once: or packs refused for good, or stopped before every pack\n"          \
    "has its receipt), 2 used wrongly.\n"                                                          \
    "With --check: 0 active, 3 unknown, 4 suspended."

#endif
