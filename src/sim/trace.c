/* Readable traces. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>

void trace(struct poa_sim *s, const struct node *n, const char *format, ...)
{
    va_list args;
    if (!s->config.trace)
        return;
    fprintf(s->config.trace, "%9.3f ms  node %-2u  ", (double)s->now / 1000.0, n->id);
    va_start(args, format);
    vfprintf(s->config.trace, format, args);
    va_end(args);
    fputc('\n', s->config.trace);
}

static const char *const kind_name[] = {"notarize", "nullify", "finalize"};

/* Blocks are called A, B, C, ... in the order in which they are first seen. */
const char *trace_name(struct poa_sim *s, const uint8_t hash[32])
{
    static char text[4][8];
    static int turn;
    struct pair *at = pair_at(&s->names, poa_le64(hash));
    char *out = text[turn++ % 4];
    uint64_t i;
    if (!at->used) {
        at->used = true;
        poa_put_le64(at->hash, s->named++);
    }
    i = poa_le64(at->hash);
    if (i < 26)
        snprintf(out, sizeof text[0], "%c", (char)('A' + (int)i));
    else
        snprintf(out, sizeof text[0], "%c%u", (char)('A' + (int)(i % 26)),
                 (unsigned)(i / 26 % 10000));
    return out;
}

static const char *message_name(uint16_t type)
{
    switch (type) {
#define NAME_ROW(name, number, prio, record, text)                                                 \
    case number:                                                                                   \
        return #name;
        POA_MESSAGES(NAME_ROW)
#undef NAME_ROW
    default:
        return "?";
    }
}

void trace_message(struct poa_sim *s, struct node *n, const char *what, uint16_t type,
                   struct poa_slice bytes)
{
    struct poa_vote v;
    struct poa_cert c;
    struct poa_proposal p;
    struct poa_header h;
    struct poa_recover r;
    struct poa_recovered rd;
    uint8_t hash[32];
    if (!s->config.trace)
        return;
    if (type == POA_MSG_VOTE && !poa_vote_decode(bytes, &v)) {
        trace(s, n, "%s vote: %s view %u.%llu%s%s", what, kind_name[v.kind], v.epoch,
              (unsigned long long)v.view, v.kind == POA_VOTE_NULLIFY ? "" : ", block ",
              v.kind == POA_VOTE_NULLIFY ? "" : trace_name(s, v.hash));
    } else if (type == POA_MSG_CERT && !poa_cert_decode(bytes, &c)) {
        trace(s, n, "%s certificate: %s view %u.%llu%s%s, %u signatures", what, kind_name[c.kind],
              c.epoch, (unsigned long long)c.view, c.kind == POA_VOTE_NULLIFY ? "" : ", block ",
              c.kind == POA_VOTE_NULLIFY ? "" : trace_name(s, c.hash), c.sigs.count);
    } else if (type == POA_MSG_PROPOSAL && !poa_proposal_decode(bytes, &p) &&
               !poa_header_decode(p.header, &h)) {
        static const char *const kind[] = {"block", "closing block", "filler"};
        poa_header_hash(&h, hash);
        trace(s, n, "%s proposal: %s %s, height %llu, view %u.%llu on view %llu, %u certificates",
              what, kind[h.kind], trace_name(s, hash), (unsigned long long)h.height, h.epoch,
              (unsigned long long)h.view, (unsigned long long)h.parent_view, p.just.count);
    } else if (type == POA_MSG_RECOVER && !poa_recover_decode(bytes, &r)) {
        trace(s, n, "%s: views %u.%llu and %llu are skipped", what, r.epoch,
              (unsigned long long)r.view, (unsigned long long)r.view + 1);
    } else if (type == POA_MSG_RECOVERED && !poa_recovered_decode(bytes, &rd)) {
        trace(s, n, "%s certificate: views %u.%llu and %llu are skipped, %u signatures", what,
              rd.epoch, (unsigned long long)rd.view, (unsigned long long)rd.view + 1,
              rd.sigs.count);
    } else {
        trace(s, n, "%s %s, %zu bytes", what, message_name(type), bytes.n);
    }
}

void trace_convictions(struct poa_sim *s, const struct node *n, struct poa_slice bytes)
{
    struct poa_body body;
    struct poa_evidence ev;
    if (!s->config.trace || poa_body_decode(bytes, &body))
        return;
    struct poa_list_iter it = poa_list_begin(&body.evidence);
    while (poa_evidence_next(&it, &ev))
        for (uint32_t i = 0; i < s->config.nodes; i++)
            if (!memcmp(s->node[i].key, ev.author, 32))
                trace(s, n, "convicts node %u: it signed what contradicts itself", i);
}
