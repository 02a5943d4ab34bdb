/* cli: the program poa.
 *
 * One table of commands and one of options (below): from them come the parser,
 * `poa help`, and --help with examples on each command. A command prints its
 * result to standard output, as text or with --json as one JSON value, and one
 * line to standard error when it fails. Exit codes: 0 done, 1 failed, 2 used
 * wrongly: the words of the command line are at fault, whatever files and nodes
 * there are.
 */
#ifndef POA_CLI_H
#define POA_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "poa_base.h"
#include "poa_progress.h"
#include "poa_rpc_client.h"

/* X(ID, "name", "ARGUMENT" or NULL, "help"). What an ARGUMENT looks like is checked by its
 * word before the command runs (shapes in table.c); its range is the command's. */
#define CLI_OPTIONS(X)                                                                             \
    X(HELP, "help", NULL, "this text")                                                             \
    X(JSON, "json", NULL, "one JSON value on standard output")                                     \
    X(RPC, "rpc", "URL", "node to ask; default $POA_RPC, or http://127.0.0.1:7645")                \
    X(CACERT, "cacert", "FILE",                                                                    \
      "who signed the node's certificate, for https; default: who the system trusts")              \
    X(PIN, "pin", "SHA256", "or the certificate itself, by its fingerprint")                       \
    X(TOKEN_FILE, "token-file", "FILE",                                                            \
      "token to show, in the first line; default $POA_TOKEN_FILE")                                 \
    X(TIMEOUT, "timeout", "SECONDS", "give up after this long; default 10")                        \
    X(KEYS, "keys", "DIR", "key files; default $POA_KEYS, or ~/.poa/keys")                         \
    X(PASSPHRASE_FILE, "passphrase-file", "FILE", "passphrase in the first line, mode 0600")       \
    X(NO_PASSPHRASE, "no-passphrase", NULL, "rely on the file's mode alone")                       \
    X(KIND, "kind", "KIND", "account (default), node or device")                                   \
    X(TYPE, "type", "TYPE", "bip340 (default for accounts) or ed25519")                            \
    X(SECRET_FILE, "secret-file", "FILE", "64 hex digits, mode 0600; - for standard input")        \
    X(OUTPUT, "output", "FILE", "a new file; text also to -, standard output")                     \
    X(FROM, "from", "KEY", "label of the sender's key")                                            \
    X(FEE, "fee", "UNITS", "instead of the smallest that the network takes")                       \
    X(NONCE, "nonce", "N", "instead of the account's next one")                                    \
    X(SIGN, "sign", "KEY[,KEY...]", "labels of the keys that sign; default: those that are here")  \
    X(VALID_FOR, "valid-for", "SECONDS", "refused in blocks later than this; default: no limit")   \
    X(M, "m", "M", "how many of the keys must sign")                                               \
    X(ALONE, "alone", "UNITS", "what the first key alone may spend per transaction")               \
    X(ASSET, "asset", "N", "number of the asset; default 0, the native one")                       \
    X(SUPPLY, "supply", "UNITS", "minted to the issuer at once; default: all")                     \
    X(MAX, "max", "UNITS", "no more than this can ever be minted")                                 \
    X(DECIMALS, "decimals", "N", "for display: 1 unit is 10^-N; default 0")                        \
    X(CONFIRMER, "confirmer", "WHO", "who confirms delivery beside the payer")                     \
    X(ARBITER, "arbiter", "WHO", "who may release and refund")                                     \
    X(COMMERCE, "commerce", NULL, "a purchase, with the network's commission on release")          \
    X(NATURE, "nature", "NATURE",                                                                  \
      "goods, service, rent, data, energy, wages, refund, gift, other")                            \
    X(DELIVERIES, "deliveries", "N", "how many deliveries are agreed")                             \
    X(FIRST, "first", "SECONDS", "the first of them, from now")                                    \
    X(EVERY, "every", "SECONDS", "from one delivery to the next")                                  \
    X(WARRANTY, "warranty", "DAYS", "from delivery")                                               \
    X(TERMS, "terms", "FILE", "the terms in full, of which the hash is signed")                    \
    X(NOTE, "note", "TEXT", "up to 120 bytes that go with it")                                     \
    X(PRICE, "price", "UNITS", "price of a sale")                                                  \
    X(DISPUTE_SLOTS, "dispute-slots", "N", "the seller is paid so long after delivery")            \
    X(TITLE, "title", "TEXT", "what is offered")                                                   \
    X(DEVICE, "device", "DEVICE",                                                                  \
      "key of the device, its number, or 4 digits and more of its start")                          \
    X(MAKER_KEY, "maker-key", "KEY", "label of the manufacturer's key")                            \
    X(ATTESTATION, "attestation", "HEX", "the manufacturer's signature, from `poa device attest`") \
    X(READER, "reader", "KEY", "label of a key here, bip340:HEX, ed25519:HEX; default: anybody")   \
    X(DAYS, "days", "N", "how long; default 30")                                                   \
    X(GRANT, "grant", "FILE", "what the owner allowed, from `poa data grant`")                     \
    X(DATA_KEY, "data-key", "FILE", "key of the data, mode 0600")                                  \
    X(NO_WAIT, "no-wait", NULL, "do not wait until it is final")                                   \
    X(HOLD, "hold", NULL, "let it wait for grade 2: seals of devices")                             \
    X(CHAOS, "chaos", "KIND", "devices: they or their gateways fail or lie in turns; liars: all")  \
    X(SLOT, "slot", "S", "the slot; default: the last one with a block")                           \
    X(SLOTS, "slots", "S", "how many slots: a time-out, or to draw; default there 100000")         \
    X(MALICIOUS, "malicious", "P", "fraction of the devices that bad leaders own; default 0")      \
    X(REAL_VRF, "real-vrf", NULL, "evaluate real VRFs: 50 times slower")                           \
    X(RUN, "run", "N", "another random run; default 1")                                            \
    X(LIMIT, "limit", "N", "how many at most; default 100")                                        \
    X(OFFSET, "offset", "N", "skip so many")                                                       \
    X(SUITE, "suite", "SUITE", "tai or ell2")                                                      \
    X(SK, "sk", "HEX", "Ed25519 seed, 32 bytes")                                                   \
    X(PK, "pk", "HEX", "Ed25519 public key, 32 bytes")                                             \
    X(ALPHA, "alpha", "HEX", "input, any length")                                                  \
    X(PI, "pi", "HEX", "proof, 80 bytes")                                                          \
    X(LEDGERS, "ledgers", "N", "ledger servers, the committee; default 4")                         \
    X(TRUSTED, "trusted", "N", "trusted nodes, gateways for devices; default 2")                   \
    X(DEVICES, "devices", "N", "devices; default 20")                                              \
    X(EPOCH_VIEWS, "epoch-views", "N", "views, about as many blocks, of an epoch; default 5000")   \
    X(PRUNE, "prune", "BLOCKS", "trusted nodes keep so many blocks; default: all")                 \
    X(GATEWAYS, "gateways", "N", "trusted nodes that the devices connect to; default 1")           \
    X(PER_TRUNK, "per-trunk", "N", "devices that share a connection; default: none does")          \
    X(PACK_EVERY, "pack-every", "DURATION", "each device publishes so often; default 30s")         \
    X(KILL, "kill", NULL, "kill a gateway half-way and see who comes back")                        \
    X(DRAIN, "drain", NULL, "stop a gateway in order half-way: it sends its devices elsewhere")    \
    X(CUT, "cut", NULL, "cut every connection half-way: what it costs a gateway when all return")  \
    X(POLICY, "policy", "POLICY", "assignment: vrf (default), random or weighted")                 \
    X(FOR, "for", "DURATION", "stop after this long: 20s, 5m, 500ms; default: until Ctrl-C")       \
    X(LOAD, "load", "TPS", "transfers per second, signed beforehand; default 0")                   \
    X(WAIT, "wait", "DURATION",                                                                    \
      "until every node is ready, at most so long, and 60s for a devnet that is to be started")    \
    X(DATA_DIR, "data-dir", "DIR", "where everything is kept; default devnet-data")                \
    X(N, "n", "N", "members of the committee")                                                     \
    X(Q, "q", "Q", "quorum; default N - (N-1)/3")                                                  \
    X(P, "p", "P", "probability that a member, or a device, is bad")                               \
    X(OFFLINE, "offline", "P", "probability that an honest one is offline; default 0")             \
    X(POOL, "pool", "M", "nodes that the committee is drawn from")                                 \
    X(BAD, "bad", "B", "how many of them are bad")                                                 \
    X(GROUP, "group", "C", "seats of one maker, region or provider that falls as a whole")         \
    X(SEALS, "seals", "T", "device seals that make grade 2")                                       \
    X(SEATS, "seats", "S", "expected seats of devices in the span that may give them")             \
    X(PEER, "peer", "KEY", "public key of a node of yours, for the list of every server")          \
    X(FLEET, "fleet", "E", "devices: eligible, for the exact law; or registered for `poa fleet`")  \
    X(DRAWS, "draws", "K", "draws of a device in the span; default: many")                         \
    X(TARGET, "target", "P", "probability that must not be exceeded, such as 1e-12")               \
    X(STALL_TARGET, "stall-target", "P", "the same for stalls; default: that of --target")         \
    X(EPOCH, "epoch", "E", "epoch that the committee serves")                                      \
    X(GENESIS, "genesis", "FILE", "genesis record of the network (.poa); to sign, without a node") \
    X(FROM_EPOCH, "from-epoch", "E", "all headers from this epoch on; before it hand-overs only")  \
    X(SEED, "seed", NULL, "also compute the seed from the beacon outputs in the blocks")           \
    X(NAME, "name", "TEXT", "name on the ledger; default: the key as given")                       \
    X(MESH, "mesh", "HOST:PORT", "where it listens for other nodes")                               \
    X(MAKER, "maker", "ID", "manufacturer of its hardware; default 0")                             \
    X(REGION, "region", "ID", "where it stands; default 0")                                        \
    X(PROVIDER, "provider", "ID", "who hosts it; default 0")                                       \
    X(PAYOUT, "payout", "ADDRESS", "who gets its fees; default: the payer")                        \
    X(STEERING, "steering", "WHO", "account that governs and holds the first coins")               \
    X(TOKENS, "tokens", "FILE", "the node's rpc_tokens")                                           \
    X(RIGHT, "right", "RIGHT", "read (default), submit or operate")                                \
    X(CHAIN, "chain", "HEX", "id of the chain that is trusted")                                    \
    X(HEADER, "header", "HEX|FILE", "header of a block, instead of the proof's own")               \
    X(CERT, "cert", "HEX|FILE", "certificate, instead of the proof's own")

enum cli_option {
#define CLI_ROW(id, name, argument, help) CLI_##id,
    CLI_OPTIONS(CLI_ROW)
#undef CLI_ROW
        CLI_OPTION_COUNT
};
/* One bit for each option: a set of them. */
typedef unsigned __int128 cli_options;
#define CLI_BIT(id) ((cli_options)1 << CLI_##id)
_Static_assert(CLI_OPTION_COUNT <= 128, "a set of options has 128 bits");

/* Groups of options that commands share. */
#define CLI_ALL (CLI_BIT(HELP) | CLI_BIT(JSON))
#define CLI_NODE                                                                                   \
    (CLI_ALL | CLI_BIT(RPC) | CLI_BIT(TIMEOUT) | CLI_BIT(CACERT) | CLI_BIT(PIN) |                  \
     CLI_BIT(TOKEN_FILE))
#define CLI_KEYDIR (CLI_ALL | CLI_BIT(KEYS))
#define CLI_SECRET (CLI_KEYDIR | CLI_BIT(PASSPHRASE_FILE))
/* Commands that make a transaction. */
#define CLI_PAY                                                                                    \
    (CLI_NODE | CLI_SECRET | CLI_BIT(FROM) | CLI_BIT(FEE) | CLI_BIT(NONCE) | CLI_BIT(NO_WAIT) |    \
     CLI_BIT(SIGN) | CLI_BIT(VALID_FOR) | CLI_BIT(OUTPUT) | CLI_BIT(GENESIS))
/* What is paid, and the terms that go with it. */
#define CLI_AGREE                                                                                  \
    (CLI_BIT(ASSET) | CLI_BIT(NATURE) | CLI_BIT(DELIVERIES) | CLI_BIT(FIRST) | CLI_BIT(EVERY) |    \
     CLI_BIT(WARRANTY) | CLI_BIT(TERMS) | CLI_BIT(NOTE))
#define CLI_DEVNET (CLI_ALL | CLI_BIT(DATA_DIR))

/* X("words", function, "ARGUMENTS", least, most, options, "summary", "examples"):
 * most -1: any number. */
#define CLI_COMMANDS(X)                                                                            \
    X("keys new", cli_keys_new, "LABEL", 1, 1,                                                     \
      CLI_SECRET | CLI_BIT(KIND) | CLI_BIT(TYPE) | CLI_BIT(NO_PASSPHRASE),                         \
      "Make a key and store it encrypted",                                                         \
      "poa keys new alice\n"                                                                       \
      "poa keys new server1 --kind node --passphrase-file pass.txt")                               \
    X("keys list", cli_keys_list, "", 0, 0, CLI_KEYDIR,                                            \
      "List keys, multisig accounts and watched addresses",                                        \
      "poa keys list\n"                                                                            \
      "poa keys list --keys devnet-data/keys --json")                                              \
    X("keys show", cli_keys_show, "LABEL", 1, 1, CLI_KEYDIR, "Show a key's public part",           \
      "poa keys show alice")                                                                       \
    X("keys import", cli_keys_import, "LABEL", 1, 1,                                               \
      CLI_SECRET | CLI_BIT(KIND) | CLI_BIT(TYPE) | CLI_BIT(NO_PASSPHRASE) | CLI_BIT(SECRET_FILE),  \
      "Store a secret key that exists already", "poa keys import alice --secret-file secret.hex")  \
    X("keys export", cli_keys_export, "LABEL", 1, 1, CLI_SECRET | CLI_BIT(OUTPUT),                 \
      "Write a secret key, unprotected, to a file of mode 0600",                                   \
      "poa keys export alice --output secret.hex")                                                 \
    X("keys watch", cli_keys_watch, "LABEL ADDRESS", 2, 2, CLI_KEYDIR,                             \
      "Give an address a label, to pay and watch it without its key",                              \
      "poa keys watch shop poa1...\n"                                                              \
      "poa balance shop")                                                                          \
    X("keys forget", cli_keys_forget, "LABEL", 1, 1, CLI_KEYDIR,                                   \
      "Drop the label of a watched address; keys are never deleted", "poa keys forget shop")       \
    X("multisig new", cli_multisig_new, "LABEL KEY...", 2, 17,                                     \
      CLI_KEYDIR | CLI_BIT(M) | CLI_BIT(ALONE),                                                    \
      "Make an account of several keys: labels of keys here, or bip340:HEX, ed25519:HEX",          \
      "poa multisig new savings alice bob bip340:HEX --m 2\n"                                      \
      "poa multisig new fridge fridge-key owner --m 2 --alone 5000")                               \
    X("multisig show", cli_multisig_show, "LABEL", 1, 1, CLI_KEYDIR,                               \
      "Address, keys and limit of an account of several keys", "poa multisig show savings")        \
    X("send", cli_send, "TO AMOUNT [TO AMOUNT...]", 2, 128, CLI_PAY | CLI_AGREE | CLI_BIT(HOLD),   \
      "Send coins: TO is an address or the label of a key; all or nothing",                        \
      "poa send poa1... 1000 --from alice\n"                                                       \
      "poa send bob 1000 --from alice --hold\n"                                                    \
      "poa send bob 1000 carol 500 --from alice --no-wait --json")                                 \
    X("purchase", cli_purchase, "SELLER AMOUNT", 2, 2, CLI_PAY | CLI_AGREE,                        \
      "Pay a seller, less the network's commission",                                               \
      "poa purchase poa1... 1000 --from alice --nature goods --warranty 730")                      \
    X("asset create", cli_asset_create, "NUMBER NAME", 2, 2,                                       \
      CLI_PAY | CLI_BIT(SUPPLY) | CLI_BIT(MAX) | CLI_BIT(DECIMALS), "Issue an asset",              \
      "poa asset create 7 Watthour --max 1000000 --supply 1000 --decimals 3 --from alice")         \
    X("asset mint", cli_asset_mint, "NUMBER TO AMOUNT", 3, 3, CLI_PAY,                             \
      "Make more of an asset, up to its limit", "poa asset mint 7 bob 500 --from alice")           \
    X("asset show", cli_asset_show, "NUMBER", 1, 1, CLI_NODE, "Issuer, supply and limit",          \
      "poa asset show 7")                                                                          \
    X("escrow open", cli_escrow_open, "PAYEE AMOUNT", 2, 2,                                        \
      CLI_PAY | CLI_AGREE | CLI_BIT(SLOTS) | CLI_BIT(CONFIRMER) | CLI_BIT(ARBITER) |               \
          CLI_BIT(COMMERCE),                                                                       \
      "Pay into an escrow, which a time-out refunds",                                              \
      "poa escrow open bob 1000 --slots 100 --confirmer courier --arbiter court --from alice")     \
    X("escrow release", cli_escrow_release, "ID", 1, 1, CLI_PAY,                                   \
      "Confirm delivery: pays the payee", "poa escrow release 7f0c... --from courier")             \
    X("escrow refund", cli_escrow_refund, "ID", 1, 1, CLI_PAY,                                     \
      "Give it back, as the payee or the arbiter", "poa escrow refund 7f0c... --from bob")         \
    X("escrow show", cli_escrow_show, "ID", 1, 1, CLI_NODE, "An open escrow or sale",              \
      "poa escrow show 7f0c...")                                                                   \
    X("data seal", cli_data_seal, "FILE", 1, 1, CLI_ALL | CLI_BIT(OUTPUT) | CLI_BIT(DATA_KEY),     \
      "Encrypt data for sale; --data-key is where their new key goes",                             \
      "poa data seal may.csv --output may.sealed --data-key may.key")                              \
    X("data offer", cli_data_offer, "SEALED", 1, 1,                                                \
      CLI_PAY | CLI_BIT(ASSET) | CLI_BIT(PRICE) | CLI_BIT(SLOTS) | CLI_BIT(DISPUTE_SLOTS) |        \
          CLI_BIT(TITLE) | CLI_BIT(NOTE) | CLI_BIT(DATA_KEY),                                      \
      "Offer encrypted data for sale; --note says where they are",                                 \
      "poa data offer may.sealed --data-key may.key --price 500 --title May --slots 100 "          \
      "--dispute-slots 50 --from bob")                                                             \
    X("data grant", cli_data_grant, "DEVICE", 1, 1,                                                \
      CLI_NODE | CLI_SECRET | CLI_BIT(FROM) | CLI_BIT(SIGN) | CLI_BIT(READER) | CLI_BIT(DAYS) |    \
          CLI_BIT(OUTPUT),                                                                         \
      "As its owner, let somebody read a device's packs: --reader is their key",                   \
      "poa data grant 4f9c --from owner --reader bip340:HEX --days 30 --output bob.grant\n"        \
      "poa data grant 4f9c --from family --sign mum --reader mum --output mum.grant")              \
    X("data sign", cli_data_sign, "FILE", 1, 1,                                                    \
      CLI_NODE | CLI_SECRET | CLI_BIT(SIGN) | CLI_BIT(OUTPUT),                                     \
      "Add a signature to a grant of an account with several keys",                                \
      "poa data sign mum.grant --sign dad")                                                        \
    X("data get", cli_data_get, "DEVICE", 1, 1,                                                    \
      CLI_NODE | CLI_SECRET | CLI_BIT(FROM) | CLI_BIT(GRANT) | CLI_BIT(OUTPUT),                    \
      "Fetch a device's packs of readings from the gateway that keeps them, with all proof",       \
      "poa data get 4f9c --from owner --output may.packs\n"                                        \
      "poa data get 4f9c --from bob --grant bob.grant --output may.packs\n"                        \
      "poa data get 4f9c --from family --output may.packs")                                        \
    X("data verify", cli_data_verify, "FILE [PACKS...]", 1, 64,                                    \
      CLI_NODE | CLI_SECRET | CLI_BIT(GENESIS) | CLI_BIT(CHAIN) | CLI_BIT(DEVICE) |                \
          CLI_BIT(FROM) | CLI_BIT(GRANT),                                                          \
      "Prove that every reading of a CSV file (or every pack of a file) is on the ledger",         \
      "poa data verify may.packs --genesis genesis.poa\n"                                          \
      "poa data verify meter.csv may.packs --genesis genesis.poa\n"                                \
      "poa data verify meter.csv --device 4f9c --from owner --genesis genesis.poa")                \
    X("data show", cli_data_show, "OFFER", 1, 1, CLI_NODE, "An offer", "poa data show 7f0c...")    \
    X("data buy", cli_data_buy, "OFFER [SEALED]", 1, 2, CLI_PAY | CLI_BIT(SECRET_FILE),            \
      "Buy data: makes a one-time key for the delivery; SEALED is compared first",                 \
      "poa data buy 7f0c... may.sealed --secret-file once.key --from alice")                       \
    X("data deliver", cli_data_deliver, "SALE", 1, 1, CLI_PAY | CLI_BIT(DATA_KEY),                 \
      "Deliver the key, sealed to the buyer",                                                      \
      "poa data deliver 7f0c... --data-key may.key --from bob")                                    \
    X("data open", cli_data_open, "SALE SEALED", 2, 2,                                             \
      CLI_NODE | CLI_BIT(SECRET_FILE) | CLI_BIT(OUTPUT),                                           \
      "Decrypt what was bought, after checking key and data",                                      \
      "poa data open 7f0c... may.sealed --secret-file once.key --output may.csv")                  \
    X("data dispute", cli_data_dispute, "SALE", 1, 1, CLI_PAY | CLI_BIT(SECRET_FILE),              \
      "Show that the delivered key is not the promised one: refunds",                              \
      "poa data dispute 7f0c... --secret-file once.key --from alice")                              \
    X("data close", cli_data_close, "OFFER", 1, 1, CLI_PAY, "Withdraw an offer",                   \
      "poa data close 7f0c... --from bob")                                                         \
    X("params show", cli_params_show, "", 0, 0, CLI_NODE,                                          \
      "What governance may change: values now and from the next epoch on, with bounds",            \
      "poa params show")                                                                           \
    X("params set", cli_params_set, "NAME VALUE...", 2, 48, CLI_PAY,                               \
      "Change parameters from the next epoch on, as the steering committee's account",             \
      "poa params set fee_min 20 commerce_bp 100 --from steering\n"                                \
      "poa params set committee_size 16 quorum_extra 1 --from steering --sign a,b --output p.tx")  \
    X("readmit", cli_readmit, "KEY", 1, 1, CLI_PAY,                                                \
      "Readmit a suspended device or witness, as the steering committee's account",                \
      "poa readmit 4f9c... --from steering")                                                       \
    X("tx make", cli_tx_make, "FILE.json", 1, 1, CLI_PAY,                                          \
      "Any operations, as `poa tx ID --json` shows them: one object or an array of up to 64 "      \
      "(also `tx build`)",                                                                         \
      "poa tx make ops.json --from alice\n"                                                        \
      "poa tx make ops.json --from savings --sign alice --output pay.tx\n"                         \
      "poa tx make ops.json --from alice --genesis genesis.poa --nonce 7 --output pay.tx")         \
    X("tx sign", cli_tx_sign, "FILE", 1, 1,                                                        \
      CLI_NODE | CLI_SECRET | CLI_BIT(SIGN) | CLI_BIT(OUTPUT) | CLI_BIT(GENESIS),                  \
      "Add signatures to a transaction that --output wrote",                                       \
      "poa tx sign pay.tx --sign bob\n"                                                            \
      "poa tx sign pay.tx --sign bob --genesis genesis.poa")                                       \
    X("tx submit", cli_tx_submit, "FILE", 1, 1, CLI_NODE | CLI_BIT(NO_WAIT),                       \
      "Send a transaction that has all its signatures (also `tx send`)", "poa tx submit pay.tx")   \
    X("tx show", cli_tx_show, "FILE", 1, 1, CLI_ALL, "Print a transaction in a file",              \
      "poa tx show pay.tx")                                                                        \
    X("balance", cli_balance, "ADDRESS...", 1, -1, CLI_NODE | CLI_KEYDIR | CLI_BIT(ASSET),         \
      "Balance, nonce and what waits for grade 2 of accounts: addresses or labels of keys",        \
      "poa balance alice\n"                                                                        \
      "poa balance poa1... --json")                                                                \
    X("faucet", cli_faucet, "ADDRESS [AMOUNT]", 1, 2, CLI_NODE | CLI_KEYDIR,                       \
      "Ask a test network for coins",                                                              \
      "poa faucet alice\n"                                                                         \
      "poa faucet poa1... 5000")                                                                   \
    X("tx", cli_tx, "ID", 1, 1, CLI_NODE,                                                          \
      "What became of a transaction, its grade and what that lacks", "poa tx 7f0c...")             \
    X("block", cli_block, "[HEIGHT|HASH]", 0, 1, CLI_NODE,                                         \
      "A finalized block, the latest one by default",                                              \
      "poa block\n"                                                                                \
      "poa block 100 --json")                                                                      \
    X("device pair", cli_device_pair, "CODE", 1, 1,                                                \
      CLI_PAY | CLI_BIT(MAKER_KEY) | CLI_BIT(ATTESTATION),                                         \
      "Register a device as its owner: CODE is what `poa-device --pair` shows",                    \
      "poa device pair POA:PAIR:4F9C... --attestation HEX --from owner\n"                          \
      "poa device pair POA:PAIR:4F9C... --maker-key maker-1 --from owner")                         \
    X("device presence", cli_device_presence, "DEVICE", 1, 1, CLI_NODE,                            \
      "Whether a device is connected to this gateway, and since when",                             \
      "poa device presence 4f9c --rpc http://127.0.0.1:7646")                                      \
    X("device attest", cli_device_attest, "CODE", 1, 1,                                            \
      CLI_NODE | CLI_SECRET | CLI_BIT(MAKER_KEY),                                                  \
      "As its manufacturer, vouch for the device that shows CODE",                                 \
      "poa device attest POA:PAIR:4F9C... --maker-key maker-1")                                    \
    X("devices", cli_devices, "[DEVICE]", 0, 1, CLI_NODE | CLI_BIT(LIMIT) | CLI_BIT(OFFSET),       \
      "Registered devices with their seals and earnings, or one: its key, its start, or its "      \
      "index",                                                                                     \
      "poa devices\n"                                                                              \
      "poa devices 4f9c\n"                                                                         \
      "poa devices --limit 10 --offset 100 --json")                                                \
    X("proof", cli_proof, "TABLE [KEY]", 1, 2, CLI_NODE | CLI_KEYDIR,                              \
      "An entry of the state, or its absence, with everything that proves it",                     \
      "poa proof account alice --json > proof.json\n"                                              \
      "poa proof slot 1200\n"                                                                      \
      "poa proof global --json | poa verify proof --genesis genesis.poa")                          \
    X("verify proof", cli_verify_proof, "[FILE]", 0, 1,                                            \
      CLI_ALL | CLI_BIT(GENESIS) | CLI_BIT(CHAIN) | CLI_BIT(HEADER) | CLI_BIT(CERT),               \
      "Check a proof offline; only the chain that you name is trusted",                            \
      "poa proof account alice --json | poa verify proof --genesis genesis.poa\n"                  \
      "poa verify proof proof.json --header HEX --cert HEX --json")                                \
    X("store check", cli_store_check, "DATA_DIR", 1, 1, CLI_ALL | CLI_BIT(GENESIS),                \
      "Verify a stopped node's database: checksums, blocks, certificates, state",                  \
      "poa store check poa-data\n"                                                                 \
      "poa store check poa-data --json")                                                           \
    X("store compact", cli_store_compact, "DATA_DIR", 1, 1, CLI_ALL,                               \
      "Rewrite a stopped node's database, which gives the disk back what was deleted",             \
      "poa store compact poa-data")                                                                \
    X("store export", cli_store_export, "DATA_DIR", 1, 1, CLI_ALL | CLI_BIT(OUTPUT),               \
      "Write the chain of a stopped node to one portable file",                                    \
      "poa store export poa-data --output chain.archive")                                          \
    X("store import", cli_store_import, "FILE DATA_DIR", 2, 2,                                     \
      CLI_ALL | CLI_BIT(GENESIS) | CLI_BIT(CHAIN),                                                 \
      "Make a database from such a file: verified from genesis on and executed",                   \
      "poa store import chain.archive poa-data --genesis genesis.poa")                             \
    X("snapshot create", cli_snapshot_create, "DATA_DIR", 1, 1, CLI_ALL | CLI_BIT(OUTPUT),         \
      "Write the certified state of a stopped node to one portable file",                          \
      "poa snapshot create poa-data --output state.snapshot")                                      \
    X("snapshot restore", cli_snapshot_restore, "FILE DATA_DIR", 2, 2,                             \
      CLI_ALL | CLI_BIT(GENESIS) | CLI_BIT(CHAIN),                                                 \
      "Make a database from a snapshot, once its certificates and state root are verified",        \
      "poa snapshot restore state.snapshot poa-data --genesis genesis.poa")                        \
    X("peers", cli_peers, "", 0, 0, CLI_NODE,                                                      \
      "Who a node talks with: role, seat, since when, last heard, height, traffic, round trip, "   \
      "score and bans, and why it does not",                                                       \
      "poa peers\n"                                                                                \
      "poa peers --json")                                                                          \
    X("status", cli_status, "", 0, 0, CLI_NODE, "Tip, roles, committee and readiness of a node",   \
      "poa status\n"                                                                               \
      "poa status --rpc http://127.0.0.1:7646 --json")                                             \
    X("token new", cli_token_new, "LABEL", 1, 1, CLI_ALL | CLI_BIT(TOKENS) | CLI_BIT(RIGHT),       \
      "Make a token for the RPC: prints it once, the file keeps its hash",                         \
      "poa token new wallet --right submit --tokens /etc/poa/tokens")                              \
    X("token list", cli_token_list, "", 0, 0, CLI_ALL | CLI_BIT(TOKENS),                           \
      "Labels and rights of the tokens in a file", "poa token list --tokens /etc/poa/tokens")      \
    X("token revoke", cli_token_revoke, "LABEL", 1, 1, CLI_ALL | CLI_BIT(TOKENS),                  \
      "Remove a token", "poa token revoke wallet --tokens /etc/poa/tokens")                        \
    X("vrf prove", cli_vrf_prove, "", 0, 0,                                                        \
      CLI_ALL | CLI_BIT(SUITE) | CLI_BIT(SK) | CLI_BIT(ALPHA),                                     \
      "Evaluate the verifiable random function (RFC 9381): prints pi= and beta=",                  \
      "poa vrf prove --suite tai --sk HEX --alpha 72")                                             \
    X("vrf verify", cli_vrf_verify, "", 0, 0,                                                      \
      CLI_ALL | CLI_BIT(SUITE) | CLI_BIT(PK) | CLI_BIT(ALPHA) | CLI_BIT(PI),                       \
      "Check a proof: prints beta=, or one line and exit code 1",                                  \
      "poa vrf verify --suite tai --pk HEX --alpha 72 --pi HEX")                                   \
    X("genesis new", cli_genesis_new, "NAME=KEY@HOST:PORT...", 1, 128,                             \
      CLI_KEYDIR | CLI_BIT(OUTPUT) | CLI_BIT(NAME) | CLI_BIT(STEERING) | CLI_BIT(P) |              \
          CLI_BIT(OFFLINE),                                                                        \
      "Begin a network: the JSON form of its genesis, from the keys and mesh addresses of its "    \
      "witnesses",                                                                                 \
      "poa genesis new north=4f9c...@192.0.2.7:7640 south=1b2a...@198.51.100.2:7640 "              \
      "--steering poa1... --output network.json")                                                  \
    X("genesis create", cli_genesis_create, "FILE.json", 1, 1, CLI_ALL | CLI_BIT(OUTPUT),          \
      "Make the genesis record of a network from its JSON form",                                   \
      "poa genesis create network.json --output genesis.poa")                                      \
    X("genesis show", cli_genesis_show, "FILE.poa", 1, 1, CLI_ALL,                                 \
      "Print a genesis record as JSON, which `poa genesis create` reads",                          \
      "poa genesis show genesis.poa > network.json")                                               \
    X("genesis check", cli_genesis_check, "FILE.poa", 1, 1, CLI_ALL,                               \
      "Check a genesis record and print its chain id", "poa genesis check genesis.poa")            \
    X("devnet up", cli_devnet_up, "", 0, 0,                                                        \
      CLI_DEVNET | CLI_BIT(LEDGERS) | CLI_BIT(TRUSTED) | CLI_BIT(DEVICES) | CLI_BIT(POLICY) |      \
          CLI_BIT(FOR) | CLI_BIT(LOAD) | CLI_BIT(CHAOS) | CLI_BIT(FLEET) | CLI_BIT(EPOCH_VIEWS) |  \
          CLI_BIT(PRUNE) | CLI_BIT(PEER),                                                          \
      "Run a network on this machine: each node and device is a process (`up` may be left out)",   \
      "poa devnet\n"                                                                               \
      "poa devnet --devices 50 --policy random --data-dir /tmp/net\n"                              \
      "poa devnet --load 200 --for 20s --json")                                                    \
    X("devnet down", cli_devnet_down, "", 0, 0, CLI_DEVNET, "Stop a running devnet",               \
      "poa devnet down --data-dir devnet-data")                                                    \
    X("devnet status", cli_devnet_status, "", 0, 0, CLI_DEVNET | CLI_BIT(WAIT),                    \
      "Processes of a devnet, with their addresses and heights",                                   \
      "poa devnet status --json\n"                                                                 \
      "poa devnet status --wait 60s")                                                              \
    X("fleet simulate", cli_fleet_simulate, "", 0, 0,                                              \
      CLI_DEVNET | CLI_BIT(LEDGERS) | CLI_BIT(GATEWAYS) | CLI_BIT(DEVICES) | CLI_BIT(FOR) |        \
          CLI_BIT(PER_TRUNK) | CLI_BIT(PACK_EVERY) | CLI_BIT(KILL) | CLI_BIT(DRAIN) |              \
          CLI_BIT(CUT) | CLI_BIT(EPOCH_VIEWS),                                                     \
      "Run very many devices in one process, with a network of their own, and measure gateways",   \
      "poa fleet simulate --devices 10000 --gateways 1 --for 30s --json\n"                         \
      "poa fleet simulate --devices 10000 --gateways 2 --for 60s --kill\n"                         \
      "poa fleet simulate --devices 100000 --per-trunk 25000 --ledgers 1 --for 90s")               \
    X("witness bounds", cli_witness_bounds, "", 0, 0,                                              \
      CLI_ALL | CLI_BIT(N) | CLI_BIT(Q) | CLI_BIT(P) | CLI_BIT(OFFLINE) | CLI_BIT(POOL) |          \
          CLI_BIT(BAD) | CLI_BIT(GROUP) | CLI_BIT(SEALS) | CLI_BIT(SEATS) | CLI_BIT(FLEET) |       \
          CLI_BIT(DRAWS),                                                                          \
      "How likely a committee forges, forks or stalls, or device seals are forged or late",        \
      "poa witness bounds --n 31 --q 21 --p 0.1\n"                                                 \
      "poa witness bounds --n 31 --q 21 --p 0.05 --offline 0.02 --group 6 --json\n"                \
      "poa witness bounds --n 31 --pool 200 --bad 20\n"                                            \
      "poa witness bounds --seals 63 --seats 192 --p 0.1 --offline 0.4")                           \
    X("witness plan", cli_witness_plan, "", 0, 0,                                                  \
      CLI_ALL | CLI_BIT(P) | CLI_BIT(TARGET) | CLI_BIT(STALL_TARGET) | CLI_BIT(OFFLINE),           \
      "The smallest committee that is safe and live enough",                                       \
      "poa witness plan --p 0.05 --target 1e-12 --offline 0.01\n"                                  \
      "poa witness plan --p 0.05 --target 1e-12 --stall-target 1e-6 --offline 0.05 --json")        \
    X("witness costs", cli_witness_costs, "", 0, 0, CLI_ALL,                                       \
      "Size of a certificate and cost of its check on this machine, by committee size",            \
      "poa witness costs")                                                                         \
    X("witness draw", cli_witness_draw, "", 0, 0, CLI_NODE | CLI_BIT(EPOCH) | CLI_BIT(SEED),       \
      "Repeat the draw of an epoch's committee and compare it with the chain",                     \
      "poa witness draw --epoch 3\n"                                                               \
      "poa witness draw --epoch 3 --seed --json")                                                  \
    X("witness admit", cli_witness_admit, "KEY", 1, 1,                                             \
      CLI_PAY | CLI_BIT(NAME) | CLI_BIT(MESH) | CLI_BIT(MAKER) | CLI_BIT(REGION) |                 \
          CLI_BIT(PROVIDER) | CLI_BIT(PAYOUT),                                                     \
      "Admit a node to the pool of witnesses, as the steering committee's account",                \
      "poa witness admit server5 --mesh 203.0.113.5:7640 --maker 3 --region 7 --from steering\n"   \
      "poa witness admit KEYHEX --mesh host:7640 --from steering --sign a,b --output admit.tx")    \
    X("witness leave", cli_witness_leave, "KEY", 1, 1, CLI_PAY,                                    \
      "Let a witness go when its epoch ends, as the steering committee's account",                 \
      "poa witness leave server2 --from steering")                                                 \
    X("witness recovery", cli_witness_recovery, "", 0, 0, CLI_NODE,                                \
      "Make the order that gets a stalled chain going when witnesses lost their logs",             \
      "poa witness recovery")                                                                      \
    X("chain export", cli_chain_export, "", 0, 0,                                                  \
      CLI_NODE | CLI_BIT(OUTPUT) | CLI_BIT(FROM_EPOCH),                                            \
      "Write headers, hand-overs and certificates to a file that anybody can verify",              \
      "poa chain export --output chain.poa\n"                                                      \
      "poa chain export --from-epoch 100 --output chain.poa")                                      \
    X("verify chain", cli_verify_chain, "[FILE]", 0, 1,                                            \
      CLI_ALL | CLI_BIT(GENESIS) | CLI_BIT(FROM_EPOCH),                                            \
      "Verify an exported chain (FILE or standard input), trusting genesis alone, offline",        \
      "poa verify chain chain.poa --genesis genesis.poa --from-epoch 0\n"                          \
      "poa verify chain --genesis genesis.poa --json < chain.poa")                                 \
    X("why", cli_why, "DEVICE", 1, 1, CLI_NODE | CLI_BIT(SLOT),                                    \
      "Why a device was, or was not, assigned to a slot, and what became of its seal",             \
      "poa why 4f9c\n"                                                                             \
      "poa why 4f9c --slot 1200 --json")                                                           \
    X("lottery simulate", cli_lottery_simulate, "", 0, 0,                                          \
      CLI_ALL | CLI_BIT(DEVICES) | CLI_BIT(POLICY) | CLI_BIT(SLOTS) | CLI_BIT(MALICIOUS) |         \
          CLI_BIT(REAL_VRF) | CLI_BIT(RUN),                                                        \
      "How fairly a policy assigns slots, by the draws that nodes use",                            \
      "poa lottery simulate --devices 10000 --policy vrf --slots 100000\n"                         \
      "poa lottery simulate --devices 500 --slots 5000 --malicious 0.1 --json")                    \
    X("version", cli_version, "", 0, 0, CLI_ALL, "Version of this program", "poa version")         \
    X("help", cli_help, "[COMMAND]", 0, 2, CLI_ALL, "This text, or that of a command",             \
      "poa help\n"                                                                                 \
      "poa help send")

struct cli {
    const char *option[CLI_OPTION_COUNT]; /* argument, "" for a flag, NULL: not given */
    char **argument;
    int arguments;
    bool json;
};

#define CLI_ROW(words, function, arguments, least, most, options, summary, examples)               \
    int function(const struct cli *c);
CLI_COMMANDS(CLI_ROW)
#undef CLI_ROW

/* Runs a command line; the exit code. */
int cli_main(int argc, char **argv);

/* --- help for commands ------------------------------------------------------------ */

/* Prints "poa: ..." to standard error and gives 1: it failed. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a mistake in the command line. Gives 2, and so does cli_main then, whatever
 * its caller makes of it. */
int cli_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* For cli_main: the exit code that RC means. */
void cli_begin(void);
int cli_exit_code(int rc);
/* 0 when PATH may become a new file; else says why not: something is there, or it
 * is "-", for commands that do not write to standard output. */
int cli_new_file(const char *path);
/* Prints VALUE and frees it; the exit code. */
int cli_print_json(json_t *value);
/* What a file that begins with these N bytes is, and the command for it: "; it is ...", or "".
 * For lines about a file of the wrong kind. */
const char *cli_looks_like(const void *bytes, size_t n);
const char *cli_file_looks_like(const char *path);
/* The file PATH for reading; NULL with a line when there is none, or it is a directory. */
FILE *cli_open_file(const char *path);
/* The JSON value in the file PATH, or of standard input ("-"); NULL with a line. */
json_t *cli_json_file(const char *path);
/* Decimal digits of TEXT; prints what is wrong with the option or argument WHAT. */
bool cli_u64(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* "20s", "5m", "2h" or "500ms"; prints what is wrong. */
bool cli_duration(const char *what, const char *text, uint64_t *ms);

/* Full key (64 hex digits) of the device that START means: its key, its number in the
 * registry, or the start of its key (of 4 digits or more). Returns an exit code. */
int cli_device_key(const struct cli *c, const char *start, char key[65]);

/* A certificate's SHA-256 as openssl prints it, with colons or without. */
bool cli_fingerprint(const char *text, uint8_t out32[32]);

const char *cli_rpc_url(const struct cli *c);
/* A client of the node to ask, with what --cacert, --pin and --token-file say. A line is
 * printed on failure. */
int cli_client(const struct cli *c, uint32_t timeout_ms, struct poa_rpc_client **out);
/* --timeout, or 10 s. */
uint32_t cli_timeout_ms(const struct cli *c);
/* One call to the node; on failure the line is printed. POA_OK and a new
 * reference. Takes PARAMS. */
int cli_call(const struct cli *c, const char *method, json_t *params, json_t **result);
/* The same; when the node does not know the thing, the line says ABOUT which. */
int cli_call_about(const struct cli *c, const char *about, const char *method, json_t *params,
                   json_t **result);

/* Key files. DIR is created when CREATE. */
int cli_keys_dir(const struct cli *c, bool create, char *dir, size_t n);
/* Path of LABEL, which may also be a path (with a slash). */
int cli_key_path(const struct cli *c, const char *label, bool create, char *path, size_t n);
int cli_open_key(const struct cli *c, const char *label, struct poa_keystore_info *info,
                 uint8_t secret32[32]);
/* From --passphrase-file, or asked for on the terminal (twice when CONFIRM). */
int cli_passphrase(const struct cli *c, const char *label, bool confirm,
                   struct poa_passphrase *out);
/* TEXT as an address, or the label of a key here. */
int cli_address(const struct cli *c, const char *text, uint8_t address32[32]);

/* Strings of JSON objects; "" when absent. */
const char *cli_text(const json_t *object, const char *key);
uint64_t cli_number(const json_t *object, const char *key); /* integer or digits */

/* How far long work is, on standard error; see poa_progress.h. CTX: the struct, which
 * starts as zero bytes. */
struct cli_progress {
    struct poa_progress progress;
    bool said;
};
void cli_progress(void *ctx, const char *what, uint64_t done, uint64_t total);
/* Takes the bar away; before anything else is printed. */
void cli_progress_end(struct cli_progress *t);

/* Deletes DIR and what is in it. */
void cli_remove_tree(const char *dir);
/* mkdir -p, mode 0700. POA_E_IO with a line. */
int cli_make_dirs(const char *path);

#endif
