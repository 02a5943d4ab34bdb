/* The other devices that this one talks to, end to end (poa_talk.h). */
#include <stdlib.h>
#include <string.h>

#include "poa_agent.h"
#include "poa_log.h"
#include "poa_talk.h"

struct agent_talks {
    const struct agent_config *config;
    bool begun; /* the chain is known */
    struct {
        struct poa_talk talk;
        bool told, said;
    } peer[AGENT_TALKS_MAX];
};

int agent_talks_open(const struct agent_config *config, struct agent_talks **out)
{
    *out = NULL;
    if (!config->talks)
        return POA_OK;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return POA_E_NO_MEMORY;
    (*out)->config = config;
    return POA_OK;
}

void agent_talks_close(struct agent_talks *t)
{
    if (t)
        poa_wipe(t, sizeof *t);
    free(t);
}

static int begin(struct agent_talks *t, const uint8_t chain32[32])
{
    const struct agent_config *c = t->config;
    for (size_t i = 0; i < c->talks; i++) {
        int e = poa_talk_init(&t->peer[i].talk, chain32, c->seed32, c->key32, c->talk[i]);
        if (e)
            return e;
        if (c->say)
            poa_talk_open(&t->peer[i].talk);
    }
    t->begun = true;
    return POA_OK;
}

static void send_on(struct poa_device *d, const uint8_t to32[32], const struct poa_writer *w)
{
    /* What finds no room is lost, as on the way. */
    if (w->n && poa_device_relay(d, to32, poa_written(w)))
        POA_LOG_DEBUG("talk", "nothing can be said now");
}

/* A session that is there now is told once, and what is to be said follows. */
static void greet(struct agent_talks *t, size_t i, struct poa_device *d)
{
    const struct agent_config *c = t->config;
    uint8_t bytes[POA_EDGE_RELAY_MAX];
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    char key[17];
    if (!poa_talk_ready(&t->peer[i].talk))
        return;
    poa_hex(c->talk[i], 8, key);
    if (!t->peer[i].told)
        POA_LOG_INFO("talk", "session with device %s", key);
    t->peer[i].told = true;
    if (!c->say || t->peer[i].said)
        return;
    int e = poa_talk_say(&t->peer[i].talk, poa_slice(c->say, strlen(c->say)), &w);
    if (!e)
        e = poa_device_relay(d, c->talk[i], poa_written(&w));
    t->peer[i].said = !e;
    if (!e)
        POA_LOG_INFO("talk", "said to device %s", key);
}

void agent_talks_turn(struct agent_talks *t, struct poa_device *d, uint64_t now, uint64_t *wait)
{
    if (!t || d->state != POA_DEVICE_READY || !poa_device_chain(d))
        return;
    if (!t->begun && begin(t, poa_device_chain(d)))
        return;
    for (size_t i = 0; i < t->config->talks; i++) {
        uint8_t entropy[32], bytes[POA_TALK_REPLY];
        struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
        uint64_t due;
        poa_random(entropy, sizeof entropy);
        poa_talk_poll(&t->peer[i].talk, now, entropy, &w, &due);
        poa_wipe(entropy, sizeof entropy);
        send_on(d, t->config->talk[i], &w);
        greet(t, i, d);
        if (due < *wait)
            *wait = due;
    }
}

static size_t find(const struct agent_talks *t, const uint8_t key32[32])
{
    size_t i = 0;
    while (t && t->begun && i < t->config->talks && memcmp(t->config->talk[i], key32, 32) != 0)
        i++;
    return t && t->begun && i < t->config->talks ? i : SIZE_MAX;
}

void agent_talks_heard(struct agent_talks *t, struct poa_device *d, uint64_t now,
                       const struct poa_device_event *e)
{
    uint8_t entropy[32], text[POA_TALK_TEXT_MAX], bytes[POA_TALK_REPLY];
    struct poa_writer heard = poa_writer_over(text, sizeof text);
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    size_t i = find(t, e->hash);
    if (i == SIZE_MAX) {
        char key[17];
        poa_hex(e->hash, 8, key);
        POA_LOG_LIMITED(60000, POA_LOG_INFO, "talk", "device %s is not listened to", key);
        return;
    }
    poa_random(entropy, sizeof entropy);
    int rc = poa_talk_input(&t->peer[i].talk, now, entropy, e->value, &heard, &w);
    poa_wipe(entropy, sizeof entropy);
    if (rc)
        POA_LOG_LIMITED(10000, POA_LOG_INFO, "talk", "what the gateway relayed is not taken: %s",
                        poa_error_text(rc));
    send_on(d, e->hash, &w);
    greet(t, i, d);
    if (!rc && heard.n)
        t->config->heard(t->config->heard_ctx, e->hash, poa_written(&heard));
}

void agent_talks_lost(struct agent_talks *t, const struct poa_device_event *e)
{
    size_t i = find(t, e->hash);
    POA_LOG_LIMITED(60000, POA_LOG_INFO, "talk", "the gateway does not pass it on: %s",
                    poa_error_text(e->code));
    if (i != SIZE_MAX)
        poa_talk_lost(&t->peer[i].talk);
}
