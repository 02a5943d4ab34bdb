/* cuts TRACE DIR N SEED: cuts the power at N random moments of a trace, makes what
 * a disk may hold after that, and looks whether every promise was kept.
 *
 * The disk: changes of names happen in order and are durable with the next sync of
 * anything; a file's bytes are durable with its own sync. What is not durable may
 * be there in part: names up to any moment, and of a file's bytes nothing,
 * everything, or a beginning that ends there, in zeros, or in rubbish. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace.h"
#include "work.h"

#define FILES 65536
#define NAMES 512

struct file {
    uint8_t *p;
    size_t n, cap, durable;
};
struct name {
    char text[64];
    unsigned file;
};
struct names {
    struct name name[NAMES];
    unsigned n;
};
struct change { /* of a name, not durable yet */
    unsigned op, file;
    char a[64], b[64];
};

static struct file file[FILES];
static struct names now, durable;
static struct change change[4096];
static unsigned changes, alias[FILES];
static unsigned long long promised, seed;
static const char *dir;

static unsigned long long draw(unsigned long long n)
{
    seed += 0x9e3779b97f4a7c15u;
    unsigned long long z = seed;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % n;
}

static void die(const char *what)
{
    fprintf(stderr, "cuts: %s\n", what);
    exit(1);
}

/* --- names -------------------------------------------------------------------------- */

static int find(const struct names *s, const char *text)
{
    for (unsigned i = 0; i < s->n; i++)
        if (strcmp(s->name[i].text, text) == 0)
            return (int)i;
    return -1;
}

static void set(struct names *s, const char *text, unsigned f)
{
    int at = find(s, text);
    if (at < 0) {
        if (s->n == NAMES)
            die("too many names");
        at = (int)s->n++;
        snprintf(s->name[at].text, sizeof s->name[at].text, "%s", text);
    }
    s->name[at].file = f;
}

static void drop(struct names *s, const char *text)
{
    int at = find(s, text);
    if (at >= 0)
        s->name[at] = s->name[--s->n];
}

static void apply(struct names *s, const struct change *c)
{
    int at;
    switch (c->op) {
    case TRACE_CREATE:
        set(s, c->a, c->file);
        break;
    case TRACE_RENAME:
        at = find(s, c->a);
        if (at >= 0) {
            unsigned f = s->name[at].file;
            drop(s, c->a);
            set(s, c->b, f);
        }
        break;
    default:
        drop(s, c->a);
    }
}

static void note(unsigned op, unsigned f, const char *a, const char *b)
{
    struct change *c = &change[changes++];
    if (changes == sizeof change / sizeof change[0])
        die("too many changes without a sync");
    *c = (struct change){.op = op, .file = f};
    snprintf(c->a, sizeof c->a, "%s", a);
    snprintf(c->b, sizeof c->b, "%s", b);
    apply(&now, c);
}

/* --- the trace ---------------------------------------------------------------------------- */

static void step(const struct trace_head *h, const uint8_t *p)
{
    char a[64] = "", b[64] = "";
    if (h->file >= FILES)
        die("too many files");
    if (h->op == TRACE_CREATE || h->op == TRACE_OPEN || h->op == TRACE_UNLINK)
        snprintf(a, sizeof a, "%.*s", (int)h->n, (const char *)p);
    switch ((enum trace_op)h->op) {
    case TRACE_CREATE:
        alias[h->file] = h->file;
        note(TRACE_CREATE, h->file, a, "");
        break;
    case TRACE_OPEN: {
        int at = find(&now, a);
        alias[h->file] = at < 0 ? h->file : now.name[at].file;
        if (at < 0)
            note(TRACE_CREATE, h->file, a, "");
        break;
    }
    case TRACE_WRITE: {
        struct file *f = &file[alias[h->file]];
        if (f->cap - f->n < h->n) {
            f->cap = 2 * (f->n + h->n);
            f->p = realloc(f->p, f->cap);
            if (!f->p)
                die("out of memory");
        }
        memcpy(f->p + f->n, p, h->n);
        f->n += h->n;
        break;
    }
    case TRACE_SYNC:
        if (h->file)
            file[alias[h->file]].durable = file[alias[h->file]].n;
        durable = now;
        changes = 0;
        break;
    case TRACE_RENAME:
        snprintf(a, sizeof a, "%s", (const char *)p);
        snprintf(b, sizeof b, "%.*s", (int)(h->n - strlen(a) - 1), (const char *)p + strlen(a) + 1);
        note(TRACE_RENAME, 0, a, b);
        break;
    case TRACE_UNLINK:
        note(TRACE_UNLINK, 0, a, "");
        break;
    case TRACE_MARK:
        memcpy(&promised, p, sizeof promised);
        break;
    }
}

/* --- a cut ----------------------------------------------------------------------------------- */

static void put_file(const struct name *n)
{
    char path[4200];
    const struct file *f = &file[n->file];
    size_t loose = f->n - f->durable, kept = f->durable, filled = 0;
    unsigned mode = (unsigned)draw(5);
    uint8_t rubbish[4096];
    if (loose && mode == 0)
        kept = f->n;
    else if (loose && mode > 1)
        kept += draw(loose + 1);
    if (mode > 2)
        filled = f->n - kept;
    snprintf(path, sizeof path, "%s/db/%s", dir, n->text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || (kept && write(fd, f->p, kept) != (ssize_t)kept))
        die("cannot write the disk of a cut");
    while (filled) {
        size_t now_n = filled < sizeof rubbish ? filled : sizeof rubbish;
        for (size_t i = 0; i < now_n; i++)
            rubbish[i] = mode == 3 ? 0 : (uint8_t)draw(256);
        if (write(fd, rubbish, now_n) != (ssize_t)now_n)
            die("cannot write the disk of a cut");
        filled -= now_n;
    }
    close(fd);
}

struct look {
    uint64_t height, entries, records, first_record, last_record;
    const char *wrong;
};

static int look_state(void *ctx, const uint8_t key[32], struct poa_slice value)
{
    struct look *k = ctx;
    (void)key;
    uint64_t height = 0;
    if (value.n == sizeof height)
        memcpy(&height, value.p, sizeof height);
    if (height != k->height)
        k->wrong = "the state is not all of one height";
    k->entries++;
    return POA_OK;
}

static int look_record(void *ctx, uint64_t seq, uint16_t type, struct poa_slice bytes)
{
    struct look *k = ctx;
    if (type != 2 || bytes.n != 8 || memcmp(bytes.p, &seq, 8) != 0)
        k->wrong = "a write-ahead record is not what was written";
    if (k->records && seq != k->last_record + 1)
        k->wrong = "a write-ahead record is missing";
    if (!k->records++)
        k->first_record = seq;
    k->last_record = seq;
    return POA_OK;
}

static char fault[320];
static void note_fault(void *ctx, const char *text)
{
    (void)ctx;
    snprintf(fault, sizeof fault, "%s", text);
}

static void digest_of(struct poa_slice batch, uint8_t out[32])
{
    poa_hash(POA_DOMAIN_SIM, batch.p, batch.n, out);
}

/* NULL, or what is wrong with the store after the cut. */
static const char *look(void)
{
    static struct poa_why why;
    struct look k = {.height = 0};
    struct poa_stored_checkpoint at = {.height = 0};
    struct poa_store_audit a = {.wrong = note_fault};
    uint64_t first = 0, last = 0;
    struct poa_store *s = work_open(dir, &why);
    if (!s)
        return why.text;
    if (poa_store_audit(s, &a, digest_of))
        k.wrong = fault;
    int rc = poa_store_get_checkpoint(s, &at);
    k.height = at.height;
    if (rc && rc != POA_E_NOT_FOUND)
        k.wrong = "the checkpoint cannot be read";
    if (poa_store_each_state(s, look_state, &k) || (k.height && k.entries != WORK_STATE))
        k.wrong = "the state is not whole";
    if (poa_store_each_record(s, look_record, &k))
        k.wrong = "the write-ahead log cannot be read";
    if (poa_store_heights(s, &first, &last))
        k.wrong = "the blocks cannot be read";
    uint64_t saved = promised / WORK_CHECK * WORK_CHECK;
    if (promised && (last < promised || k.last_record < promised))
        k.wrong = "a promised step is lost";
    if (saved && saved < promised && k.height < saved)
        k.wrong = "a promised checkpoint is lost";
    if (last && k.last_record != last)
        k.wrong = "the blocks and the log do not end together";
    if (k.height && first > k.height)
        k.wrong = "blocks after the checkpoint are gone";
    if (k.records && k.height && k.first_record > k.height)
        k.wrong = "records after the checkpoint are gone";
    poa_store_close(s);
    return k.wrong;
}

static const char *cut(void)
{
    char path[4200];
    struct names names = durable;
    unsigned reached = (unsigned)draw(changes + 1);
    for (unsigned i = 0; i < reached; i++)
        apply(&names, &change[i]);
    snprintf(path, sizeof path, "%s/db", dir);
    poa_store_remove(path);
    poa_store_remove(dir);
    if (mkdir(dir, 0700) || mkdir(path, 0700))
        die("cannot make the disk of a cut");
    for (unsigned i = 0; i < names.n; i++)
        put_file(&names.name[i]);
    return look();
}

static int by_number(const void *a, const void *b)
{
    const unsigned long long *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    WORK_MUST(poa_crypto_init());
    struct stat st;
    int fd = open(argv[1], O_RDONLY);
    if (fd < 0 || fstat(fd, &st))
        die("no trace");
    uint8_t *t = malloc((size_t)st.st_size + 1);
    for (size_t have = 0; have < (size_t)st.st_size;) {
        ssize_t n = read(fd, t + have, (size_t)st.st_size - have);
        if (n <= 0)
            die("cannot read the trace");
        have += (size_t)n;
    }
    close(fd);
    dir = argv[2];
    unsigned long long n = strtoull(argv[3], NULL, 10), ops = 0;
    seed = strtoull(argv[4], NULL, 10);
    for (size_t at = 0; at < (size_t)st.st_size; ops++) {
        struct trace_head h;
        memcpy(&h, t + at, sizeof h);
        at += sizeof h + h.n;
    }
    unsigned long long *when = malloc(n * sizeof *when + 8), op = 0, done = 0, tail = 0;
    for (unsigned long long i = 0; i < n; i++)
        when[i] = draw(ops + 1);
    qsort(when, n, sizeof *when, by_number);
    for (size_t at = 0; done < n;) {
        for (; done < n && when[done] == op; done++) {
            const char *wrong = cut();
            if (wrong) {
                printf("cut %llu, at change %llu of %llu, %llu promised: %s\n", done, op, ops,
                       promised, wrong);
                return 1;
            }
            for (unsigned i = 0; i < now.n; i++)
                if (file[now.name[i].file].n > file[now.name[i].file].durable) {
                    tail++;
                    break;
                }
        }
        if (at >= (size_t)st.st_size)
            break;
        struct trace_head h;
        memcpy(&h, t + at, sizeof h);
        step(&h, t + at + sizeof h);
        at += sizeof h + h.n;
        op++;
    }
    printf("%llu power cuts over %llu changes, %llu of them with bytes that were not synced: every "
           "promised step was there\n",
           done, ops, tail);
    return 0;
}
