/* What the mesh's tests share: nodes that note what they get, a proxy that
 * records and can go deaf, raw connections that speak only the SP preamble. */
#ifndef POA_TEST_P2P_H
#define POA_TEST_P2P_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "poa_crypto.h"
#include "poa_p2p.h"

#define WAIT_MS 20000

/* Waits until COND holds. */
#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        int waited_ = 0;                                                                           \
        while (!(cond) && waited_ < WAIT_MS) {                                                     \
            sleep_ms(2);                                                                           \
            waited_ += 2;                                                                          \
        }                                                                                          \
        cr_assert(cond);                                                                           \
    } while (0)

void sleep_ms(unsigned ms);

struct got {
    int peer;
    uint16_t type;
    size_t n;
    uint8_t head[32]; /* first bytes */
    uint64_t token;
};

#define GOT_MAX 20000

struct node {
    struct poa_p2p *p;
    uint8_t seed[32], key[32];
    char address[64], push_address[64];
    pthread_mutex_t lock;
    struct got *got; /* the first GOT_MAX */
    size_t got_n;
    uint32_t *of_type; /* how many, of all that came */
    bool echo;         /* answers every request at once with its own bytes */
    _Atomic unsigned ups, downs;
};

extern const uint8_t chain_a[32], chain_b[32];

/* A node with key number ID that listens on free ports of 127.0.0.1 (or HOST). */
struct node *node_open(unsigned id, const struct poa_p2p_config *more);
struct node *node_open_on(unsigned id, const char *host, const struct poa_p2p_config *more);
/* Again on the same ports. */
void node_reopen(struct node *n, const struct poa_p2p_config *more);
void node_stop(struct node *n); /* closes the mesh, keeps the rest */
void node_close(struct node *n);
/* A knows B, with its address when DIAL. */
int node_knows(struct node *a, const struct node *b, bool dial, unsigned flags);
size_t node_total(struct node *n);
size_t node_count(struct node *n, uint16_t type);
bool node_find(struct node *n, uint16_t type, struct got *out);
struct got node_at(struct node *n, size_t i);
bool node_up(struct node *n, int peer);
struct poa_p2p_stats node_stats(struct node *n, int peer);
int push_text(struct node *n, int peer, unsigned priority, uint16_t type, const char *text);

/* The answer to one request. */
struct answer {
    _Atomic int calls;
    int error;
    uint16_t type;
    size_t n;
    uint8_t head[64];
};
void on_answer(void *ctx, int error, uint16_t type, struct poa_slice bytes);

/* TCP proxy from a free port to PORT; records both directions. */
struct proxy;
struct proxy *proxy_open(uint16_t port);
uint16_t proxy_port(const struct proxy *x);
void proxy_deaf(struct proxy *x, bool deaf); /* keeps connections, passes nothing */
/* Copy of what went from client to server on connection number I so far, with
 * the preamble; the caller frees. */
uint8_t *proxy_sent(struct proxy *x, size_t i, size_t *n);
bool proxy_saw(struct proxy *x, const void *bytes, size_t n); /* in either direction */
size_t proxy_bytes(struct proxy *x);
void proxy_close(struct proxy *x);

/* Raw TCP. */
int raw_connect(uint16_t port);
int raw_connect_from(uint16_t port, const char *source_ip);
bool raw_send(int fd, const void *bytes, size_t n);
bool raw_receive(int fd, void *bytes, size_t n); /* exactly N */
/* The 8 bytes that SP peers exchange; PROTOCOL 0x30 REQ, 0x50 PUSH. */
void raw_preamble(int fd, uint8_t protocol);
/* True when the other side closes within WAIT_MS. */
bool raw_closed(int fd);
int raw_listen(uint16_t *port);

#endif
