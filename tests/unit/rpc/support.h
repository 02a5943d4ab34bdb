/* A server on a real socket, with a backend that the test controls, and a client made of
 * system calls. */
#ifndef RPC_SUPPORT_H
#define RPC_SUPPORT_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "poa_rpc_client.h"
#include "poa_rpc_json.h"

/* For what comes at once, unless the machine is busy: only a failure takes so long. */
#define PATIENCE_MS 60000

#define BLOCKS 8000 /* each with one seal */

extern struct fake {
    bool ready;
    int submit_code;
    bool hold; /* keep submitted calls */
    struct poa_rpc_call *held;
    uint8_t raw[64];
    size_t raw_n;
    uint32_t submitted;
    uint64_t who;   /* of the last one */
    uint64_t first; /* blocks below are not kept */
    bool pays;      /* every block has a payment to the account that its height names */
    uint8_t chain[32], sender[32];
    struct poa_rpc_join join; /* of the status; set before the server starts */
    struct poa_rpc_peer peer[2];
    size_t peers;
} fake;
extern const struct poa_rpc_backend backend;
/* Ends the call ARG as fake.submit_code says; a thread. */
void *end_call(void *arg);

struct poa_rpc *start(const struct poa_rpc_config *base);
void stop(struct poa_rpc *r);
int dial_from(const struct poa_rpc *r, const char *from);
int dial(const struct poa_rpc *r);
void put(int fd, const char *text, size_t n);
/* Reads until the peer closes, N bytes have come, or nothing does for WAIT_MS. */
size_t get(int fd, char *out, size_t cap, int wait_ms);
/* Reads until WHAT has come, or nothing more does. */
bool get_until(int fd, char *out, size_t cap, const char *what);
/* One request on a connection of its own; the status code. */
int ask(const struct poa_rpc *r, const char *head, const char *body, char *out, size_t cap);
void account_of(uint64_t height, uint8_t out32[32]);

#define HOST      "Host: 127.0.0.1\r\n"
#define POST      "POST / HTTP/1.1\r\n" HOST
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST

#endif
