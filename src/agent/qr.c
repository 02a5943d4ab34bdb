/* QR codes for a terminal. */
#include <qrencode.h>

#include "poa_agent.h"

#define QUIET       2 /* light modules around; four are wanted where there is room */
#define UPPER_LIGHT "\u2580"
#define LOWER_LIGHT "\u2584"
#define BOTH_LIGHT  "\u2588"

static bool light(const QRcode *q, int x, int y)
{
    return x < 0 || y < 0 || x >= q->width || y >= q->width || !(q->data[y * q->width + x] & 1);
}

int agent_qr_print(FILE *to, const char *text)
{
    QRcode *q = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    if (!q)
        return POA_E_TOO_LONG;
    /* Light is what a terminal lights: most have a dark ground. */
    for (int y = -QUIET; y < q->width + QUIET; y += 2) {
        for (int x = -QUIET; x < q->width + QUIET; x++) {
            bool up = light(q, x, y), down = y + 1 < q->width + QUIET && light(q, x, y + 1);
            fputs(up && down ? BOTH_LIGHT : up ? UPPER_LIGHT : down ? LOWER_LIGHT : " ", to);
        }
        fputc('\n', to);
    }
    QRcode_free(q);
    return POA_OK;
}
