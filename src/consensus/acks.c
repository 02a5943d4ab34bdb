/* Acknowledgements: who lists a batch must know that f+1 members hold it durably.
 *
 *   on arrival, once durable    author, leaders of this view and the next one
 *   own ones, once durable      the same leaders; with f+1 = 2, everybody
 *   a view begins               to its next leader: what still waits
 *   it waits for a while        to everybody, who then expects it to be listed
 *
 * At full speed the last never happens: all to all for each batch would cost n^2
 * messages. With f+1 = 2 the author's copy and the leader's own suffice: of the others'
 * only the author needs to know, and has time unless it leads. */
#include "core.h"

#define LIST_MAX 256

static bool all_must_know(const struct poa_core *c)
{
    return c->f + 1 > 2;
}

static void everybody(const struct poa_core *c, uint8_t to[16])
{
    for (uint32_t i = 0; i < c->n; i++)
        bit_set(to, i);
}

static void send(struct poa_core *c, struct poa_slice digests, uint32_t count, uint8_t to[16],
                 uint64_t wait, bool lazy)
{
    struct poa_batch_ack ack = {.epoch = c->epoch, .batches = {.bytes = digests, .count = count}};
    to[c->self / 8] &= (uint8_t) ~(1u << (c->self % 8));
    struct poa_slice bytes = core_encode(c, &poa_batch_ack_record, &ack);
    struct poa_effect *e = bytes.n ? core_send_mask(c, POA_MSG_BATCH_ACK, bytes, to, wait) : NULL;
    if (e)
        e->lazy = lazy;
}

/* A leader waits for what is to be listed: nobody proposed in this view yet. */
static bool awaited(struct poa_core *c)
{
    const struct slot *s = core_slot_get(c, c->view);
    return core_leader_of(c, c->view) != c->self && !(s && s->prop);
}

void core_batch_acknowledge(struct poa_core *c, struct batch *b)
{
    uint8_t to[16] = {0};
    int32_t author = core_batch_author(c, b);
    uint16_t leader = core_leader_of(c, c->view), next = core_leader_of(c, c->view + 1);
    bool lazy = b->own ? !awaited(c) : author != leader && author != next;
    if (c->self < 0 || (b->own && !c->f))
        return;
    if (author >= 0)
        bit_set(to, (uint32_t)author);
    if (all_must_know(c)) {
        bit_set(to, leader);
        bit_set(to, next);
        lazy = false;
        if (!b->told && c->ack_us == NO_DEADLINE)
            c->ack_us = c->now.us + core_t0_us(c) / 4;
    } else if (b->own) {
        everybody(c, to);
    }
    send(c, poa_slice(b->digest, 32), 1, to, b->seq, lazy);
}

/* Those that no block on the way lists, to the members in TO. AGAIN: also those
 * that everybody was told of. False: there are more. */
static bool send_waiting(struct poa_core *c, uint8_t to[16], bool again, bool tell)
{
    uint8_t digests[32 * LIST_MAX];
    uint32_t n = 0;
    uint64_t wait = 0;
    bool all = true;
    for (uint32_t e = 0; e < 2; e++)
        for (uint32_t a = 0; a < authors(c) && c->batches_pending; a++)
            for (struct batch *b = c->author_head[e][a]; b && all; b = b->newer) {
                if (!b->seq || b->mark == c->mark || (b->told && !again))
                    continue;
                all = n < LIST_MAX;
                if (!all)
                    break;
                memcpy(digests + (size_t)32 * n++, b->digest, 32);
                b->told |= tell;
                if (b->seq > wait)
                    wait = b->seq;
            }
    if (n)
        send(c, poa_slice(digests, (size_t)32 * n), n, to, wait, false);
    return all;
}

void core_acks_view(struct poa_core *c, uint64_t before)
{
    uint8_t to[16] = {0};
    if (!all_must_know(c) || c->self < 0 || c->restoring)
        return;
    bit_set(to, core_leader_of(c, c->view + 1));
    if (c->view > before + 1)
        bit_set(to, core_leader_of(c, c->view));
    (void)send_waiting(c, to, true, false);
}

void core_acks_tell(struct poa_core *c)
{
    uint8_t to[16] = {0};
    c->ack_us = NO_DEADLINE;
    if (!all_must_know(c) || c->self < 0 || c->restoring)
        return;
    everybody(c, to);
    if (!send_waiting(c, to, false, true))
        c->ack_us = c->now.us;
}
