/* poa witness costs: what a certificate weighs and what its check takes here. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "poa_cli.h"
#include "poa_witness.h"

#define ROUNDS 7

struct bench {
    uint8_t chain[32];
    uint8_t key[POA_COMMITTEE_MAX][32], seed[POA_COMMITTEE_MAX][32];
    uint8_t members[POA_COMMITTEE_MAX * 42], sigs[POA_COMMITTEE_MAX * POA_SIG_BYTES];
    uint8_t bytes[POA_CERT_BYTES_MAX];
    struct poa_committee committee;
    struct poa_cert cert;
    uint8_t digest[32];
};

struct cost {
    uint32_t n, q;
    size_t bytes;
    double us, ratio; /* of a check, and over one Ed25519 verification */
};

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return v[n / 2];
}

/* A committee of N with a certificate by its quorum. */
static int prepare(struct bench *b, uint32_t n, struct cost *out)
{
    struct poa_writer w = poa_writer_over(b->members, sizeof b->members);
    memset(&b->cert, 0, sizeof b->cert);
    for (uint32_t i = 0; i < n; i++) {
        struct poa_member m = {.maker = i};
        memcpy(m.key, b->key[i], 32);
        if (poa_member_encode(&w, &m) != POA_OK)
            return POA_E_BUFFER;
    }
    b->committee = (struct poa_committee){
        .epoch = 1,
        .quorum = (uint16_t)(n - poa_committee_faults(n)),
        .members = {.bytes = poa_written(&w), .count = n},
    };
    b->cert.kind = POA_VOTE_FINALIZE;
    b->cert.epoch = 1;
    b->cert.view = 1;
    b->cert.hash[0] = 1;
    poa_vote_digest(b->chain, b->cert.kind, b->cert.epoch, b->cert.view, b->cert.hash, b->digest);
    for (uint32_t i = 0; i < b->committee.quorum; i++) {
        b->cert.signers[i / 8] |= (uint8_t)(1 << i % 8);
        poa_suite_ed25519.sign(b->seed[i], b->key[i], b->digest, 32, b->sigs + POA_SIG_BYTES * i);
    }
    b->cert.sigs.count = b->committee.quorum;
    b->cert.sigs.bytes = poa_slice(b->sigs, (size_t)POA_SIG_BYTES * b->committee.quorum);
    struct poa_writer c = poa_writer_over(b->bytes, sizeof b->bytes);
    int rc = poa_cert_encode(&c, &b->cert);
    out->n = n;
    out->q = b->committee.quorum;
    out->bytes = c.n;
    return rc;
}

/* Checks and single verifications alternate, so that both see the same machine. */
static int measure(struct bench *b, struct cost *out)
{
    double whole[ROUNDS], ratio[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t singles = out->q;
        int rc = POA_OK;
        double start = cpu_us();
        for (uint32_t i = 0; rc == POA_OK && i < singles; i++)
            rc = poa_suite_ed25519.verify(b->key[i], b->digest, 32, b->sigs + POA_SIG_BYTES * i);
        double single = (cpu_us() - start) / singles;
        start = cpu_us();
        if (rc == POA_OK)
            rc = poa_cert_check(&poa_suite_ed25519, b->chain, &b->committee, &b->cert);
        whole[round] = cpu_us() - start;
        ratio[round] = whole[round] / single;
        if (rc != POA_OK)
            return rc;
    }
    out->us = median(whole, ROUNDS);
    out->ratio = median(ratio, ROUNDS);
    return POA_OK;
}

int cli_witness_costs(const struct cli *c)
{
    static const uint32_t sizes[] = {4, 7, 10, 13, 16, 21, 31, 49, 64, 100, 128};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    struct cost cost[SIZES];
    struct bench *b = calloc(1, sizeof *b);
    int rc = b != NULL ? POA_OK : POA_E_NO_MEMORY;
    for (uint32_t i = 0; rc == POA_OK && i < POA_COMMITTEE_MAX; i++) {
        poa_put_le32(b->seed[i], i + 1);
        poa_ed25519_public(b->seed[i], b->key[i]);
    }
    for (size_t i = 0; rc == POA_OK && i < SIZES; i++) {
        rc = prepare(b, sizes[i], &cost[i]);
        if (rc == POA_OK)
            rc = measure(b, &cost[i]);
    }
    free(b);
    if (rc != POA_OK)
        return cli_fail("%s", poa_error_text(rc));
    if (c->json) {
        json_t *v = json_array();
        for (size_t i = 0; i < SIZES; i++)
            json_array_append_new(v, json_pack("{s:I, s:I, s:I, s:f, s:f}", "n",
                                               (json_int_t)cost[i].n, "q", (json_int_t)cost[i].q,
                                               "bytes", (json_int_t)cost[i].bytes, "verifications",
                                               cost[i].ratio, "check_us", cost[i].us));
        return cli_print_json(v);
    }
    printf("     n     q     f   bytes   check in Ed25519 verifications (µs here, one core)\n");
    for (size_t i = 0; i < SIZES; i++)
        printf("  %4" PRIu32 " %5" PRIu32 " %5" PRIu16 " %7zu   %6.1f  (%.0f)\n", cost[i].n,
               cost[i].q, poa_committee_faults(cost[i].n), cost[i].bytes, cost[i].ratio,
               cost[i].us);
    return 0;
}
