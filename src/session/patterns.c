/* The other fundamental patterns of Noise sections 7.4 and 7.5, by name. Only
 * conformance tools use them: nothing else links this file. */
#include "poa_session.h"

#include <string.h>

#define E  POA_NOISE_E
#define S  POA_NOISE_S
#define EE POA_NOISE_EE
#define ES POA_NOISE_ES
#define SE POA_NOISE_SE
#define SS POA_NOISE_SS

static const struct poa_noise_pattern others[] = {
    {"N", false, true, 1, {{E, ES}}},
    {"K", true, true, 1, {{E, ES, SS}}},
    {"X", false, true, 1, {{E, ES, S, SS}}},
    {"NN", false, false, 2, {{E}, {E, EE}}},
    {"NK", false, true, 2, {{E, ES}, {E, EE}}},
    {"NX", false, false, 2, {{E}, {E, EE, S, ES}}},
    {"KN", true, false, 2, {{E}, {E, EE, SE}}},
    {"KK", true, true, 2, {{E, ES, SS}, {E, EE, SE}}},
    {"KX", true, false, 2, {{E}, {E, EE, SE, S, ES}}},
    {"XN", false, false, 3, {{E}, {E, EE}, {S, SE}}},
    {"XK", false, true, 3, {{E, ES}, {E, EE}, {S, SE}}},
    {"IN", false, false, 2, {{E, S}, {E, EE, SE}}},
    {"IX", false, false, 2, {{E, S}, {E, EE, SE, S, ES}}},
};

static bool named(const struct poa_noise_pattern *p, const char *name, size_t n)
{
    return strlen(p->name) == n && memcmp(p->name, name, n) == 0;
}

const struct poa_noise_pattern *poa_noise_pattern_find(const char *name, size_t n)
{
    size_t i;
    if (named(&poa_noise_ik, name, n))
        return &poa_noise_ik;
    if (named(&poa_noise_xx, name, n))
        return &poa_noise_xx;
    for (i = 0; i < sizeof others / sizeof others[0]; i++)
        if (named(&others[i], name, n))
            return &others[i];
    return NULL;
}
