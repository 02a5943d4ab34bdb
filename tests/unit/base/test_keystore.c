/* Key files and small files on a real disk. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "poa_base.h"

static char dir[64], path[200];
static struct poa_why why;
static const uint8_t secret[32] = {0xab, 0xcd, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9};

static void set_up(void)
{
    strcpy(dir, "/tmp/poa-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/key.json", dir);
    why.text[0] = '\0';
}

static void tear_down(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(base_keystore, .init = set_up, .fini = tear_down);

static struct poa_passphrase pass(const char *text)
{
    struct poa_passphrase p = {"", strlen(text)};
    memcpy(p.text, text, p.n);
    return p;
}

static void create(const char *passphrase)
{
    struct poa_passphrase p = pass(passphrase);
    cr_assert_eq(poa_keystore_create(path, POA_KEY_ACCOUNT, POA_KEY_BIP340, "key", secret, &p,
                                     POA_KEYSTORE_CHEAP, NULL, &why),
                 POA_OK, "%s", why.text);
}

static char *content(const char *of)
{
    char *text;
    size_t n;
    cr_assert_eq(poa_file_read(of, 100000, 0, &text, &n, &why), POA_OK, "%s", why.text);
    return text;
}

static void replace(const char *from, const char *to)
{
    char *text = content(path), *at = strstr(text, from), out[20000];
    cr_assert_not_null(at, "no %s in the file", from);
    int n = snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    cr_assert_eq(poa_file_write(path, out, (size_t)n, 0600, 0, &why), POA_OK);
    free(text);
}

static int open_with(const char *passphrase)
{
    struct poa_passphrase p = pass(passphrase);
    uint8_t out[32];
    int rc = poa_keystore_open(path, &p, NULL, out, &why);
    if (rc == POA_OK)
        cr_assert_eq(memcmp(out, secret, 32), 0);
    return rc;
}

Test(base_keystore, opens_with_its_passphrase_only)
{
    struct stat st;
    create("correct horse");
    cr_assert_eq(open_with("correct horse"), POA_OK, "%s", why.text);
    cr_assert_eq(open_with("correct horsf"), POA_E_PASSPHRASE);
    cr_assert_not_null(strstr(why.text, "wrong passphrase"));
    cr_assert_eq(open_with(""), POA_E_PASSPHRASE);
    cr_assert_not_null(strstr(why.text, "needs its passphrase"));
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(base_keystore, info_needs_no_passphrase_and_shows_no_secret)
{
    struct poa_keystore_info info;
    uint8_t pk[32], address[32];
    char hex[65];
    create("pw");
    cr_assert_eq(poa_keystore_info(path, &info, &why), POA_OK);
    cr_assert_eq(poa_bip340_public(secret, pk), POA_OK);
    poa_address_of_key(POA_KEY_BIP340, pk, address);
    cr_assert_eq(memcmp(info.pk, pk, 32), 0);
    cr_assert_eq(memcmp(info.address, address, 32), 0);
    cr_assert_eq(info.kind, POA_KEY_ACCOUNT);
    cr_assert_eq(info.type, POA_KEY_BIP340);
    cr_assert_str_eq(info.label, "key");
    cr_assert_not(info.no_passphrase);
    char *text = content(path);
    poa_hex(secret, 32, hex);
    cr_assert_null(strstr(text, hex));
    free(text);
}

Test(base_keystore, key_without_passphrase_says_so)
{
    struct poa_keystore_info info;
    uint8_t out[32];
    create("");
    cr_assert_eq(poa_keystore_info(path, &info, &why), POA_OK);
    cr_assert(info.no_passphrase);
    cr_assert_eq(poa_keystore_open(path, NULL, NULL, out, &why), POA_OK);
    cr_assert_eq(open_with("ignored"), POA_OK);
}

Test(base_keystore, every_changed_field_is_noticed)
{
    static const char *const changes[][2] = {
        {"\"label\": \"key\"", "\"label\": \"kez\""},
        {"\"kind\": \"account\"", "\"kind\": \"device\""},
        {"\"type\": \"bip340\"", "\"type\": \"ed25519\""},
        {"\"no_passphrase\": false", "\"no_passphrase\": true"},
        {"\"passes\": 1", "\"passes\": 2"},
        {"\"memory_kib\": 64", "\"memory_kib\": 65"},
        {"\"sealed\": \"", "\"sealed\": \"0000"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        unlink(path);
        create("pw");
        cr_assert_eq(open_with("pw"), POA_OK);
        replace(changes[i][0], changes[i][1]);
        int rc = open_with("pw");
        cr_assert(rc == POA_E_PASSPHRASE || rc == POA_E_TEXT, "%s: %d", changes[i][1], rc);
    }
}

Test(base_keystore, another_public_key_is_noticed)
{
    struct poa_keystore_info info;
    uint8_t pk[32], address[32];
    char hex[65], other[65], right[POA_ADDRESS_TEXT_BYTES], moved[POA_ADDRESS_TEXT_BYTES];
    for (int i = 0; i < 2; i++) {
        const char *passphrase = i ? "" : "pw";
        unlink(path);
        create(passphrase);
        cr_assert_eq(poa_bip340_public(secret, pk), POA_OK);
        poa_hex(pk, 32, hex);
        poa_address_of_key(POA_KEY_BIP340, pk, address);
        poa_address_to_text(address, right);
        pk[0] ^= 1;
        poa_hex(pk, 32, other);
        poa_address_of_key(POA_KEY_BIP340, pk, address);
        poa_address_to_text(address, moved);
        /* The address contradicts it: nobody is told of either. */
        replace(hex, other);
        cr_assert_eq(open_with(passphrase), POA_E_TEXT);
        cr_assert_eq(poa_keystore_info(path, &info, &why), POA_E_TEXT);
        cr_assert_not_null(strstr(why.text, path));
        cr_assert_not_null(strstr(why.text, "its address is not that of"));
        /* The address goes along: only the secret contradicts it. */
        replace(right, moved);
        cr_assert_eq(open_with(passphrase), POA_E_PASSPHRASE);
        cr_assert_eq(poa_keystore_info(path, &info, &why), i ? POA_E_TEXT : POA_OK);
    }
    cr_assert_not_null(strstr(why.text, path));
}

Test(base_keystore, another_type_or_address_is_noticed_without_the_passphrase)
{
    struct poa_keystore_info info;
    create("pw");
    replace("\"type\": \"bip340\"", "\"type\": \"ed25519\"");
    cr_assert_eq(poa_keystore_info(path, &info, &why), POA_E_TEXT);
    replace("\"type\": \"ed25519\"", "\"type\": \"bip340\"");
    cr_assert_eq(poa_keystore_info(path, &info, &why), POA_OK);
    replace("\"address\": \"poa1", "\"address\": \"POA1");
    cr_assert_eq(poa_keystore_info(path, &info, &why), POA_E_TEXT);
}

Test(base_keystore, a_new_file_takes_no_name_that_exists)
{
    char link[220];
    snprintf(link, sizeof link, "%s/link", dir);
    cr_assert_eq(poa_file_absent(path, &why), POA_OK);
    cr_assert_eq(symlink("nowhere", link), 0);
    cr_assert_eq(poa_file_absent(link, &why), POA_E_EXISTS);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(poa_file_absent(path, &why), POA_E_EXISTS);
    cr_assert_not_null(strstr(why.text, "already exists"));
    snprintf(link, sizeof link, "%s/no/such", dir);
    cr_assert_eq(poa_file_absent(link, &why), POA_OK);
}

Test(base_keystore, damaged_files_are_refused_with_one_line)
{
    static const char *const texts[] = {
        "", "{", "[]", "{}", "null", "{\"poa_key\": 2}", "{\"poa_key\": \"1\"}", "\xff\xfe",
    };
    struct poa_keystore_info info;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        why.text[0] = '\0';
        cr_assert_eq(poa_file_write(path, texts[i], strlen(texts[i]), 0600, 0, &why), POA_OK);
        cr_assert_eq(poa_keystore_info(path, &info, &why), POA_E_TEXT, "%s", texts[i]);
        cr_assert_not_null(strstr(why.text, "not a key file"));
        cr_assert_null(strchr(why.text, '\n'));
    }
}

/* A file cannot make its reader spend gigabytes or hours. */
Test(base_keystore, impossible_argon2_settings_are_refused)
{
    struct poa_keystore_info info;
    create("pw");
    replace("\"memory_kib\": 64", "\"memory_kib\": 999999999");
    cr_assert_eq(poa_keystore_info(path, &info, &why), POA_E_TEXT);
    unlink(path);
    create("pw");
    replace("\"passes\": 1", "\"passes\": 1000000");
    cr_assert_eq(poa_keystore_info(path, &info, &why), POA_E_TEXT);
}

Test(base_keystore, a_file_that_others_can_read_is_refused)
{
    struct poa_keystore_info info;
    create("pw");
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(poa_keystore_info(path, &info, &why), POA_E_CONFIG);
    cr_assert_not_null(strstr(why.text, "chmod 600"));
    cr_assert_eq(chmod(path, 0604), 0);
    cr_assert_eq(open_with("pw"), POA_E_CONFIG);
    cr_assert_eq(chmod(path, 0400), 0);
    cr_assert_eq(open_with("pw"), POA_OK);
}

Test(base_keystore, creation_never_replaces)
{
    struct poa_passphrase p = pass("other");
    create("pw");
    cr_assert_eq(poa_keystore_create(path, POA_KEY_ACCOUNT, POA_KEY_ED25519, "key", secret, &p,
                                     POA_KEYSTORE_CHEAP, NULL, &why),
                 POA_E_EXISTS);
    cr_assert_eq(open_with("pw"), POA_OK);
}

Test(base_keystore, wrong_requests)
{
    uint8_t zero[32] = {0};
    cr_assert_eq(poa_keystore_create(path, POA_KEY_NODE, POA_KEY_BIP340, "key", secret, NULL,
                                     POA_KEYSTORE_CHEAP, NULL, &why),
                 POA_E_INVALID);
    cr_assert_eq(poa_keystore_create(path, POA_KEY_ACCOUNT, POA_KEY_BIP340, "key", zero, NULL,
                                     POA_KEYSTORE_CHEAP, NULL, &why),
                 POA_E_KEY);
    cr_assert_eq(poa_keystore_create(path, POA_KEY_ACCOUNT, POA_KEY_BIP340, "../x", secret, NULL,
                                     POA_KEYSTORE_CHEAP, NULL, &why),
                 POA_E_INVALID);
    cr_assert_neq(access(path, F_OK), 0, "nothing was written");
    char out[100];
    cr_assert_eq(poa_keystore_path("d", "a.b-c_9", out, sizeof out, &why), POA_OK);
    cr_assert_str_eq(out, "d/a.b-c_9.json");
    cr_assert_eq(poa_keystore_path("d", "", out, sizeof out, &why), POA_E_INVALID);
    cr_assert_eq(poa_keystore_path("d", ".hidden", out, sizeof out, &why), POA_E_INVALID);
    cr_assert_eq(poa_keystore_path("d", "a/b", out, sizeof out, &why), POA_E_INVALID);
    cr_assert_eq(poa_keystore_path("d", "abc", out, 5, &why), POA_E_LIMIT);
}

Test(base_keystore, passphrase_can_be_changed)
{
    struct poa_passphrase a = pass("a"), b = pass("b");
    create("a");
    cr_assert_eq(poa_keystore_change(path, &b, &a, POA_KEYSTORE_CHEAP, &why), POA_E_PASSPHRASE);
    cr_assert_eq(poa_keystore_change(path, &a, &b, POA_KEYSTORE_CHEAP, &why), POA_OK);
    cr_assert_eq(open_with("a"), POA_E_PASSPHRASE);
    cr_assert_eq(open_with("b"), POA_OK);
}

struct seen {
    int fine, bad;
    char last[200];
};

static bool see(void *ctx, const char *file, int rc, const struct poa_keystore_info *info,
                const struct poa_why *reason)
{
    struct seen *s = ctx;
    (void)info;
    if (rc == POA_OK)
        s->fine++;
    else
        s->bad += reason->text[0] != '\0';
    snprintf(s->last, sizeof s->last, "%s", file);
    return true;
}

Test(base_keystore, list_shows_good_and_bad_files)
{
    struct seen s = {0, 0, ""};
    char other[200];
    create("pw");
    snprintf(other, sizeof other, "%s/bad.json", dir);
    cr_assert_eq(poa_file_write(other, "x", 1, 0600, 0, &why), POA_OK);
    snprintf(other, sizeof other, "%s/notes.txt", dir);
    cr_assert_eq(poa_file_write(other, "x", 1, 0600, 0, &why), POA_OK);
    cr_assert_eq(poa_keystore_list(dir, see, &s, &why), POA_OK);
    cr_assert_eq(s.fine, 1);
    cr_assert_eq(s.bad, 1);
    cr_assert_str_eq(s.last, path);
    cr_assert_eq(poa_keystore_list("/nonexistent", see, &s, &why), POA_E_NOT_FOUND);
}

Test(base_keystore, passphrase_file)
{
    struct poa_passphrase p;
    char file[200];
    snprintf(file, sizeof file, "%s/pass", dir);
    cr_assert_eq(poa_file_write(file, "word one\r\nrest\n", 15, 0600, 0, &why), POA_OK);
    cr_assert_eq(poa_passphrase_read(file, &p, &why), POA_OK);
    cr_assert_str_eq(p.text, "word one");
    cr_assert_eq(p.n, 8);
    cr_assert_eq(poa_file_write(file, "word\0one\n", 9, 0600, 0, &why), POA_OK);
    cr_assert_eq(poa_passphrase_read(file, &p, &why), POA_E_TEXT);
    cr_assert_eq(p.n, 0);
    cr_assert_eq(chmod(file, 0644), 0);
    cr_assert_eq(poa_passphrase_read(file, &p, &why), POA_E_CONFIG);
}

Test(base_keystore, files_are_replaced_whole)
{
    char *text;
    size_t n;
    cr_assert_eq(poa_file_write(path, "one", 3, 0644, 0, &why), POA_OK);
    cr_assert_eq(poa_file_write(path, "two", 3, 0644, POA_FILE_NEW, &why), POA_E_EXISTS);
    cr_assert_eq(poa_file_write(path, "three", 5, 0600, 0, &why), POA_OK);
    cr_assert_eq(poa_file_read(path, 5, POA_FILE_SECRET, &text, &n, &why), POA_OK);
    cr_assert_str_eq(text, "three");
    cr_assert_eq(n, 5);
    free(text);
    cr_assert_eq(poa_file_read(path, 4, 0, &text, &n, &why), POA_E_LIMIT);
    cr_assert_eq(poa_file_read(dir, 4, 0, &text, &n, &why), POA_E_CONFIG, "a directory");
    cr_assert_eq(poa_file_read("/nonexistent", 4, 0, &text, &n, &why), POA_E_NOT_FOUND);
    cr_assert_eq(poa_file_write("/nonexistent/x", "x", 1, 0600, 0, &why), POA_E_IO);
    /* No temporary file stays behind. */
    char command[150];
    snprintf(command, sizeof command, "test \"$(ls %s)\" = key.json", dir);
    cr_assert_eq(system(command), 0);
}
