/* Key files: one secret each, encrypted, as JSON of mode 0600.
 *
 * Argon2id turns the passphrase into a key; XChaCha20-Poly1305 seals the secret
 * and authenticates everything else in the file. Label, kind and public key
 * are readable without the passphrase. A key without a passphrase (devnet,
 * machines that start unattended) says so in its file and rests on the file's
 * mode alone. Nothing here prints a secret.
 */
#ifndef POA_KEYSTORE_H
#define POA_KEYSTORE_H

#include "poa_file.h"
#include "poa_keys.h"

#define POA_KEY_LABEL_MAX  64
#define POA_PASSPHRASE_MAX 1024

enum poa_key_kind {
    POA_KEY_ACCOUNT = 1, /* BIP340 or Ed25519 */
    POA_KEY_NODE = 2,    /* Ed25519 */
    POA_KEY_DEVICE = 3,  /* Ed25519 */
};

enum poa_keystore_cost {
    POA_KEYSTORE_MODERATE, /* 256 MiB, 3 passes: half a second */
    POA_KEYSTORE_CHEAP,    /* 64 KiB, 1 pass: devnet and tests */
};

struct poa_keystore_info {
    enum poa_key_kind kind;
    enum poa_key_type type;
    char label[POA_KEY_LABEL_MAX + 1];
    uint8_t pk[32];
    uint8_t address[32]; /* of this one key */
    bool no_passphrase;
};

struct poa_passphrase {
    char text[POA_PASSPHRASE_MAX + 1];
    size_t n; /* 0: none */
};

const char *poa_key_kind_name(uint8_t kind); /* "account", "node", "device" */
POA_MUST_USE int poa_key_kind_parse(const char *name, enum poa_key_kind *kind);
POA_MUST_USE int poa_key_type_parse(const char *name, enum poa_key_type *type);

/* DIR/LABEL.json. Labels are 1 to 64 letters, digits, '.', '_' and '-', and do
 * not start with '.' or '-'. POA_E_INVALID, POA_E_LIMIT. */
POA_MUST_USE int poa_keystore_path(const char *dir, const char *label, char *path, size_t path_n,
                                   struct poa_why *why);

/* Writes SECRET32 to PATH, a new file. This is also how a key is imported.
 * PASS NULL or empty: no passphrase (COST is then CHEAP, since there is nothing
 * to slow down). OUT may be NULL.
 * Errors: POA_E_EXISTS, POA_E_KEY, POA_E_INVALID, POA_E_IO, POA_E_NO_MEMORY. */
POA_MUST_USE int poa_keystore_create(const char *path, enum poa_key_kind kind,
                                     enum poa_key_type type, const char *label,
                                     const uint8_t secret32[32], const struct poa_passphrase *pass,
                                     enum poa_keystore_cost cost, struct poa_keystore_info *out,
                                     struct poa_why *why);
/* The public part; its address is that of its public key and type. That the secret
 * gives this key is proven only by poa_keystore_open, or here without passphrase.
 * Errors: POA_E_NOT_FOUND, POA_E_CONFIG, POA_E_TEXT (damaged), POA_E_IO. */
POA_MUST_USE int poa_keystore_info(const char *path, struct poa_keystore_info *out,
                                   struct poa_why *why);
/* Opens it. PASS is ignored for a key that has none. SECRET32 is the caller's to
 * wipe. Errors as above, POA_E_PASSPHRASE. */
POA_MUST_USE int poa_keystore_open(const char *path, const struct poa_passphrase *pass,
                                   struct poa_keystore_info *out, uint8_t secret32[32],
                                   struct poa_why *why);
/* Seals the secret anew under another passphrase (or none), in place. */
POA_MUST_USE int poa_keystore_change(const char *path, const struct poa_passphrase *old_pass,
                                     const struct poa_passphrase *new_pass,
                                     enum poa_keystore_cost cost, struct poa_why *why);
/* Calls EACH for every key file (*.json) in DIR by name; RC says whether it
 * could be read, and INFO is valid when it is POA_OK. Stops when EACH returns
 * false. Errors: POA_E_NOT_FOUND, POA_E_IO. */
POA_MUST_USE int poa_keystore_list(const char *dir,
                                   bool (*each)(void *ctx, const char *path, int rc,
                                                const struct poa_keystore_info *info,
                                                const struct poa_why *why),
                                   void *ctx, struct poa_why *why);

/* First line of a file of mode 0600, without its end. Wipe with poa_wipe. */
POA_MUST_USE int poa_passphrase_read(const char *path, struct poa_passphrase *out,
                                     struct poa_why *why);

#endif
