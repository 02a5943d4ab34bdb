#include "poa_keystore.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_VERSION 1
#define FILE_MAX     8192
#define KDF_NAME     "argon2id13"
#define CIPHER_NAME  "xchacha20-poly1305"
#define SEALED_BYTES (32 + 16)
/* Also of every file without a passphrase: nothing is to be slowed down there. */
#define CHEAP_PASSES 1
#define CHEAP_KIB    64
/* A file must not be able to ask for more than this machine's patience. */
#define KDF_PASSES_MAX 16u
#define KDF_KIB_MAX    (1u << 20)

/* What the seal authenticates besides the secret: everything else. */
#define KEYFILE_TABLE(F)                                                                           \
    F(U8, version, FILE_VERSION, _, "format")                                                      \
    F(U8, kind, 3, _, "account, node, device")                                                     \
    F(U8, type, 2, _, "BIP340, Ed25519")                                                           \
    F(U8, no_passphrase, 1, _, "the passphrase is empty")                                          \
    F(FIX, pk, 32, _, "public key")                                                                \
    F(FIX, salt, 16, _, "of Argon2id")                                                             \
    F(U32, passes, KDF_PASSES_MAX, _, "of Argon2id")                                               \
    F(U32, memory_kib, KDF_KIB_MAX, _, "of Argon2id")                                              \
    F(BLOB, label, POA_KEY_LABEL_MAX, _, "label")
POA_RECORD_DECLARE(keyfile, KEYFILE_TABLE)
#define F(k, n, m, s, d) POA_FIELD_ROW_(keyfile, k, n, m, s, d)
POA_RECORD_DEFINE(keyfile, KEYFILE_TABLE)
#undef F

struct file {
    struct poa_keyfile head; /* head.label borrows from LABEL */
    char label[POA_KEY_LABEL_MAX + 1];
    uint8_t nonce[24];
    uint8_t sealed[SEALED_BYTES];
};

/* --- names ------------------------------------------------------------------- */

static const char *const kind_names[] = {"", "account", "node", "device"};

const char *poa_key_kind_name(uint8_t kind)
{
    return kind >= POA_KEY_ACCOUNT && kind <= POA_KEY_DEVICE ? kind_names[kind] : "unknown";
}

int poa_key_kind_parse(const char *name, enum poa_key_kind *kind)
{
    for (int k = POA_KEY_ACCOUNT; k <= POA_KEY_DEVICE; k++)
        if (strcmp(name, kind_names[k]) == 0) {
            *kind = (enum poa_key_kind)k;
            return POA_OK;
        }
    return POA_E_INVALID;
}

int poa_key_type_parse(const char *name, enum poa_key_type *type)
{
    for (int t = POA_KEY_BIP340; t <= POA_KEY_ED25519; t++)
        if (strcmp(name, poa_key_type_name((uint8_t)t)) == 0) {
            *type = (enum poa_key_type)t;
            return POA_OK;
        }
    return POA_E_INVALID;
}

static int check_label(const char *label, struct poa_why *why)
{
    size_t n = strspn(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (n == 0 || n > POA_KEY_LABEL_MAX || label[n] != '\0' || label[0] == '.' || label[0] == '-')
        return poa_because(why, POA_E_INVALID,
                           "a key's name is 1 to %d letters, digits, '.', '_' or '-', and starts "
                           "with a letter or digit",
                           POA_KEY_LABEL_MAX);
    return POA_OK;
}

int poa_keystore_path(const char *dir, const char *label, char *path, size_t path_n,
                      struct poa_why *why)
{
    int rc = check_label(label, why);
    if (rc != POA_OK)
        return rc;
    int n = snprintf(path, path_n, "%s/%s.json", dir, label);
    if (n < 0 || (size_t)n >= path_n)
        return poa_because(why, POA_E_LIMIT, "the path of key %s is too long", label);
    return POA_OK;
}

/* --- sealing ------------------------------------------------------------------ */

static int derive(const struct poa_keyfile *head, const struct poa_passphrase *pass,
                  uint8_t key[32], struct poa_why *why)
{
    bool none = head->no_passphrase != 0;
    int rc = poa_pwhash(none ? "" : pass->text, none ? 0 : pass->n, head->salt, head->passes,
                        (uint64_t)head->memory_kib * 1024, key);
    if (rc == POA_E_NO_MEMORY)
        return poa_because(why, rc, "deriving the key needs %u MiB of memory",
                           (unsigned)(head->memory_kib / 1024));
    if (rc != POA_OK)
        return poa_because(why, POA_E_TEXT, "the key file asks for impossible Argon2id settings");
    return POA_OK;
}

static void authenticated(const struct poa_keyfile *head, uint8_t ad[32])
{
    uint8_t bytes[256];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int rc = poa_keyfile_encode(&w, head);
    POA_ASSERT(rc == POA_OK);
    poa_hash(POA_DOMAIN_KEYFILE, bytes, w.n, ad);
}

static int seal(struct file *f, const uint8_t secret[32], const struct poa_passphrase *pass,
                enum poa_keystore_cost cost, struct poa_why *why)
{
    uint8_t key[32], ad[32];
    f->head.no_passphrase = pass == NULL || pass->n == 0;
    bool cheap = cost == POA_KEYSTORE_CHEAP || f->head.no_passphrase;
    f->head.passes = cheap ? CHEAP_PASSES : 3;
    f->head.memory_kib = cheap ? CHEAP_KIB : 256 * 1024;
    poa_random(f->head.salt, sizeof f->head.salt);
    poa_random(f->nonce, sizeof f->nonce);
    int rc = derive(&f->head, pass, key, why);
    if (rc != POA_OK)
        return rc;
    authenticated(&f->head, ad);
    poa_xaead_seal(key, f->nonce, poa_slice(ad, sizeof ad), poa_slice(secret, 32), f->sealed);
    poa_wipe(key, sizeof key);
    return POA_OK;
}

static int unseal(const struct file *f, const struct poa_passphrase *pass, uint8_t secret[32],
                  const char *path, struct poa_why *why)
{
    uint8_t key[32], ad[32], pk[32];
    if (!f->head.no_passphrase && (pass == NULL || pass->n == 0))
        return poa_because(why, POA_E_PASSPHRASE, "key %s needs its passphrase", f->label);
    int rc = derive(&f->head, pass, key, why);
    if (rc != POA_OK)
        return rc;
    authenticated(&f->head, ad);
    rc = poa_xaead_open(key, f->nonce, poa_slice(ad, sizeof ad),
                        poa_slice(f->sealed, sizeof f->sealed), secret);
    poa_wipe(key, sizeof key);
    if (rc != POA_OK && f->head.no_passphrase)
        return poa_because(why, POA_E_PASSPHRASE, "%s is damaged", path);
    if (rc != POA_OK)
        return poa_because(why, POA_E_PASSPHRASE, "wrong passphrase for key %s, or %s is damaged",
                           f->label, path);
    if (poa_key_public((enum poa_key_type)f->head.type, secret, pk) != POA_OK ||
        memcmp(pk, f->head.pk, 32) != 0) {
        poa_wipe(secret, 32);
        return poa_because(why, POA_E_PASSPHRASE, "%s holds another key than it says", path);
    }
    return POA_OK;
}

/* --- the file ------------------------------------------------------------------ */

static void info_of(const struct file *f, struct poa_keystore_info *out)
{
    memset(out, 0, sizeof *out);
    out->kind = (enum poa_key_kind)f->head.kind;
    out->type = (enum poa_key_type)f->head.type;
    memcpy(out->label, f->label, sizeof out->label);
    memcpy(out->pk, f->head.pk, 32);
    poa_address_of_key(out->type, out->pk, out->address);
    out->no_passphrase = f->head.no_passphrase != 0;
}

static int save(const struct file *f, const char *path, unsigned flags, struct poa_why *why)
{
    struct poa_keystore_info info;
    char pk[65], salt[33], nonce[49], sealed[2 * SEALED_BYTES + 1];
    char address[POA_ADDRESS_TEXT_BYTES];
    info_of(f, &info);
    poa_hex(f->head.pk, 32, pk);
    poa_hex(f->head.salt, 16, salt);
    poa_hex(f->nonce, 24, nonce);
    poa_hex(f->sealed, SEALED_BYTES, sealed);
    poa_address_to_text(info.address, address);

    json_t *o = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:{s:s, s:i, s:i, s:s}, s:{s:s, s:s, s:s}}", "poa_key",
        FILE_VERSION, "label", f->label, "kind", poa_key_kind_name(f->head.kind), "type",
        poa_key_type_name(f->head.type), "public", pk, "address", address, "no_passphrase",
        f->head.no_passphrase, "kdf", "name", KDF_NAME, "passes", (int)f->head.passes, "memory_kib",
        (int)f->head.memory_kib, "salt", salt, "cipher", "name", CIPHER_NAME, "nonce", nonce,
        "sealed", sealed);
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(2)) : NULL;
    json_decref(o);
    if (text == NULL)
        return poa_because(why, POA_E_NO_MEMORY, "no memory to write %s", path);
    size_t n = strlen(text);
    text[n] = '\n'; /* over the terminator */
    int rc = poa_file_write(path, text, n + 1, 0600, flags, why);
    free(text);
    return rc;
}

static bool hex_field(const char *text, uint8_t *out, size_t n)
{
    return poa_unhex(text, out, n) == POA_OK;
}

static bool address_agrees(enum poa_key_type type, const uint8_t pk[32], const char *text)
{
    uint8_t address[32];
    char right[POA_ADDRESS_TEXT_BYTES];
    poa_address_of_key(type, pk, address);
    poa_address_to_text(address, right);
    return strcmp(text, right) == 0;
}

static int parse(struct file *f, const char *text, size_t n, const char *path, struct poa_why *why)
{
    json_error_t e;
    int version, no_passphrase, passes, memory_kib;
    const char *label, *kind_name, *type_name, *pk, *address, *kdf, *salt, *cipher, *nonce, *sealed;
    enum poa_key_kind kind;
    enum poa_key_type type;
    json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (o == NULL)
        return poa_because(why, POA_E_TEXT, "%s is not a key file: line %d: %s", path, e.line,
                           e.text);
    int rc = POA_E_TEXT;
    if (json_unpack_ex(
            o, &e, 0,
            "{s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:{s:s, s:i, s:i, s:s}, s:{s:s, s:s, s:s}}",
            "poa_key", &version, "label", &label, "kind", &kind_name, "type", &type_name, "public",
            &pk, "address", &address, "no_passphrase", &no_passphrase, "kdf", "name", &kdf,
            "passes", &passes, "memory_kib", &memory_kib, "salt", &salt, "cipher", "name", &cipher,
            "nonce", &nonce, "sealed", &sealed) != 0)
        (void)poa_because(why, rc, "%s is not a key file: %s", path, e.text);
    else if (version != FILE_VERSION || strcmp(kdf, KDF_NAME) != 0 ||
             strcmp(cipher, CIPHER_NAME) != 0)
        rc = poa_because(why, POA_E_UNSUPPORTED, "%s was written by another version of poa", path);
    else if (check_label(label, NULL) != POA_OK || poa_key_kind_parse(kind_name, &kind) != POA_OK ||
             poa_key_type_parse(type_name, &type) != POA_OK || passes < 1 ||
             passes > (int)KDF_PASSES_MAX || memory_kib < 8 || memory_kib > (int)KDF_KIB_MAX ||
             !hex_field(pk, f->head.pk, 32) || !hex_field(salt, f->head.salt, 16) ||
             !hex_field(nonce, f->nonce, 24) || !hex_field(sealed, f->sealed, SEALED_BYTES))
        (void)poa_because(why, rc, "%s is not a key file: a field is out of range", path);
    else if (no_passphrase && (passes != CHEAP_PASSES || memory_kib != CHEAP_KIB))
        (void)poa_because(why, rc, "%s is not a key file: a field is out of range", path);
    else if (!address_agrees(type, f->head.pk, address))
        (void)poa_because(
            why, rc, "%s is damaged: its address is not that of its public key and type", path);
    else {
        f->head.version = FILE_VERSION;
        f->head.kind = (uint8_t)kind;
        f->head.type = (uint8_t)type;
        f->head.no_passphrase = (uint8_t)no_passphrase;
        f->head.passes = (uint32_t)passes;
        f->head.memory_kib = (uint32_t)memory_kib;
        snprintf(f->label, sizeof f->label, "%s", label);
        f->head.label = poa_slice(f->label, strlen(f->label));
        rc = POA_OK;
    }
    json_decref(o);
    return rc;
}

static int load(struct file *f, const char *path, struct poa_why *why)
{
    char *text;
    size_t n;
    memset(f, 0, sizeof *f);
    int rc = poa_file_read(path, FILE_MAX, POA_FILE_SECRET, &text, &n, why);
    if (rc == POA_OK)
        rc = parse(f, text, n, path, why);
    free(text);
    return rc;
}

int poa_keystore_create(const char *path, enum poa_key_kind kind, enum poa_key_type type,
                        const char *label, const uint8_t secret32[32],
                        const struct poa_passphrase *pass, enum poa_keystore_cost cost,
                        struct poa_keystore_info *out, struct poa_why *why)
{
    struct file f;
    memset(&f, 0, sizeof f);
    int rc = check_label(label, why);
    if (rc != POA_OK)
        return rc;
    if (kind != POA_KEY_ACCOUNT && type != POA_KEY_ED25519)
        return poa_because(why, POA_E_INVALID, "the key of a %s is an ed25519 key",
                           poa_key_kind_name((uint8_t)kind));
    if (poa_key_public(type, secret32, f.head.pk) != POA_OK)
        return poa_because(why, POA_E_KEY, "not a secret key of type %s",
                           poa_key_type_name((uint8_t)type));
    f.head.version = FILE_VERSION;
    f.head.kind = (uint8_t)kind;
    f.head.type = (uint8_t)type;
    snprintf(f.label, sizeof f.label, "%s", label);
    f.head.label = poa_slice(f.label, strlen(f.label));
    rc = seal(&f, secret32, pass, cost, why);
    if (rc == POA_OK)
        rc = save(&f, path, POA_FILE_NEW, why);
    if (rc == POA_OK && out != NULL)
        info_of(&f, out);
    return rc;
}

int poa_keystore_info(const char *path, struct poa_keystore_info *out, struct poa_why *why)
{
    struct file f;
    int rc = load(&f, path, why);
    if (rc == POA_OK && f.head.no_passphrase) { /* nothing hinders the proof */
        uint8_t secret[32];
        rc = unseal(&f, NULL, secret, path, why);
        poa_wipe(secret, sizeof secret);
        if (rc == POA_E_PASSPHRASE)
            rc = POA_E_TEXT;
    }
    if (rc == POA_OK)
        info_of(&f, out);
    return rc;
}

int poa_keystore_open(const char *path, const struct poa_passphrase *pass,
                      struct poa_keystore_info *out, uint8_t secret32[32], struct poa_why *why)
{
    struct file f;
    int rc = load(&f, path, why);
    if (rc == POA_OK)
        rc = unseal(&f, pass, secret32, path, why);
    if (rc == POA_OK && out != NULL)
        info_of(&f, out);
    return rc;
}

int poa_keystore_change(const char *path, const struct poa_passphrase *old_pass,
                        const struct poa_passphrase *new_pass, enum poa_keystore_cost cost,
                        struct poa_why *why)
{
    struct file f;
    uint8_t secret[32];
    int rc = load(&f, path, why);
    if (rc == POA_OK)
        rc = unseal(&f, old_pass, secret, path, why);
    if (rc == POA_OK)
        rc = seal(&f, secret, new_pass, cost, why);
    poa_wipe(secret, sizeof secret);
    if (rc == POA_OK)
        rc = save(&f, path, 0, why);
    return rc;
}

/* --- listing --------------------------------------------------------------------- */

static int is_key_name(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".json") == 0;
}

int poa_keystore_list(const char *dir,
                      bool (*each)(void *ctx, const char *path, int rc,
                                   const struct poa_keystore_info *info, const struct poa_why *why),
                      void *ctx, struct poa_why *why)
{
    struct dirent **names;
    int n = scandir(dir, &names, is_key_name, alphasort);
    if (n < 0)
        return poa_because(why, errno == ENOENT ? POA_E_NOT_FOUND : POA_E_IO,
                           "cannot read the key directory %s: %s", dir, strerror(errno));
    bool more = true;
    for (int i = 0; i < n; i++) {
        char path[4096 + 300];
        struct poa_keystore_info info = {0};
        struct poa_why one = {""};
        if (more) {
            snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
            int rc = poa_keystore_info(path, &info, &one);
            more = each(ctx, path, rc, &info, &one);
        }
        free(names[i]);
    }
    free(names);
    return POA_OK;
}

int poa_passphrase_read(const char *path, struct poa_passphrase *out, struct poa_why *why)
{
    char *text;
    size_t n;
    memset(out, 0, sizeof *out);
    int rc = poa_file_read(path, POA_PASSPHRASE_MAX + 2, POA_FILE_SECRET, &text, &n, why);
    if (rc != POA_OK)
        return rc;
    size_t len = strcspn(text, "\r\n");
    if (strlen(text) != n) /* else what comes after the zero would be left out unsaid */
        rc = poa_because(why, POA_E_TEXT, "%s is not a text file", path);
    else if (len > POA_PASSPHRASE_MAX)
        rc = poa_because(why, POA_E_LIMIT, "the passphrase in %s is longer than %d bytes", path,
                         POA_PASSPHRASE_MAX);
    else
        memcpy(out->text, text, out->n = len);
    poa_wipe(text, n);
    free(text);
    return rc;
}
