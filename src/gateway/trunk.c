/* Many devices behind one connection: each is a connection without a socket. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

void trunk_begin(struct conn *c)
{
    /* It counts as a stranger until one of its devices is greeted. */
    c->state = CONN_TRUNK;
}

static void put_head(uint8_t *out, size_t n, uint32_t number)
{
    n += POA_EDGE_CHANNEL_BYTES;
    out[0] = (uint8_t)n;
    out[1] = (uint8_t)(n >> 8);
    poa_put_le32(out + POA_EDGE_HEAD_BYTES, number);
}

bool trunk_send(struct conn *c, const uint8_t *frame, size_t n)
{
    struct conn *t = c->trunk;
    uint8_t *out = c->g->frame;
    if (t->state == CONN_DEAD)
        return false;
    n -= POA_EDGE_HEAD_BYTES;
    put_head(out, n, c->number);
    memcpy(out + POA_EDGE_HEAD_BYTES + POA_EDGE_CHANNEL_BYTES, frame + POA_EDGE_HEAD_BYTES, n);
    return conn_write(t, out, POA_EDGE_HEAD_BYTES + POA_EDGE_CHANNEL_BYTES + n);
}

/* Channel NUMBER is closed here. */
static void say_closed(struct conn *t, uint32_t number)
{
    uint8_t frame[POA_EDGE_HEAD_BYTES + POA_EDGE_CHANNEL_BYTES];
    put_head(frame, 0, number);
    if (t->state == CONN_TRUNK)
        (void)conn_write(t, frame, sizeof frame);
}

void trunk_forget(struct conn *c)
{
    struct conn *t = c->trunk;
    if (t->state == CONN_DEAD)
        return; /* it is closing all of them */
    t->channel[c->number] = NULL;
    say_closed(t, c->number);
}

void trunk_greeted(struct conn *c)
{
    c->trunk->joined = true;
    c->trunk->carries++;
    conn_known(c->trunk);
}

void trunk_close(struct conn *c)
{
    for (uint32_t i = 0; i < c->channels; i++)
        if (c->channel[i])
            conn_close(c->channel[i]);
    free(c->channel);
    c->channel = NULL;
    c->channels = 0;
}

static bool have_place(struct conn *t, uint32_t number)
{
    uint32_t n = t->channels ? t->channels : 16;
    while (n <= number)
        n *= 2;
    if (n == t->channels)
        return true;
    struct conn **more = realloc(t->channel, n * sizeof(struct conn *));
    if (!more)
        return false;
    memset(more + t->channels, 0, (n - t->channels) * sizeof(struct conn *));
    t->channel = more;
    t->channels = n;
    return true;
}

/* The device of channel NUMBER; NULL: it cannot come now. */
static struct conn *channel_new(struct conn *t, uint32_t number)
{
    struct conn *c = have_place(t, number) ? conn_new(t->g, t->address) : NULL;
    if (!c) {
        say_closed(t, number);
        return NULL;
    }
    STAT_ADD(t->g, accepted, 1);
    c->trunk = t;
    c->number = number;
    t->channel[number] = c;
    return c;
}

bool trunk_frame(struct conn *t, uint8_t *body, size_t n)
{
    struct poa_gateway *g = t->g;
    uint32_t number = n < POA_EDGE_CHANNEL_BYTES ? UINT32_MAX : poa_le32(body);
    /* No more channels than there may be connections. */
    if (number >= g->config.limits.connections) {
        conn_fail(t, POA_E_RANGE);
        return true;
    }
    struct conn *c = number < t->channels ? t->channel[number] : NULL;
    body += POA_EDGE_CHANNEL_BYTES;
    n -= POA_EDGE_CHANNEL_BYTES;
    if (!n) {
        if (c)
            conn_close(c);
        return true;
    }
    if (!c) {
        if (!conn_first_fits(n))
            return true; /* of a session that ended here already */
        if (g->handshakes_left < 1)
            return false;
        g->handshakes_left -= 1;
        c = channel_new(t, number);
        if (!c)
            return true;
    }
    c->heard_ms = gateway_now_ms(g);
    /* Who shares a connection cannot be made to wait without the others. */
    if (conn_over_rate(c)) {
        STAT_ADD(g, throttled, 1);
        conn_bye(c, POA_E_FULL, GATEWAY_RETRY_MS);
    } else if (c->state == CONN_SILENT && !conn_first_fits(n)) {
        conn_fail(c, POA_E_HANDSHAKE);
    } else {
        (void)conn_frame(c, body, n);
    }
    return true;
}
