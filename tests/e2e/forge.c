/* Transactions that a ledger must refuse, each signed and encoded by the
 * product's own code with one thing wrong:
 *
 *   forge KEYS GENESIS NONCE    one line each: ERROR_NAME CASE HEX
 *
 * KEYS is the directory of a devnet's keys: alice pays, maker-1 attests. The
 * last line is a transaction with nothing wrong (OK). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poa_base.h"
#include "poa_ledger.h"

#define FEE 100

static uint8_t chain[32], alice[32], maker[32], seller[32], known_device[32], stranger[32];
static uint64_t nonce;

static void die(const char *what)
{
    fprintf(stderr, "forge: %s\n", what);
    exit(1);
}

static void key(const char *dir, const char *label, uint8_t secret32[32], uint8_t address32[32])
{
    char path[600];
    struct poa_keystore_info info;
    struct poa_why why = {{0}};
    snprintf(path, sizeof path, "%s/%s.json", dir, label);
    if (poa_keystore_open(path, NULL, &info, secret32, &why) != POA_OK)
        die(why.text);
    if (address32 != NULL)
        memcpy(address32, info.address, 32);
}

static void print(const char *error, const char *name, const uint8_t *raw, size_t n)
{
    char *hex = malloc(2 * n + 1);
    if (hex == NULL)
        die("out of memory");
    poa_hex(raw, n, hex);
    printf("%s %s %s\n", error, name, hex);
    free(hex);
}

/* Operations under construction. */
static uint8_t ops_bytes[8192];
static struct poa_list ops;

static void clear(void)
{
    ops = (struct poa_list){poa_slice(ops_bytes, 0), 0};
}

static void add(uint16_t kind, const struct poa_record *rec, const void *body)
{
    uint8_t bytes[1024];
    struct poa_writer b = poa_writer_over(bytes, sizeof bytes);
    struct poa_writer w = poa_writer_over(ops_bytes, sizeof ops_bytes);
    w.n = ops.bytes.n;
    if (rec != NULL && poa_record_encode(rec, &b, body) != POA_OK)
        die("an operation does not encode");
    struct poa_op op = {.kind = kind, .body = poa_written(&b)};
    if (poa_op_encode(&w, &op) != POA_OK)
        die("operations do not encode");
    ops = (struct poa_list){poa_written(&w), ops.count + 1};
}

static void transfer(uint64_t amount)
{
    struct poa_op_transfer t;
    memset(&t, 0, sizeof t);
    memcpy(t.to, seller, 32);
    t.amount = amount;
    add(POA_OP_TRANSFER, &poa_op_transfer_record, &t);
}

static uint8_t tx[16384];
static size_t sign(const uint8_t chain32[32], uint64_t n, uint64_t fee, uint64_t valid_until)
{
    uint8_t id[32];
    struct poa_writer w = poa_writer_over(tx, sizeof tx);
    if (poa_tx_sign(chain32, POA_KEY_BIP340, alice, n, fee, valid_until, &ops, &w, id) != POA_OK)
        die("cannot sign");
    return w.n;
}

static void with_ops(const char *error, const char *name)
{
    size_t n = sign(chain, nonce, FEE, 0);
    print(error, name, tx, n);
}

static void amounts(void)
{
    clear();
    transfer(0);
    with_ops("TX_AMOUNT_ZERO", "zero");
    clear();
    transfer(1000000000000000000u);
    with_ops("TX_BALANCE", "overspend");
    clear();
    transfer(UINT64_MAX);
    with_ops("TX_OVERFLOW", "amount-and-fee");
    clear();
    transfer(UINT64_MAX - 5);
    transfer(UINT64_MAX - 5);
    with_ops("TX_OVERFLOW", "two-amounts");
}

static void fields(void)
{
    uint8_t other[32];
    memcpy(other, chain, 32);
    other[0] ^= 1;
    clear();
    transfer(1);
    print("TX_CHAIN", "other-chain", tx, sign(other, nonce, FEE, 0));
    print("TX_NONCE_USED", "used-nonce", tx, sign(chain, nonce - 1, FEE, 0));
    print("TX_FEE", "no-fee", tx, sign(chain, nonce, 0, 0));
    print("TX_EXPIRED", "expired", tx, sign(chain, nonce, FEE, 1));
    size_t n = sign(chain, nonce, FEE, 0);
    tx[n - 1] ^= 1;
    print("TX_SIGNATURE", "last-byte-of-signature", tx, n);
    tx[n - 1] ^= 1;
    tx[n - 60] ^= 0x80;
    print("TX_SIGNATURE", "inside-signature", tx, n);
    n = sign(chain, nonce, FEE, 0);
    tx[4] ^= 1; /* chain u32, then the sender */
    print("TX_SENDER", "other-sender", tx, n);
    n = sign(chain, nonce, FEE, 0);
    tx[36 + 8] ^= 1; /* the fee: what is signed is not what is sent */
    print("TX_SIGNATURE", "changed-fee", tx, n);
    n = sign(chain, nonce, FEE, 0);
    print("TX_TRUNCATED", "one-byte-short", tx, n - 1);
    print("TX_TRUNCATED", "half", tx, n / 2);
    print("TX_TRUNCATED", "one-byte", tx, 1);
    print("TX_TRUNCATED", "empty", tx, 0);
    tx[n] = 0;
    print("TX_TRAILING", "one-byte-more", tx, n + 1);
}

static void operations(void)
{
    clear();
    with_ops("TX_OP_COUNT", "no-operation");
    clear();
    add(0x7777, NULL, NULL);
    with_ops("TX_OP_UNKNOWN", "unknown-operation");
    clear();
    add(POA_OP_TRANSFER, NULL, NULL);
    with_ops("TX_MALFORMED", "empty-transfer");
    struct poa_op_maker m;
    memset(&m, 0, sizeof m);
    m.maker = 4242;
    poa_ed25519_public(stranger, m.key);
    m.name = poa_slice("Me", 2);
    clear();
    add(POA_OP_MAKER_ADD, &poa_op_maker_record, &m);
    with_ops("TX_NOT_ALLOWED", "maker-without-governance");
}

static void device(const char *error, const char *name, const uint8_t chain32[32],
                   const uint8_t maker32[32], const uint8_t device32[32], int spoil)
{
    struct poa_op_device d;
    memset(&d, 0, sizeof d);
    d.maker = 1;
    d.region = 1;
    memcpy(d.owner, seller, 32);
    memcpy(d.payout, seller, 32);
    if (spoil == 4)
        d.maker = 999; /* before signing: the id is part of it */
    poa_device_attest(&poa_suite_ed25519, chain32, maker32, device32, &d);
    if (spoil == 1)
        d.maker_sig[3] ^= 1;
    if (spoil == 2)
        d.device_sig[3] ^= 1;
    if (spoil == 3)
        d.payout[0] ^= 1; /* attested for another account */
    clear();
    add(POA_OP_DEVICE_REGISTER, &poa_op_device_record, &d);
    with_ops(error, name);
}

static void devices(void)
{
    static const uint8_t zero[32];
    uint8_t fresh[32];
    memset(fresh, 0x5e, sizeof fresh);
    device("TX_ATTESTATION", "attested-by-a-stranger", chain, stranger, fresh, 0);
    device("TX_MAKER_UNKNOWN", "attested-by-nobody-known", chain, stranger, fresh, 4);
    device("TX_ATTESTATION", "no-attestation", chain, maker, fresh, 1);
    device("TX_ATTESTATION", "attested-for-another-payout", chain, maker, fresh, 3);
    device("TX_ATTESTATION", "attested-for-another-chain", zero, maker, fresh, 0);
    device("TX_DEVICE_PROOF", "device-did-not-sign", chain, maker, fresh, 2);
    device("TX_DEVICE_EXISTS", "registered-already", chain, maker, known_device, 0);
}

int main(int argc, char **argv)
{
    char *bytes = NULL;
    size_t n = 0;
    struct poa_why why = {{0}};
    if (argc != 4 || poa_crypto_init() != POA_OK)
        die("usage: forge KEYS GENESIS NONCE");
    if (poa_file_read(argv[2], 1u << 27, 0, &bytes, &n, &why) != POA_OK)
        die(why.text);
    poa_genesis_chain_id(poa_slice(bytes, n), chain);
    free(bytes);
    nonce = strtoull(argv[3], NULL, 10);
    uint8_t unused[32];
    key(argv[1], "alice", alice, NULL);
    key(argv[1], "bob", unused, seller);
    key(argv[1], "maker-1", maker, NULL);
    key(argv[1], "device-00", known_device, NULL);
    memset(stranger, 0x77, sizeof stranger);
    amounts();
    fields();
    operations();
    devices();
    clear();
    transfer(7);
    with_ops("OK", "good");
    return 0;
}
