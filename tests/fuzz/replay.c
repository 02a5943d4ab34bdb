/* Replays inputs through a fuzz target, for builds without libFuzzer.
 *
 *   TARGET FILE|DIRECTORY...   runs each file, in order of name
 *   TARGET --seeds DIRECTORY   writes the target's seeds
 *
 * A crash, a sanitizer's report or an input that takes longer than
 * INPUT_SECONDS ends the program with the name of the input. The last line says
 * how many inputs ran; none at all is a failure.
 */
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_SECONDS 120 /* a machine may be slow, no input should be */
#define INPUT_BYTES   (16u << 20)

/* There only when the sanitizer is. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static const char *program;
static char current[PATH_MAX]; /* input that runs now, or "" */
static unsigned inputs;

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static void blame(void)
{
    if (!current[0])
        return;
    say("fuzz: died on this input; again: ");
    say(program);
    say(" ");
    say(current);
    say("\n");
}

static void on_signal(int sig)
{
    if (sig == SIGALRM)
        say("fuzz: no end in time\n");
    blame();
    signal(sig, SIG_DFL);
    raise(sig);
}

static void run(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_BYTES);
    uint8_t *exact;
    size_t n;
    FUZZ_CHECK(snprintf(current, sizeof current, "%s", path) < (int)sizeof current);
    if (!f || !bytes || (n = fread(bytes, 1, INPUT_BYTES, f), ferror(f))) {
        perror(path);
        exit(1);
    }
    fclose(f);
    exact = fuzz_copy(bytes, n);
    free(bytes);
    alarm(INPUT_SECONDS);
    LLVMFuzzerTestOneInput(exact, n);
    alarm(0);
    free(exact);
    current[0] = 0;
    inputs++;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void run_all(const char *dir)
{
    struct dirent **entry;
    int n = scandir(dir, &entry, visible, alphasort);
    if (n < 0) {
        perror(dir);
        exit(1);
    }
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        FUZZ_CHECK(snprintf(path, sizeof path, "%s/%s", dir, entry[i]->d_name) < (int)sizeof path);
        run(path);
        free(entry[i]);
    }
    free(entry);
}

int main(int argc, char **argv)
{
    static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    program = argv[0];
    if (argc == 3 && !strcmp(argv[1], "--seeds")) {
        fuzz_seeds_into(argv[2]);
        return 0;
    }
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE|DIRECTORY... or --seeds DIRECTORY\n", argv[0]);
        return 2;
    }
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(blame);
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
        if (!__sanitizer_set_death_callback || deadly[i] == SIGALRM || deadly[i] == SIGABRT)
            signal(deadly[i], on_signal);
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st)) {
            perror(argv[i]);
            return 1;
        }
        if (S_ISDIR(st.st_mode))
            run_all(argv[i]);
        else
            run(argv[i]);
    }
    printf("%u inputs\n", inputs);
    return inputs ? 0 : 1;
}
