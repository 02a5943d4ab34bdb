/* What the configuration names, read before a database is opened or a file written: a
 * start that cannot succeed leaves nothing behind, and says in which line of the
 * configuration the reason stands. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node.h"
#include "poa_genesis_json.h"

/* RC and its reason INNER, as what is wrong with KEY. No memory, or a clock that is not set
 * yet, is nobody's mistake: another start may help. */
static int blame(const struct poa_node *n, const char *key, int rc, const struct poa_why *inner,
                 struct poa_why *why)
{
    if (rc == POA_E_NO_MEMORY)
        return poa_because(why, rc, "%s", inner->text);
    if (rc)
        poa_config_wrong(&n->config, key, why, "%s", inner->text);
    return rc && rc != POA_E_AGAIN ? POA_E_CONFIG : rc;
}

/* --- keys -------------------------------------------------------------------------------- */

static int open_key(struct poa_node *n, struct poa_why *why)
{
    const struct poa_config *c = &n->config;
    struct poa_keystore_info info;
    struct poa_passphrase pass = {.n = 0};
    struct poa_why inner = {""};
    int rc = POA_OK;
    if (c->passphrase_file[0]) {
        rc = poa_passphrase_read(c->passphrase_file, &pass, &inner);
        if (rc)
            return blame(n, "passphrase_file", rc, &inner, why);
    }
    rc = poa_keystore_open(c->key, &pass, &info, n->seed, &inner);
    poa_wipe(&pass, sizeof pass);
    if (rc == POA_E_NOT_FOUND)
        return poa_config_wrong(c, "key", why,
                                "there is no %.120s: `poa keys new node --kind node --keys DIR` "
                                "makes it",
                                c->key);
    if (rc == POA_E_PASSPHRASE && !c->passphrase_file[0])
        return poa_config_wrong(c, "key", why, "%s: say where it is with passphrase_file",
                                inner.text);
    if (rc)
        return blame(n, rc == POA_E_PASSPHRASE ? "passphrase_file" : "key", rc, &inner, why);
    if (info.kind != POA_KEY_NODE || info.type != POA_KEY_ED25519)
        return poa_config_wrong(c, "key", why,
                                "%.120s is not the key of a node: `poa keys new node --kind node` "
                                "makes one",
                                c->key);
    memcpy(n->key, info.pk, 32);
    snprintf(n->name, sizeof n->name, "%.64s", c->name[0] ? c->name : info.label);
    return POA_OK;
}

/* An account that pays without anybody being asked. */
static int open_account(const struct poa_node *n, const char *key, const char *path,
                        struct poa_keystore_info *info, uint8_t secret32[32], struct poa_why *why)
{
    struct poa_passphrase none = {.n = 0};
    struct poa_why inner = {""};
    int rc = poa_keystore_open(path, &none, info, secret32, &inner);
    if (rc == POA_E_PASSPHRASE)
        return poa_config_wrong(&n->config, key, why,
                                "%s, and nobody is here to type it: use a key that was made with "
                                "--no-passphrase",
                                inner.text);
    return blame(n, key, rc, &inner, why);
}

static int open_accounts(struct poa_node *n, struct poa_why *why)
{
    const struct poa_config *c = &n->config;
    struct poa_keystore_info info = {.type = POA_KEY_ED25519};
    memcpy(n->anchor_secret, n->seed, 32);
    if (c->anchor_key[0]) {
        int rc = open_account(n, "anchor_key", c->anchor_key, &info, n->anchor_secret, why);
        if (rc)
            return rc;
    }
    n->anchor_type = info.type;
    if (!c->faucet_key[0])
        return POA_OK;
    if (!n->genesis.devnet)
        return poa_config_wrong(c, "faucet_key", why, "only test networks have a faucet");
    int rc = open_account(n, "faucet_key", c->faucet_key, &info, n->faucet_secret, why);
    if (rc)
        return rc;
    n->faucet = true;
    n->faucet_type = info.type;
    memcpy(n->faucet_address, info.address, 32);
    return POA_OK;
}

/* --- places to write ---------------------------------------------------------------------- */

static int may_write(const struct poa_node *n, const char *key, const char *dir,
                     struct poa_why *why)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return poa_config_wrong(&n->config, key, why, "directory %.120s: %s%s", dir,
                                strerror(errno), errno == ENOENT ? ": make it first" : "");
    if (!S_ISDIR(st.st_mode))
        return poa_config_wrong(&n->config, key, why, "%.120s is not a directory", dir);
    if (access(dir, W_OK | X_OK) != 0)
        return poa_config_wrong(&n->config, key, why,
                                "directory %.120s: %s: the user that runs poad must be able to "
                                "write there",
                                dir, strerror(errno));
    return POA_OK;
}

static int may_write_beside(const struct poa_node *n, const char *key, const char *path,
                            struct poa_why *why)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    return may_write(n, key, dirname(parent), why);
}

static int check_directories(const struct poa_node *n, struct poa_why *why)
{
    const struct poa_config *c = &n->config;
    struct stat st;
    bool there = stat(c->data_dir, &st) == 0 || errno != ENOENT;
    int rc = there ? may_write(n, "data_dir", c->data_dir, why)
                   : may_write_beside(n, "data_dir", c->data_dir, why);
    if (!rc) /* a mark that this key votes is kept there */
        rc = may_write_beside(n, "key", c->key, why);
    if (!rc && c->ready_file[0])
        rc = may_write_beside(n, "ready_file", c->ready_file, why);
    if (!rc && c->ready_file[0] && stat(c->ready_file, &st) == 0 && !S_ISREG(st.st_mode))
        rc = poa_config_wrong(c, "ready_file", why, "%.120s is there and no file", c->ready_file);
    return rc;
}

/* --- all of it ------------------------------------------------------------------------------ */

static int check_rpc(const struct poa_node *n, struct poa_why *why)
{
    const struct poa_config *c = &n->config;
    const char *key = "rpc";
    struct poa_why inner = {""};
    int rc = poa_rpc_files_check(c->rpc_tls_cert, c->rpc_tls_key, c->rpc_tokens, &key, &inner);
    return blame(n, key, rc, &inner, why);
}

int node_prepare(struct poa_node *n, struct poa_why *why)
{
    struct poa_why inner = {""};
    int rc =
        poa_genesis_load(n->config.genesis, &n->genesis_bytes, &n->genesis_n, &n->genesis, &inner);
    if (!rc) {
        poa_genesis_chain_id(poa_slice(n->genesis_bytes, n->genesis_n), n->chain);
        rc = node_risk_check(n, &inner);
    }
    if (rc == POA_E_NOT_FOUND)
        return poa_config_wrong(&n->config, "genesis", why,
                                "there is no %.120s: copy the network's genesis record there, or "
                                "make one with `poa genesis create`",
                                n->config.genesis);
    rc = blame(n, "genesis", rc, &inner, why);
    if (!rc)
        rc = open_key(n, why);
    if (!rc)
        rc = open_accounts(n, why);
    if (!rc)
        rc = check_rpc(n, why);
    return rc ? rc : check_directories(n, why);
}
