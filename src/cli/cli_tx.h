/* What commands that make transactions share (sign.c, send.c, multisig.c). */
#ifndef CLI_TX_H
#define CLI_TX_H

#include "poa_cli.h"
#include "poa_ledger.h"
#include "poa_rpc_json.h"

/* The network's rules, from the node. */
struct cli_rules {
    struct poa_genesis g; /* with the parameters that hold now */
    uint8_t chain[32];
    uint32_t epoch; /* of the next block */
    uint8_t *raw;   /* the genesis record, encoded */
    json_t *params; /* poa_params_get */
};
/* POA_OK, or an error whose line is printed. */
int cli_rules(const struct cli *c, struct cli_rules *out);
/* Sets G's parameters to those of EPOCH: the next one, this one, or one before, back to
 * the last change but one. */
int cli_rules_at(const struct cli_rules *r, uint32_t epoch, struct poa_genesis *g);
void cli_rules_free(struct cli_rules *r);

struct cli_ops {
    uint8_t bytes[POA_TX_BYTES_MAX];
    size_t n;
    uint32_t count;
};
/* Appends an operation; 0, or 1 with a line. */
int cli_op(struct cli_ops *o, uint16_t kind, const struct poa_record *record, const void *value);

/* Signs OPS as --from, --sign, --fee, --nonce and --valid-for say, and sends or
 * (--output) keeps it. MADE names what the first operation makes, whose id is
 * printed then, or NULL. The exit code. */
int cli_transact(const struct cli *c, const struct cli_ops *ops, const char *made);
/* --from is missing. */
int cli_no_payer(void);
/* Prints the answer V to a submission, after it is final unless --no-wait. */
int cli_submitted(const struct cli *c, json_t *v, const char *made);

/* --asset; 0 when it is not given. */
bool cli_asset_option(const struct cli *c, uint64_t *asset);
/* Terms as the options say, in BYTES (255); empty without any. */
int cli_terms(const struct cli *c, uint8_t *bytes, struct poa_slice *out);

/* 64 hex digits; says what an id of WHAT looks like. */
bool cli_id(const char *what, const char *text, uint8_t out32[32]);
/* cli_transact of one operation. */
int cli_one_op(const struct cli *c, uint16_t kind, const struct poa_record *record,
               const void *value, const char *made);
/* H(DATA, file) and its length, which may be NULL. */
int cli_hash_data(const char *path, uint8_t out32[32], uint64_t *bytes);
/* Prints V, a line per field or as JSON, and frees it. */
int cli_print_object(const struct cli *c, json_t *v);

/* Who pays: a key or a multisig account. */
struct cli_sender {
    struct poa_policy policy; /* keys borrow from KEYS */
    uint8_t keys[POA_POLICY_KEYS_MAX * 33];
    uint8_t address[32];
    char label[POA_POLICY_KEYS_MAX][POA_KEY_LABEL_MAX + 1]; /* "" for keys of others */
};
int cli_sender(const struct cli *c, const char *label, struct cli_sender *out);
/* Files beside the keys, by what their label names. */
#define CLI_MULTISIG ".multisig"
#define CLI_WATCH    ".watch"
/* DIR/LABEL and SUFFIX; POA_OK, or an error with a line. */
int cli_label_path(const struct cli *c, const char *label, const char *suffix, bool create,
                   char *path, size_t n);
/* 0 when nothing has this label yet; else 1 with a line. */
int cli_label_free(const struct cli *c, const char *label);
/* The address that is watched as LABEL; FOUND says whether one is. */
int cli_watched(const struct cli *c, const char *label, uint8_t address32[32], bool *found);
/* LABEL has no key here: says so, or that it is only watched; 1. */
int cli_no_key(const struct cli *c, const char *label);
int cli_print_watched(const struct cli *c, const char *label, const uint8_t address32[32]);
/* Multisig accounts and watched addresses in DIR: appended to LIST, or printed when it is
 * NULL; COUNT is added to. 1 when one is damaged. */
int cli_list_labels(const struct cli *c, const char *dir, json_t *list, size_t *count);

/* Whether key I of S is here. */
bool cli_sender_key_here(const struct cli *c, const struct cli_sender *s, uint32_t i);

/* A key stays open until the draft is dropped: one whose nonce was taken is signed again,
 * and nobody is asked twice. */
struct cli_opened {
    char label[POA_KEY_LABEL_MAX + 1];
    enum poa_key_type type;
    uint8_t secret[32];
};
/* What an account signs, one key after another: a transaction, or a grant. In files: hex. */
typedef int cli_cosign(const uint8_t chain32[32], struct poa_slice raw, uint8_t key_type,
                       const uint8_t sk32[32], struct poa_writer *out);
/* The auth record of such a thing. */
typedef int cli_auth_of(struct poa_slice raw, struct poa_slice *auth);
struct cli_draft {
    cli_cosign *cosign;
    cli_auth_of *auth_of;
    uint8_t bytes[POA_TX_BYTES_MAX], other[POA_TX_BYTES_MAX];
    size_t n;
    struct cli_opened key[POA_POLICY_KEYS_MAX];
    size_t keys;
};
/* NULL with a line. */
struct cli_draft *cli_draft_new(cli_cosign *cosign, cli_auth_of *auth_of);
void cli_draft_free(struct cli_draft *d); /* wipes the keys; NULL is fine */
/* How many signatures D has, and how many it takes. Errors of poa_auth_signers; no line. */
int cli_draft_signers(const struct cli_draft *d, uint32_t *have, uint32_t *need);
/* Signs with each label of a list separated by commas; never more than it takes, which would
 * spoil it. */
int cli_sign_draft(const struct cli *c, const uint8_t chain32[32], struct cli_draft *d,
                   const char *labels);
/* Signs with the keys of S that are here, as many as it takes. */
int cli_sign_with_ours(const struct cli *c, const uint8_t chain32[32], const struct cli_sender *s,
                       struct cli_draft *d);
/* A transaction whose nonce nobody chose: when another one took it, a new one may be made. */
struct cli_race {
    const uint8_t *chain, *address;
    uint64_t nonce;
    bool lost;
};
/* Sends D. RACE may be NULL; when it is lost, nothing is printed. */
int cli_send_draft(const struct cli *c, const uint8_t chain32[32], const struct cli_draft *d,
                   const char *made, struct cli_race *race);
/* The account's next nonce, by the finalized state. */
int cli_next_nonce(const struct cli *c, const uint8_t address32[32], uint64_t *out);
int cli_write_draft(const char *path, unsigned flags, const struct cli_draft *d);
/* False: WHY it cannot be read, or no text when it is no hex. */
bool cli_read_draft(const char *path, struct cli_draft *d, struct poa_why *why);

/* The multisig account LABEL; FOUND says whether there is one. */
int cli_multisig(const struct cli *c, const char *label, struct cli_sender *out, bool *found);

#endif
