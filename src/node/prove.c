/* Entries of the state with their proofs, for whoever asks over RPC. */
#include <stdlib.h>
#include <string.h>

#include "node.h"

/* Proofs that wait for the block that certifies them, and how long. */
#define PROOFS_MAX 1024
#define WAIT_US    10000000u

/* Header h+1 carries the root after block h: the proof is taken at once, and
 * its answer leaves when that header is final and can be read. */

struct node_proof {
    struct node_proof *next;
    struct poa_rpc_call *call;
    uint64_t height, deadline_us; /* of the header to come */
    uint8_t table;
    size_t key_n, value_n, proof_n;
    uint8_t bytes[]; /* key, value, proof */
};

static int take_proof(struct poa_node *n, enum poa_state_table table, struct poa_slice key,
                      struct node_proof **out)
{
    struct poa_st_global g;
    struct poa_slice value = {NULL, 0};
    uint8_t path[POA_PROOF_BYTES_MAX];
    struct poa_writer w = poa_writer_over(path, sizeof path);
    pthread_rwlock_rdlock(&n->state_lock);
    poa_ledger_global(n->ledger, POA_STATE_BASE, &g);
    int rc = poa_ledger_get(n->ledger, POA_STATE_BASE, table, key.p, key.n, &value);
    if (rc == POA_E_NOT_FOUND) {
        value = poa_slice(NULL, 0);
        rc = POA_OK;
    }
    if (!rc)
        rc = poa_ledger_prove(n->ledger, table, key.p, key.n, &w);
    struct node_proof *p = rc ? NULL : malloc(sizeof *p + key.n + value.n + w.n);
    if (p) {
        *p = (struct node_proof){.height = g.height + 1,
                                 .deadline_us = poa_clock_monotonic_us(n->clock) + WAIT_US,
                                 .table = (uint8_t)table,
                                 .key_n = key.n,
                                 .value_n = value.n,
                                 .proof_n = w.n};
        struct poa_writer to = poa_writer_over(p->bytes, key.n + value.n + w.n);
        poa_write(&to, key.p, key.n);
        poa_write(&to, value.p, value.n);
        poa_write(&to, path, w.n);
    }
    pthread_rwlock_unlock(&n->state_lock);
    *out = p;
    return rc ? rc : p ? POA_OK : POA_E_NO_MEMORY;
}

void node_rpc_prove(void *ctx, enum poa_state_table table, struct poa_slice key,
                    struct poa_rpc_call *call)
{
    struct poa_node *n = ctx;
    struct node_proof *p = NULL;
    int rc = take_proof(n, table, key, &p);
    if (!rc) {
        p->call = call;
        pthread_mutex_lock(&n->status_mutex);
        if (!n->proofs_open) {
            rc = POA_E_CLOSED;
        } else if (n->proofs_n == PROOFS_MAX) {
            rc = POA_E_FULL;
        } else {
            p->next = n->proofs;
            n->proofs = p;
            n->proofs_n++;
            pthread_cond_broadcast(&n->status_cond);
        }
        pthread_mutex_unlock(&n->status_mutex);
    }
    if (rc) {
        free(p);
        poa_rpc_done_bytes(call, rc, NULL, 0);
    }
}

struct node_proof *node_proofs_take(struct poa_node *n, uint64_t now_us, uint64_t *next_us)
{
    struct node_proof *due = NULL;
    for (struct node_proof **at = &n->proofs; *at;) {
        struct node_proof *p = *at;
        if (p->height <= n->status.stored || p->deadline_us <= now_us) {
            *at = p->next;
            p->next = due;
            due = p;
            n->proofs_n--;
            continue;
        }
        if (p->deadline_us < *next_us)
            *next_us = p->deadline_us;
        at = &p->next;
    }
    return due;
}

static int answer(struct poa_node *n, const struct node_proof *p)
{
    uint8_t *run = NULL;
    size_t run_n = 0;
    int rc = node_run_final(n->store, p->height, &run, &run_n);
    if (rc)
        return rc == POA_E_NOT_FOUND ? POA_E_TIMEOUT : rc;
    const uint8_t *value = p->bytes + p->key_n;
    struct poa_state_proof r = {.table = p->table,
                                .key = poa_slice(p->bytes, p->key_n),
                                .value = poa_slice(value, p->value_n),
                                .proof = poa_slice(value + p->value_n, p->proof_n),
                                .run = poa_slice(run, run_n)};
    size_t cap = p->key_n + p->value_n + p->proof_n + run_n + 64;
    uint8_t *bytes = malloc(cap);
    struct poa_writer w = poa_writer_over(bytes, cap);
    rc = bytes ? poa_state_proof_encode(&w, &r) : POA_E_NO_MEMORY;
    free(run);
    if (rc) {
        free(bytes);
        return rc;
    }
    poa_rpc_done_bytes(p->call, POA_OK, bytes, w.n);
    return POA_OK;
}

void node_proofs_answer(struct poa_node *n, struct node_proof *due, int code)
{
    while (due) {
        struct node_proof *next = due->next;
        int rc = code ? code : answer(n, due);
        if (rc)
            poa_rpc_done_bytes(due->call, rc, NULL, 0);
        free(due);
        due = next;
    }
}
