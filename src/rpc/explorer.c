/* The explorer: files of src/explorer, and the library for its charts, inside the program.
 * They ask no other host for anything; the policy that goes with them says so to the browser. */
#include <event2/keyvalq_struct.h>

#include <string.h>

#include "server.h"

#define HTML "text/html; charset=utf-8"
#define JS   "text/javascript; charset=utf-8"
#define CSS  "text/css; charset=utf-8"

/* X(symbol, path, type, file); src/rpc/module.mk names the files too. */
#define FILES(X)                                                                                   \
    X(index, "/", HTML, "src/explorer/index.html")                                                 \
    X(style, "/explorer/style.css", CSS, "src/explorer/style.css")                                 \
    X(app, "/explorer/app.js", JS, "src/explorer/app.js")                                          \
    X(block, "/explorer/block.js", JS, "src/explorer/block.js")                                    \
    X(device, "/explorer/device.js", JS, "src/explorer/device.js")                                 \
    X(draw, "/explorer/draw.js", JS, "src/explorer/draw.js")                                       \
    X(lib, "/explorer/lib.js", JS, "src/explorer/lib.js")                                          \
    X(readings, "/explorer/readings.js", JS, "src/explorer/readings.js")                           \
    X(dygraph, "/explorer/dygraph.js", JS, "/usr/share/javascript/dygraphs/dygraph.min.js")        \
    X(dygraph_css, "/explorer/dygraph.css", CSS, "/usr/share/javascript/dygraphs/dygraph.min.css")

#define EMBED(symbol, path, type, file)                                                            \
    __asm__(".section .rodata\n"                                                                   \
            "explorer_" #symbol ":\n"                                                              \
            ".incbin \"" file "\"\n"                                                               \
            "explorer_" #symbol "_end:\n"                                                          \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char explorer_##symbol[] __attribute__((visibility("hidden")));                   \
    extern const char explorer_##symbol##_end[] __attribute__((visibility("hidden")));
FILES(EMBED)

static const struct {
    const char *path, *type, *start, *end;
} files[] = {
#define ROW(symbol, path, type, file) {path, type, explorer_##symbol, explorer_##symbol##_end},
    FILES(ROW)
#undef ROW
};

bool rpc_explorer(struct poa_rpc *r, struct evhttp_request *req, const char *path)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (strcmp(path, files[i].path) != 0)
            continue;
        struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
        /* dygraphs writes style attributes. */
        evhttp_add_header(headers, "Content-Security-Policy",
                          "default-src 'none'; script-src 'self'; style-src 'self'; "
                          "style-src-attr 'unsafe-inline'; connect-src "
                          "'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
                          "frame-ancestors 'none'");
        evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
        rpc_send(r, req, 200, "OK", files[i].type, files[i].start,
                 (size_t)(files[i].end - files[i].start));
        return true;
    }
    return false;
}
