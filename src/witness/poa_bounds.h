/* Bounds: how likely an attacker, or bad luck, beats a committee.
 *
 * A committee has n members, q signatures make a certificate, each member is
 * bad with probability p independently (or B of a pool of M are bad, drawn
 * without replacement). Three numbers matter:
 *   forge  P[X >= q]        the bad ones alone write certificates
 *   fork   P[X >= 2q-n]     two conflicting certificates, honest members split
 *   stall  P[X >= n-q+1]    no certificate at all (bad or offline)
 * The whitepaper's formula is the first; the second is what safety needs.
 *
 * Probabilities carry their natural logarithm, which stays exact where the
 * value itself would underflow. Accuracy: about 1e-13 relative for n <= 10^4.
 * Method: the saddle-point form of the point probability (Loader, "Fast and
 * accurate computation of binomial probabilities", 2000), then the tail summed
 * from its largest term by exact ratios; the smaller tail is summed and the
 * other is its complement. Hosts only (libm).
 */
#ifndef POA_BOUNDS_H
#define POA_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

struct poa_prob {
    double value; /* 0 when below the smallest double */
    double ln;    /* natural logarithm; -INFINITY for 0 */
};

/* P[X >= t] and P[X < t], X ~ Binomial(n, p); p outside [0, 1] is clamped. */
struct poa_prob poa_binomial_tail(uint32_t n, double p, uint32_t t);
struct poa_prob poa_binomial_below(uint32_t n, double p, uint32_t t);
/* P[X >= t], X = bad ones among n drawn from a pool of m that holds b bad. */
struct poa_prob poa_hypergeometric_tail(uint32_t m, uint32_t b, uint32_t n, uint32_t t);
/* P[X >= t] and P[X < t], X ~ Poisson(mean): seats of assigned devices. */
struct poa_prob poa_poisson_tail(double mean, uint32_t t);
struct poa_prob poa_poisson_below(double mean, uint32_t t);

struct poa_bounds {
    struct poa_prob forge, fork, stall;
};
/* OFFLINE: probability that an honest member is unreachable. */
struct poa_bounds poa_bounds_binomial(uint32_t n, uint32_t q, double p, double offline);
/* A pool of m nodes, b of them bad; the honest ones are offline with
 * probability OFFLINE each. */
struct poa_bounds poa_bounds_pool(uint32_t n, uint32_t q, uint32_t m, uint32_t b, double offline);
/* One group (manufacturer, region or provider) with at most C seats falls as a
 * whole; the other n-C members are bad with probability p. */
struct poa_bounds poa_bounds_correlated(uint32_t n, uint32_t q, double p, double offline,
                                        uint32_t c);

/* Whether fork is at most 10^-FORK_EXP and stall at most 10^-STALL_EXP; P and
 * OFFLINE in 1e-9. A rule of consensus: additions, multiplications and divisions
 * of IEEE doubles in a fixed order and no libm, so that every machine says the
 * same. N at most 1,024. */
bool poa_bounds_met(uint32_t n, uint32_t q, uint64_t p_ppb, uint64_t offline_ppb, uint32_t fork_exp,
                    uint32_t stall_exp);

/* The smallest q >= n-f of a committee of N that keeps fork at or below FORK, if
 * it keeps stall at or below STALL too; else -1 (no other q would do better). */
int poa_bounds_plan_quorum(double p, double offline, double fork, double stall, uint32_t n,
                           uint32_t *q);
/* The same for the smallest n <= N_MAX that has one. */
int poa_bounds_plan(double p, double offline, double fork, double stall, uint32_t n_max,
                    uint32_t *n, uint32_t *q);

/* Grade 2: T seals of assigned devices within a span that seats SEATS. A device
 * is bad with probability P; OFFLINE: an honest one does not answer.
 *   forge  T bad ones are seated: seals without honest help
 *   delay  fewer than T honest ones are there in time */
struct poa_seal_bounds {
    struct poa_prob forge, delay;
};
/* Policy vrf, large fleet: every device draws for itself, so the number of
 * seats is Poisson of mean SEATS. */
struct poa_seal_bounds poa_bounds_seals(double seats, uint32_t t, double p, double offline);
/* Policy random: exactly SEATS seats, each of a device drawn anew. */
struct poa_seal_bounds poa_bounds_seals_drawn(uint32_t seats, uint32_t t, double p, double offline);
/* Policy vrf, exact: distinct devices of a FLEET that expects SEATS. DRAWS: how
 * often each draws within the span; 0: the limit of many. */
struct poa_seal_bounds poa_bounds_seals_fleet(double seats, uint32_t fleet, uint32_t draws,
                                              uint32_t t, double p, double offline);

#endif
