/* The loop of poa-device: one socket, one source, one device. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "poa_agent.h"
#include "poa_ledger.h"
#include "poa_log.h"

/* Packs that were sent and not answered. */
#define WINDOW 8
/* A pack that is stored but has no receipt for so long is sent again. */
#define RECEIPT_MS 300000
/* After the gateway said "later". */
#define LATER_MS     2000
#define ASK_AGAIN_MS 500
/* Rows taken in one turn when there is no interval. */
#define BURST    64
#define DIAL_MS  10000
#define RX_BYTES POA_EDGE_DOWN_MAX
#define TX_BYTES 16384
/* Handshakes that a gateway ends before its key is suspected. */
#define SUSPECT 3
#define TURN_MS 1000 /* longest sleep: signals and the end of the run */

struct agent {
    const struct agent_config *config;
    struct agent_keep *keep;
    struct poa_device_port port;
    struct agent_source *source;
    struct agent_talks *talks;
    struct poa_device device;
    struct agent_summary sum;
    struct agent_link link;
    struct agent_news news;
    unsigned closed[AGENT_GATEWAYS_MAX]; /* handshakes, in a row, by the gateway */
    int fd;
    bool dialing, was_ready, ended, fatal;
    bool asked, answered;
    uint64_t dial_ms, dialed_ms; /* next; started */
    uint64_t bye_ms;             /* told to return after this */
    bool bye;
    uint64_t sample_ms, flush_ms, later_ms;
    uint64_t ask_ms;
    uint64_t first_seq; /* of this run's packs */
    uint8_t rx[RX_BYTES], tx[TX_BYTES];
};

static struct poa_device_time now_of(const struct agent *a)
{
    return (struct poa_device_time){poa_clock_monotonic_ms(a->config->clock),
                                    poa_clock_wall_ms(a->config->clock)};
}

/* --- what the device says ------------------------------------------------------ */

static struct agent_kept *kept_of(struct agent *a, const uint8_t id[32])
{
    struct agent_kept *p;
    for (size_t i = 0; (p = agent_keep_at(a->keep, i)); i++)
        if (p->sent && !memcmp(p->id, id, 32))
            return p;
    return NULL;
}

static void on_pack_result(struct agent *a, const struct poa_device_event *e)
{
    struct agent_kept *p = kept_of(a, e->hash);
    if (!p)
        return;
    if (!e->code) {
        p->stored = true;
        return;
    }
    if (poa_error_class(e->code) == POA_CLASS_RETRY ||
        poa_error_class(e->code) == POA_CLASS_RESOURCE || e->code == POA_E_DEVICE_UNKNOWN ||
        e->code == POA_E_DEVICE_SUSPENDED) {
        p->sent = false;
        a->later_ms = now_of(a).mono_ms + LATER_MS;
        POA_LOG_LIMITED(60000, POA_LOG_WARN, "device",
                        "packs wait here, the gateway takes none: %s", poa_error_text(e->code));
        return;
    }
    POA_LOG_WARN("device", "pack %llu is refused for good: %s", (unsigned long long)p->seq,
                 poa_error_text(e->code));
    a->sum.packs_refused++;
    a->sum.refused_code = e->code;
    agent_keep_done(a->keep, p);
}

static const char *status_text(uint8_t status)
{
    return status == POA_EDGE_ACTIVE      ? "active"
           : status == POA_EDGE_SUSPENDED ? "suspended"
                                          : "not registered yet";
}

/* --- a question ------------------------------------------------------------------ */

static int check_proof(const uint8_t root32[32], uint8_t table, struct poa_slice key,
                       struct poa_slice value, struct poa_slice proof)
{
    return poa_proof_check(root32, (enum poa_state_table)table, key.p, key.n, value, proof);
}

static void on_answer(struct agent *a, const struct poa_device_event *e)
{
    const struct agent_question *q = a->config->question;
    a->asked = false;
    if (e->code) {
        /* Not yet, or a header of an epoch that is being handed over. */
        POA_LOG_DEBUG("device", "no answer yet: %s", poa_error_text(e->code));
        a->ask_ms = now_of(a).mono_ms + ASK_AGAIN_MS;
        return;
    }
    q->answer(q->ctx, e->value, e->height, e->time_ms);
    a->answered = true;
}

static void ask(struct agent *a, uint64_t now)
{
    const struct agent_question *q = a->config->question;
    const struct poa_device *d = &a->device;
    if (!q || a->asked || a->answered || now < a->ask_ms || d->state != POA_DEVICE_READY ||
        !d->have_ahead || !d->have_trust || d->committee.epoch < d->ahead.epoch)
        return;
    a->asked = !poa_device_query(&a->device, 1, q->table, q->key);
}

static void on_event(void *ctx, const struct poa_device_event *e)
{
    struct agent *a = ctx;
    struct agent_kept *p;
    switch (e->kind) {
    case POA_DEVICE_WELCOMED:
        a->closed[a->link.next] = 0;
        agent_news_connected(&a->news, a->link.next, e->epoch);
        POA_LOG_INFO("device", "connected; this device is %s, index %u", status_text(e->status),
                     e->index);
        break;
    case POA_DEVICE_EPOCH:
        agent_news_said(&a->news, e->epoch);
        POA_LOG_DEBUG("device", "epoch %u", e->epoch);
        break;
    case POA_DEVICE_COMMITTEE:
        POA_LOG_DEBUG("device", "trusts the committee of epoch %u", e->epoch);
        break;
    case POA_DEVICE_TICKET:
        a->sum.tickets += e->count > 0;
        agent_news_drawn(&a->news, e->count);
        POA_LOG_DEBUG("device", "window %u of epoch %u: %u seats drawn", e->window, e->epoch,
                      e->count);
        break;
    case POA_DEVICE_TICKET_RESULT:
        if (e->code)
            POA_LOG_DEBUG("device", "ticket for window %u: %s", e->window, poa_error_text(e->code));
        break;
    case POA_DEVICE_SEALED:
        a->sum.sealed++;
        agent_news_sealed(&a->news);
        POA_LOG_DEBUG("device", "sealed slot %llu, height %llu", (unsigned long long)e->slot,
                      (unsigned long long)e->height);
        break;
    case POA_DEVICE_SEAL_RESULT:
        a->sum.seals_accepted += !e->code;
        a->sum.seals_refused += e->code != 0;
        if (e->code)
            POA_LOG_DEBUG("device", "seal of slot %llu: %s", (unsigned long long)e->slot,
                          poa_error_text(e->code));
        break;
    case POA_DEVICE_PACK_RESULT:
        on_pack_result(a, e);
        break;
    case POA_DEVICE_RECEIPT:
        p = kept_of(a, e->hash);
        if (p) {
            a->sum.receipts++;
            agent_keep_done(a->keep, p);
        }
        break;
    case POA_DEVICE_REWARD:
        a->sum.earned = e->reward->earned;
        a->sum.balance = e->reward->balance;
        break;
    case POA_DEVICE_REFUSED:
        POA_LOG_DEBUG("device", "slot %llu is not sealed: %s", (unsigned long long)e->slot,
                      poa_error_text(e->code));
        break;
    case POA_DEVICE_ALARM:
        a->sum.alarms++;
        POA_LOG_WARN("device", "the gateway is broken or hostile: %s", poa_error_text(e->code));
        break;
    case POA_DEVICE_BYE:
        a->bye = true;
        a->bye_ms = e->retry_ms;
        POA_LOG_INFO("device", "the gateway closes: %s",
                     e->code ? poa_error_text(e->code) : "it stops");
        break;
    case POA_DEVICE_ANSWER:
        on_answer(a, e);
        break;
    case POA_DEVICE_RELAYED:
        agent_talks_heard(a->talks, &a->device, now_of(a).mono_ms, e);
        break;
    case POA_DEVICE_RELAY_RESULT:
        agent_talks_lost(a->talks, e);
        break;
    case POA_DEVICE_TX_RESULT:
        break;
    }
}

/* Storage that fails ends the run: without it no seal is safe. */
static int guard(struct agent *a, int e)
{
    a->fatal |= e && e != POA_E_NOT_FOUND;
    return e;
}

static int load_mark(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct agent *a = ctx;
    return guard(a, a->port.load_mark(a->port.ctx, buffer, cap, n));
}

static int store_mark(void *ctx, const uint8_t *bytes, size_t n)
{
    struct agent *a = ctx;
    return guard(a, a->port.store_mark(a->port.ctx, bytes, n));
}

static int load_trust(void *ctx, uint8_t *buffer, size_t cap, size_t *n)
{
    struct agent *a = ctx;
    int e = guard(a, a->port.load_trust(a->port.ctx, buffer, cap, n));
    if (!e)
        agent_news_trust(&a->news, poa_slice(buffer, *n));
    return e;
}

static int store_trust(void *ctx, const uint8_t *bytes, size_t n)
{
    struct agent *a = ctx;
    int e = guard(a, a->port.store_trust(a->port.ctx, bytes, n));
    if (!e)
        agent_news_trust(&a->news, poa_slice(bytes, n));
    return e;
}

/* Stores the trust record of epoch 0, when there is none yet. */
static int provision(struct agent *a, struct poa_why *why)
{
    uint8_t buffer[POA_DEVICE_TRUST_MAX];
    size_t n;
    int e = a->port.load_trust(a->port.ctx, buffer, sizeof buffer, &n);
    if (e != POA_E_NOT_FOUND)
        return e ? poa_because(why, e, "state file: %s", poa_error_text(e)) : POA_OK;
    struct poa_writer w = poa_writer_over(buffer, sizeof buffer);
    e = agent_trust_of_genesis(a->config->genesis, &w, why);
    if (e)
        return e;
    e = a->port.store_trust(a->port.ctx, w.p, w.n);
    return e ? poa_because(why, e, "the committee of the genesis cannot be stored: %s",
                           poa_error_text(e))
             : POA_OK;
}

/* --- the connection ------------------------------------------------------------------ */

static void forget_sent(struct agent *a)
{
    struct agent_kept *p;
    for (size_t i = 0; (p = agent_keep_at(a->keep, i)); i++)
        p->sent = p->stored = false;
}

static void hang_up(struct agent *a, enum agent_down why)
{
    uint64_t wait = agent_link_down(&a->link, a->bye ? AGENT_DOWN_TOLD : why, a->bye_ms);
    poa_device_close(&a->device);
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    a->dialing = a->was_ready = a->bye = a->asked = false;
    a->dial_ms = now_of(a).mono_ms + wait;
    forget_sent(a);
}

static const struct addrinfo *choose(const struct agent_link *l, const struct addrinfo *list)
{
    size_t n = 0;
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        n++;
    for (size_t i = agent_link_address(l, n); i > 0; i--)
        list = list->ai_next;
    return list;
}

/* Opens the socket; the handshake follows when it is connected. */
static void dial(struct agent *a, uint64_t now)
{
    const struct agent_gateway *g = &a->config->gateway[a->link.next];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *info = NULL;
    int on = 1, error = 0;
    int e = getaddrinfo(g->host, g->port, &hints, &info);
    if (!e) {
        const struct addrinfo *to = choose(&a->link, info);
        a->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        bool fine =
            a->fd >= 0 && (!connect(a->fd, to->ai_addr, to->ai_addrlen) || errno == EINPROGRESS);
        error = errno;
        if (a->fd >= 0 && !fine) {
            close(a->fd);
            a->fd = -1;
        }
        freeaddrinfo(info);
    }
    if (a->fd < 0) {
        POA_LOG_LIMITED(30000, POA_LOG_WARN, "device", "cannot reach %s port %s: %s", g->host,
                        g->port, e ? gai_strerror(e) : strerror(error));
        hang_up(a, AGENT_DOWN_FAILED);
        return;
    }
    (void)setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    a->dialing = true;
    a->dialed_ms = now;
}

static void dialed(struct agent *a)
{
    const struct agent_gateway *g = &a->config->gateway[a->link.next];
    uint8_t entropy[32];
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &n) || error) {
        POA_LOG_LIMITED(30000, POA_LOG_WARN, "device", "cannot reach %s port %s: %s", g->host,
                        g->port, strerror(error));
        hang_up(a, AGENT_DOWN_FAILED);
        return;
    }
    a->dialing = false;
    poa_random(entropy, sizeof entropy);
    int e = poa_device_connect(&a->device, now_of(a), g->key, entropy);
    poa_wipe(entropy, sizeof entropy);
    a->sum.connects++;
    if (e) {
        POA_LOG_WARN("device", "key of gateway %s port %s: %s", g->host, g->port,
                     poa_error_text(e));
        hang_up(a, AGENT_DOWN_FAILED);
    }
}

/* The gateway ended a handshake. One that lacks the key cannot say so, nor be told. */
static void suspect(struct agent *a)
{
    const struct agent_gateway *g = &a->config->gateway[a->link.next];
    char key[17];
    if (++a->closed[a->link.next] != SUSPECT)
        return;
    poa_hex(g->key, 8, key);
    POA_LOG_WARN("device",
                 "gateway %s port %s has ended %d handshakes: it may have another key than %s...; "
                 "`poa status` of that node shows its key",
                 g->host, g->port, SUSPECT, key);
}

/* E ended the connection. */
static void lost(struct agent *a, int e)
{
    if (!a->bye && e != POA_E_REKEY)
        POA_LOG_LIMITED(10000, POA_LOG_INFO, "device", "connection ended: %s", poa_error_text(e));
    if (a->device.state == POA_DEVICE_DIALING && e != POA_E_TIMEOUT)
        suspect(a);
    hang_up(a, e == POA_E_REKEY    ? AGENT_DOWN_RENEW
               : !a->was_ready     ? AGENT_DOWN_FAILED
               : e == POA_E_CLOSED ? AGENT_DOWN_LOST
                                   : AGENT_DOWN_BROKEN);
}

/* Leaves a gateway that answers but has nothing new, when there is another one. */
static void look_around(struct agent *a, uint64_t now)
{
    static const char *const why[] = {
        [AGENT_NO_EPOCH] = "no new epoch comes",
        [AGENT_OLD_EPOCH] = "its epoch is an old one",
        [AGENT_NO_TASK] = "no task comes for the seats drawn",
    };
    const struct agent_gateway *g = &a->config->gateway[a->link.next];
    bool ready = a->fd >= 0 && !a->dialing && a->device.state == POA_DEVICE_READY;
    enum agent_withheld w = agent_news_turn(&a->news, now, ready, a->config->gateways);
    if (!w)
        return;
    bool other = a->config->gateways > 1;
    POA_LOG_WARN("device", "gateway %s port %s has no news: %s; %s", g->host, g->port, why[w],
                 other ? "another one is asked" : "there is no other one");
    if (other)
        hang_up(a, AGENT_DOWN_BROKEN);
}

static void flush_out(struct agent *a)
{
    while (a->fd >= 0 && !a->dialing) {
        struct poa_slice out = poa_device_output(&a->device);
        if (!out.n)
            return;
        ssize_t n = send(a->fd, out.p, out.n, MSG_NOSIGNAL);
        if (n > 0)
            poa_device_sent(&a->device, (size_t)n);
        else if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        else
            lost(a, POA_E_CLOSED);
    }
}

static void read_in(struct agent *a)
{
    uint8_t bytes[4096];
    ssize_t n = recv(a->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    int e = n > 0 ? poa_device_input(&a->device, now_of(a), bytes, (size_t)n) : POA_E_CLOSED;
    if (e)
        lost(a, e);
}

/* --- packs ------------------------------------------------------------------------------- */

static int send_pack(struct agent *a, struct agent_kept *p, uint64_t now)
{
    uint8_t kept[POA_PACK_BYTES_MAX], bytes[POA_PACK_BYTES_MAX];
    struct poa_pack pack;
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    int e = agent_keep_read(a->keep, p, kept, &pack);
    if (e) {
        /* Bytes that went bad under us: the rest must not wait for them. */
        POA_LOG_ERROR("device", "pack %llu cannot be read back: %s", (unsigned long long)p->seq,
                      poa_error_text(e));
        a->sum.packs_refused++;
        a->sum.refused_code = e;
        agent_keep_done(a->keep, p);
        return POA_OK;
    }
    /* Ed25519 signs the same bytes the same way: the id does not change. */
    e = poa_pack_sign(&poa_suite_ed25519, poa_device_chain(&a->device), a->config->seed32,
                      a->config->key32, &pack, &w);
    if (!e)
        e = poa_device_pack(&a->device, poa_written(&w));
    if (e)
        return e;
    poa_pack_id(poa_written(&w), p->id);
    p->sent = true;
    p->stored = false;
    p->sent_ms = now;
    return POA_OK;
}

static void send_packs(struct agent *a, uint64_t now)
{
    size_t open = 0;
    struct agent_kept *p;
    if (a->device.state != POA_DEVICE_READY || a->device.status != POA_EDGE_ACTIVE ||
        now < a->later_ms)
        return;
    for (size_t i = 0; (p = agent_keep_at(a->keep, i)); i++)
        open += p->sent && !p->stored;
    for (size_t i = 0; open < WINDOW && (p = agent_keep_at(a->keep, i)); i++) {
        if (p->sent && !(p->stored && now - p->sent_ms >= RECEIPT_MS))
            continue;
        if (send_pack(a, p, now))
            return;
        open++;
    }
}

static int take_samples(struct agent *a, uint64_t now)
{
    int e = POA_OK;
    if (!a->source || a->ended || now < a->sample_ms)
        return POA_OK;
    for (int i = 0; i < (a->config->interval_ms ? 1 : BURST) && !e; i++) {
        e = agent_source_sample(a->source, now_of(a).wall_ms);
        if (!e && agent_source_open_readings(a->source) && !a->flush_ms)
            a->flush_ms = now + a->config->pack_ms;
    }
    a->sample_ms = now + (a->config->interval_ms ? a->config->interval_ms : 1);
    if (e == POA_E_FULL) {
        /* A file can wait; the host's readings of now are lost. */
        POA_LOG_LIMITED(60000, POA_LOG_WARN, "device",
                        "%zu packs wait for a gateway: no more readings are taken",
                        agent_keep_count(a->keep));
        a->sample_ms = now + 100;
        return POA_OK;
    }
    if (e == POA_E_NOT_FOUND) {
        a->ended = true;
        a->flush_ms = now;
        return POA_OK;
    }
    return e;
}

/* What a command printed. */
static int collect(struct agent *a, uint64_t now)
{
    if (!a->source || agent_source_fd(a->source) < 0)
        return POA_OK;
    int e = agent_source_collect(a->source);
    if (!e && agent_source_open_readings(a->source) && !a->flush_ms)
        a->flush_ms = now + a->config->pack_ms;
    return e == POA_E_AGAIN || e == POA_E_FULL ? POA_OK : e;
}

static int flush_packs(struct agent *a, uint64_t now)
{
    if (!a->source || !a->flush_ms || now < a->flush_ms)
        return POA_OK;
    int e = agent_source_flush(a->source);
    if (e == POA_E_FULL) {
        a->flush_ms = now + 100;
        return POA_OK;
    }
    a->flush_ms = 0;
    return e;
}

/* --- the loop ------------------------------------------------------------------------------ */

static int turn(struct agent *a, uint64_t end_ms)
{
    uint64_t now = now_of(a).mono_ms, wait = TURN_MS, due = TURN_MS;
    int e = take_samples(a, now);
    if (!e)
        e = collect(a, now);
    if (!e)
        e = flush_packs(a, now);
    if (e)
        return e;
    if (a->fd < 0 && now >= a->dial_ms)
        dial(a, now);
    if (a->dialing && now - a->dialed_ms >= DIAL_MS)
        hang_up(a, AGENT_DOWN_FAILED);
    if (a->fd >= 0 && !a->dialing) {
        e = poa_device_poll(&a->device, now_of(a), &due);
        if (e)
            lost(a, e);
        else if (due < wait)
            wait = due;
        if (!a->was_ready && a->device.state == POA_DEVICE_READY) {
            a->was_ready = true;
            a->sum.resumed += a->device.resumed;
            agent_link_up(&a->link);
        }
        ask(a, now);
        send_packs(a, now);
        agent_talks_turn(a->talks, &a->device, now, &wait);
        flush_out(a);
    }
    look_around(a, now);
    if (a->fatal)
        return POA_E_IO;
    uint64_t timer[] = {a->source && !a->ended ? a->sample_ms : UINT64_MAX,
                        a->flush_ms ? a->flush_ms : UINT64_MAX, a->fd < 0 ? a->dial_ms : UINT64_MAX,
                        end_ms};
    for (size_t i = 0; i < sizeof timer / sizeof *timer; i++)
        if (timer[i] <= now)
            wait = 0;
        else if (timer[i] - now < wait)
            wait = timer[i] - now;
    /* Negative descriptors are passed over. */
    struct pollfd p[2] = {{.fd = a->fd, .events = POLLIN},
                          {.fd = a->source ? agent_source_fd(a->source) : -1, .events = POLLIN}};
    if (a->dialing || (a->fd >= 0 && poa_device_output(&a->device).n))
        p[0].events |= POLLOUT;
    int n = poll(p, 2, (int)wait);
    if (n > 0 && a->dialing && p[0].revents)
        dialed(a);
    else if (n > 0 && (p[0].revents & (POLLIN | POLLHUP | POLLERR)))
        read_in(a);
    return a->fatal ? POA_E_IO : POA_OK;
}

static bool finished(const struct agent *a, uint64_t end_ms)
{
    if (a->config->stop && *a->config->stop)
        return true;
    if (now_of(a).mono_ms >= end_ms || a->answered)
        return true;
    return a->config->once && (!a->source || a->ended) && !agent_keep_count(a->keep) &&
           !(a->source && agent_source_open_readings(a->source));
}

static int open_all(struct agent *a, struct poa_why *why)
{
    const struct agent_config *c = a->config;
    int e = agent_keep_open(c->state_path, c->key32, c->queue_packs, &a->keep, why);
    if (e)
        return e;
    a->port = agent_keep_port(a->keep);
    a->first_seq = agent_keep_next_seq(a->keep);
    if (c->genesis.n)
        e = provision(a, why);
    if (!e && c->source)
        e = agent_source_open(c->source, c->key32, a->keep, &a->source, why);
    if (e)
        return e;
    e = agent_talks_open(c, &a->talks);
    if (e)
        return poa_because(why, e, "out of memory");
    struct poa_device_config d = {
        .suite = &poa_suite_ed25519,
        .seed32 = c->seed32,
        .key32 = c->key32,
        .rx = a->rx,
        .tx = a->tx,
        .rx_bytes = sizeof a->rx,
        .tx_bytes = sizeof a->tx,
        .streaming = c->streaming,
        .listen = c->talks > 0,
        .port = {load_mark, store_mark, load_trust, store_trust, a},
        .chain32 = c->chain32,
        .trust_first = !c->genesis.n,
        .trust_ms = c->trust_ms,
        .proof_check = check_proof,
        .event = on_event,
        .ctx = a,
    };
    e = poa_device_init(&a->device, &d);
    if (e == POA_E_CHAIN)
        return poa_because(why, e, "the state file %s belongs to another chain", c->state_path);
    return e ? poa_because(why, e, "state file %s: %s", c->state_path, poa_error_text(e)) : POA_OK;
}

int agent_run(const struct agent_config *config, struct agent_summary *out, struct poa_why *why)
{
    struct agent *a = calloc(1, sizeof *a);
    if (!a)
        return poa_because(why, POA_E_NO_MEMORY, "out of memory");
    a->config = config;
    a->fd = -1;
    agent_link_init(&a->link, config->gateways);
    agent_news_init(&a->news);
    int e = open_all(a, why);
    uint64_t start = now_of(a).mono_ms;
    uint64_t end = config->for_ms ? start + config->for_ms : UINT64_MAX;
    a->sample_ms = start;
    while (!e && !finished(a, end)) {
        e = turn(a, end);
        if (e)
            poa_because(why, e, "%s: %s",
                        a->fatal         ? config->state_path
                        : config->source ? config->source
                                         : "device",
                        poa_error_text(e));
    }
    /* What was read is accepted: it goes to the file. */
    if (!e && a->source) {
        a->flush_ms = 1;
        e = flush_packs(a, UINT64_MAX);
    }
    a->sum.readings = a->source ? agent_source_readings(a->source) : 0;
    a->sum.packs = a->keep ? agent_keep_next_seq(a->keep) - a->first_seq : 0;
    a->sum.waiting = a->keep ? agent_keep_count(a->keep) : 0;
    a->sum.vrf = a->device.counts[POA_DEVICE_COUNT_VRF];
    a->sum.answered = a->answered;
    a->sum.ended = !a->source || a->ended;
    *out = a->sum;
    if (!e)
        POA_LOG_INFO("device", "sealed %llu slots, %llu packs, %llu receipts, %llu packs wait",
                     (unsigned long long)a->sum.sealed, (unsigned long long)a->sum.packs,
                     (unsigned long long)a->sum.receipts, (unsigned long long)a->sum.waiting);
    if (a->fd >= 0)
        close(a->fd);
    poa_device_wipe(&a->device);
    agent_talks_close(a->talks);
    agent_source_close(a->source);
    agent_keep_close(a->keep);
    free(a);
    return e;
}
