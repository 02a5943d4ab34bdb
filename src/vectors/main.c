/* poa-vectors DIR: runs every conformance vector under DIR through the product's
 * own functions. Files are recognised by what is in them, not by their names. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "poa_base.h"
#include "poa_vectors_options.h"
#include "poa_vrf.h"
#include "vectors.h"

#define FILE_BYTES_MAX (256u << 20)

static const char *const folders[] = {"vrf",  "bip340", "ed25519", "wycheproof",
                                      "hash", "noise",  "binomial"};

static bool (*const runners[])(const json_t *, struct poa_vectors_tally *) = {
    poa_vectors_vrf,     poa_vectors_wycheproof, poa_vectors_noise,
    poa_vectors_ed25519, poa_vectors_hash,       poa_vectors_binomial,
};

struct totals {
    unsigned files, odd, passed, failed, skipped;
    bool json;
};

static void print(const struct poa_vectors_tally *t, bool json)
{
    if (!json) {
        printf("%s passed %u failed %u skipped %u\n", t->file, t->passed, t->failed, t->skipped);
        for (unsigned i = 0; i < t->skips; i++)
            printf("  skipped %u: %s\n", t->skip[i].count, t->skip[i].reason);
        return;
    }
    json_t *o = json_pack("{s:s, s:i, s:i, s:i, s:{}}", "file", t->file, "passed", (int)t->passed,
                          "failed", (int)t->failed, "skipped", (int)t->skipped, "reasons");
    for (unsigned i = 0; i < t->skips; i++)
        json_object_set_new(json_object_get(o, "reasons"), t->skip[i].reason,
                            json_integer((json_int_t)t->skip[i].count));
    json_dumpf(o, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(o);
}

/* NULL, or why the file is of no use. */
static const char *run_text(const char *text, size_t n, struct poa_vectors_tally *t, char *why,
                            size_t why_n)
{
    json_error_t e;
    size_t start = strspn(text, " \t\r\n");
    static const char empty[] = "holds no test";
    if (text[start] != '{' && text[start] != '[') {
        if (!poa_vectors_bip340(text, t))
            return "neither JSON nor the CSV of BIP340";
        return t->passed + t->failed + t->skipped > 0 ? NULL : empty;
    }
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (root == NULL) {
        snprintf(why, why_n, "line %d: %s", e.line, e.text);
        return why;
    }
    bool known = false;
    for (size_t i = 0; !known && i < sizeof runners / sizeof runners[0]; i++)
        known = runners[i](root, t);
    json_decref(root);
    if (!known)
        return "no known vector format";
    return t->passed + t->failed + t->skipped > 0 ? NULL : empty;
}

static void run_file(const char *path, const char *name, struct totals *all)
{
    struct poa_vectors_tally t = {.file = name};
    struct poa_why why = {""};
    char detail[300];
    char *text;
    size_t n;
    const char *wrong = why.text;
    if (poa_file_read(path, FILE_BYTES_MAX, 0, &text, &n, &why) == POA_OK)
        wrong = run_text(text, n, &t, detail, sizeof detail);
    free(text);
    all->files++;
    if (wrong != NULL) {
        all->odd++;
        printf("%s: ODD FILE: %s\n", name, wrong);
        return;
    }
    print(&t, all->json);
    all->passed += t.passed;
    all->failed += t.failed;
    all->skipped += t.skipped;
}

static int wanted(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return d->d_name[0] != '.' && !(n > 3 && strcmp(d->d_name + n - 3, ".md") == 0);
}

/* False when there is no such folder. */
static bool run_folder(const char *dir, const char *folder, struct totals *all)
{
    char path[4096], name[600];
    struct dirent **entries;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, folder) >= sizeof path)
        return false;
    int n = scandir(path, &entries, wanted, alphasort);
    if (n < 0)
        return false;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s/%s", folder, entries[i]->d_name);
        if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) < sizeof path)
            run_file(path, name, all);
        free(entries[i]);
    }
    free(entries);
    return true;
}

static void usage(FILE *to)
{
    fputs("usage: " POA_VECTORS_USAGE "\n" POA_VECTORS_ABOUT "\n\noptions:\n", to);
#define ROW(name, letter, argument, text) fprintf(to, "  --%-8s %s\n", name, text);
    POA_VECTORS_OPTIONS(ROW)
#undef ROW
    fputs("\nexamples:\n", to);
#define ROW(line) fprintf(to, "  %s\n", line);
    POA_VECTORS_EXAMPLES(ROW)
#undef ROW
    fputs("\nExit status: " POA_VECTORS_EXITS "\n", to);
}

int main(int argc, char **argv)
{
#define ROW(name, letter, argument, text)                                                          \
    {name, (argument) ? required_argument : no_argument, NULL, letter},
    static const struct option options[] = {POA_VECTORS_OPTIONS(ROW){NULL, 0, NULL, 0}};
#undef ROW
    struct totals all = {0};
    const char *what = "";
    int c;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'j') {
            all.json = true;
        } else {
            usage(c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : 2;
        }
    }
    if (optind + 1 != argc) {
        usage(stderr);
        return 2;
    }
    if (poa_crypto_selftest(&what) != POA_OK || poa_vrf_selftest() != POA_OK) {
        fprintf(stderr, "poa-vectors: self-test failed: %s\n", *what != '\0' ? what : "VRF");
        return 1;
    }
    if (access(argv[optind], R_OK | X_OK) != 0) {
        fprintf(stderr, "poa-vectors: cannot read the directory %s: %s\n", argv[optind],
                strerror(errno));
        return 1;
    }
    unsigned found = 0;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        found += run_folder(argv[optind], folders[i], &all);
    if (all.files == 0) {
        fprintf(stderr,
                "poa-vectors: %s: no vectors in vrf, bip340, ed25519, wycheproof, hash, "
                "noise or binomial under it\n",
                argv[optind]);
        return 1;
    }
    if (!all.json)
        printf("total: files %u odd %u passed %u failed %u skipped %u\n", all.files, all.odd,
               all.passed, all.failed, all.skipped);
    return all.failed == 0 && all.odd == 0 ? 0 : 1;
}
