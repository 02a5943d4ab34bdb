/* fleet: many devices in one process, to see what a gateway holds.
 *
 * Each device is the product's library (poa_device.h) with a key, a session, a
 * mark and a back-off of its own; they share the loop, the receive and send
 * buffers, and, when asked, connections: then a device is a channel of a trunk
 * (poa_edge.h), with its Noise session end to end.
 *
 *   unit 0 ─┐                      unit 0 ─ socket ─┐
 *   unit 1 ─┼─ trunk ─ gateway     unit 1 ─ socket ─┼─ gateway
 *   unit 2 ─┘                      unit 2 ─ socket ─┘
 *
 * Each address is one of 127.0.0.0/8, so that a gateway sees as many hosts. A
 * device's mark is in memory: what is tested is that gateways die, not that
 * devices do. One thread; statistics may be read from any.
 */
#ifndef POA_FLEET_H
#define POA_FLEET_H

#include "poa_agent.h"

/* Secret of device I of the fleet with SEED32. */
void poa_fleet_seed(const uint8_t seed32[32], uint32_t i, uint8_t out32[32]);

#define POA_FLEET_DEVICES_MAX 1000000
#define POA_FLEET_ROOTS_MAX   65536

struct poa_fleet_config {
    uint32_t devices;
    uint8_t seed32[32]; /* their keys come from it */
    const struct agent_gateway *gateway;
    size_t gateways;
    struct poa_slice trust; /* encoded edge_trust to start with; empty: the first gateway's */
    uint32_t per_trunk;     /* devices of a connection; 0: each has its own socket */
    uint32_t pack_ms;       /* each publishes one reading so often; 0: none */
};

/* X(name, "help"): all of them counters, but the first two. */
#define POA_FLEET_STATS(X)                                                                         \
    X(connected, "devices whose session stands and who were greeted")                              \
    X(sockets, "open sockets")                                                                     \
    X(connects, "greetings so far")                                                                \
    X(resumed, "of these: without a handshake")                                                    \
    X(lost, "sessions that ended")                                                                 \
    X(failed, "attempts to connect that came to nothing")                                          \
    X(vrf, "VRF evaluations")                                                                      \
    X(tickets, "tickets with seats")                                                               \
    X(seals, "seals signed")                                                                       \
    X(seals_accepted, "seals that the ledger took")                                                \
    X(seals_refused, "seals that it did not take")                                                 \
    X(double_seals, "seals for a slot or height that the device had sealed already")               \
    X(alarms, "proofs of a gateway that lies")                                                     \
    X(packs, "packs made")                                                                         \
    X(receipts, "packs anchored")                                                                  \
    X(packs_refused, "packs refused for good")                                                     \
    X(bytes_in, "bytes received")                                                                  \
    X(bytes_out, "bytes sent")                                                                     \
    X(pack_bytes, "of these: packs, their results and receipts, without frames")

struct poa_fleet_stats {
#define POA_FLEET_STAT(name, help) uint64_t name;
    POA_FLEET_STATS(POA_FLEET_STAT)
#undef POA_FLEET_STAT
};

struct poa_fleet;
/* Starts the thread: every device dials within a second. Copies CONFIG.
 * POA_E_INVALID, POA_E_NO_MEMORY, POA_E_THREADS, and what a
 * trust record of another chain gives; WHY. */
POA_MUST_USE int poa_fleet_start(const struct poa_fleet_config *config, struct poa_fleet **out,
                                 struct poa_why *why);
void poa_fleet_stats(struct poa_fleet *f, struct poa_fleet_stats *out);
/* No more packs are made; those under way go on. */
void poa_fleet_quiet(struct poa_fleet *f);
/* Every connection breaks, as when a network goes away. */
void poa_fleet_cut(struct poa_fleet *f);
/* Milliseconds from the start until SHARE (0..1) of the devices were connected for the
 * first time; 0: not yet. */
uint64_t poa_fleet_connected_ms(struct poa_fleet *f, double share);
/* Roots that receipts named, each once as long as there is room; how many. */
size_t poa_fleet_roots(struct poa_fleet *f, uint8_t (*out)[32], size_t max);
/* Devices that are connected to GATEWAY, its place in the list. */
uint32_t poa_fleet_at(struct poa_fleet *f, size_t gateway);
/* Distinct slots that device I sealed. */
uint64_t poa_fleet_sealed(struct poa_fleet *f, uint32_t i);
/* The devices fall silent; what is counted is all that they did. */
void poa_fleet_stop(struct poa_fleet *f);
void poa_fleet_free(struct poa_fleet *f); /* stops it; NULL is fine */

#endif
