/* Who may read a device's packs: owner, device, and whoever has it in writing. */
#include <criterion/criterion.h>
#include <string.h>

#include "poa_access.h"

#define NOW UINT64_C(1700000000000)

static uint8_t chain[32] = {1}, node[32] = {2};
static struct poa_st_device device;
static uint8_t owner[32] = {3}, reader[32] = {4}, stranger[32] = {5}, device_seed[32] = {6};
static uint8_t device_key[32], bytes[POA_DATA_REQUEST_BYTES_MAX],
    grant_bytes[2][POA_DATA_GRANT_BYTES_MAX];
static uint64_t from_ms, to_ms;

static void make(void)
{
    uint8_t pk[32];
    cr_assert_eq(poa_crypto_init(), POA_OK);
    memset(&device, 0, sizeof device);
    cr_assert_eq(poa_key_public(POA_KEY_BIP340, owner, pk), POA_OK);
    poa_address_of_key(POA_KEY_BIP340, pk, device.owner);
    poa_ed25519_public(device_seed, device_key);
}

TestSuite(access, .init = make);

/* The policy of the first KEYS of owner, reader, stranger, of which M sign. */
static uint8_t policy_keys[3 * 33];
static struct poa_policy policy_of(uint8_t m, uint32_t keys)
{
    const uint8_t *secret[] = {owner, reader, stranger};
    for (uint32_t i = 0; i < keys; i++) {
        policy_keys[33 * i] = POA_KEY_BIP340;
        cr_assert_eq(poa_key_public(POA_KEY_BIP340, secret[i], policy_keys + 33 * i + 1), POA_OK);
    }
    return (struct poa_policy){.m = m, .keys = {poa_slice(policy_keys, 33 * (size_t)keys), keys}};
}

static struct poa_slice unsigned_grant(const struct poa_policy *by, const uint8_t *to,
                                       uint64_t until_ms)
{
    struct poa_data_grant g = {
        .reader_type = POA_KEY_BIP340, .from_ms = 100, .to_ms = 200, .until_ms = until_ms};
    struct poa_writer w = poa_writer_over(grant_bytes[0], sizeof grant_bytes[0]);
    memcpy(g.device, device_key, 32);
    if (to)
        cr_assert_eq(poa_key_public(POA_KEY_BIP340, to, g.reader), POA_OK);
    cr_assert_eq(poa_data_grant_unsigned(by, &g, &w), POA_OK);
    return poa_written(&w);
}

/* RAW with one more signature, in the other buffer. */
static struct poa_slice cosigned(struct poa_slice raw, const uint8_t by[32])
{
    struct poa_writer w =
        poa_writer_over(grant_bytes[raw.p == grant_bytes[0]], sizeof grant_bytes[0]);
    cr_assert_eq(poa_data_grant_cosign(chain, raw, POA_KEY_BIP340, by, &w), POA_OK);
    return poa_written(&w);
}

static struct poa_slice grant(const uint8_t by[32], const uint8_t *to, uint64_t until_ms)
{
    uint8_t key[33] = {POA_KEY_BIP340};
    struct poa_policy one = {.m = 1, .keys = {poa_slice(key, sizeof key), 1}};
    cr_assert_eq(poa_key_public(POA_KEY_BIP340, by, key + 1), POA_OK);
    return cosigned(unsigned_grant(&one, to, until_ms), by);
}

static struct poa_slice request(enum poa_key_type type, const uint8_t by[32], struct poa_slice with)
{
    struct poa_data_request r = {.time_ms = NOW, .grant = with};
    struct poa_writer w = poa_writer_over(bytes, sizeof bytes);
    memcpy(r.node, node, 32);
    memcpy(r.device, device_key, 32);
    cr_assert_eq(poa_data_request_sign(chain, type, by, &r, &w), POA_OK);
    return poa_written(&w);
}

static int check_at(uint64_t now_ms, struct poa_slice r)
{
    return poa_data_request_check(chain, node, now_ms, &device, r, &from_ms, &to_ms);
}

static const struct poa_slice none;

Test(access, owner_and_device_read_everything)
{
    uint8_t asked[32];
    struct poa_slice r = request(POA_KEY_BIP340, owner, none);
    cr_expect_eq(poa_data_request_device(r, asked), POA_OK);
    cr_expect_arr_eq(asked, device_key, 32);
    cr_expect_eq(check_at(NOW, r), POA_OK);
    cr_expect_eq(from_ms, 0);
    cr_expect_eq(to_ms, UINT64_MAX);
    cr_expect_eq(check_at(NOW, request(POA_KEY_ED25519, device_seed, none)), POA_OK);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, stranger, none)), POA_E_DATA_NOT_ALLOWED);
    cr_expect_eq(check_at(NOW, request(POA_KEY_ED25519, owner, none)), POA_E_DATA_NOT_ALLOWED);
}

Test(access, a_grant_is_for_its_reader_device_and_time)
{
    struct poa_slice g = grant(owner, reader, NOW + 10);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, reader, g)), POA_OK);
    cr_expect_eq(from_ms, 100);
    cr_expect_eq(to_ms, 200);
    cr_expect_eq(check_at(NOW + 11, request(POA_KEY_BIP340, reader, g)), POA_E_TIMEOUT);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, stranger, g)), POA_E_DATA_NOT_ALLOWED);
    g = grant(owner, NULL, NOW + 10);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, stranger, g)), POA_OK);
    g = grant(stranger, stranger, NOW + 10); /* not the owner's to give */
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, stranger, g)), POA_E_DATA_NOT_ALLOWED);
    device_key[0] ^= 1;
    g = grant(owner, reader, NOW + 10); /* of another device */
    device_key[0] ^= 1;
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, reader, g)), POA_E_DATA_NOT_ALLOWED);
}

Test(access, an_owner_with_several_keys_grants_with_as_many_as_it_takes)
{
    struct poa_policy two = policy_of(2, 3);
    struct poa_writer w;
    uint8_t more[POA_DATA_GRANT_BYTES_MAX];
    cr_assert_eq(poa_address_of(&two, device.owner), POA_OK);
    /* One of its keys is not the account. */
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, owner, none)), POA_E_DATA_NOT_ALLOWED);
    struct poa_slice g = unsigned_grant(&two, reader, NOW + 10);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, reader, g)), POA_E_TX_SIGNATURE);
    g = cosigned(g, stranger);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, reader, g)), POA_E_TX_SIGNATURE);
    w = poa_writer_over(more, sizeof more);
    cr_expect_eq(poa_data_grant_cosign(chain, g, POA_KEY_BIP340, stranger, &w), POA_E_EXISTS);
    w = poa_writer_over(more, sizeof more);
    cr_expect_eq(poa_data_grant_cosign(chain, g, POA_KEY_ED25519, stranger, &w), POA_E_TX_SENDER);
    g = cosigned(g, owner);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, reader, g)), POA_OK);
    cr_expect_eq(from_ms, 100);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, owner, g)), POA_E_DATA_NOT_ALLOWED,
                 "it names another reader");
    /* More than it takes is not canonical; and the limit is for money. */
    g = cosigned(g, reader);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, reader, g)), POA_E_TX_SIGNATURE);
    two.limit = UINT64_MAX;
    cr_assert_eq(poa_address_of(&two, device.owner), POA_OK);
    g = cosigned(unsigned_grant(&two, reader, NOW + 10), owner);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, reader, g)), POA_E_TX_SIGNATURE);
    /* Any one of three. */
    struct poa_policy any = policy_of(1, 3);
    cr_assert_eq(poa_address_of(&any, device.owner), POA_OK);
    g = cosigned(unsigned_grant(&any, reader, NOW + 10), stranger);
    cr_expect_eq(check_at(NOW, request(POA_KEY_BIP340, reader, g)), POA_OK);
}

Test(access, a_request_is_for_one_node_and_now)
{
    struct poa_slice r = request(POA_KEY_BIP340, owner, none);
    uint8_t other[32] = {9};
    cr_expect_eq(check_at(NOW + POA_DATA_REQUEST_MS, r), POA_OK);
    cr_expect_eq(check_at(NOW + POA_DATA_REQUEST_MS + 1, r), POA_E_TIMEOUT);
    cr_expect_eq(check_at(NOW - POA_DATA_REQUEST_MS - 1, r), POA_E_TIMEOUT);
    cr_expect_eq(poa_data_request_check(chain, other, NOW, &device, r, &from_ms, &to_ms),
                 POA_E_DATA_NOT_ALLOWED);
    cr_expect_eq(poa_data_request_check(other, node, NOW, &device, r, &from_ms, &to_ms),
                 POA_E_SIGNATURE);
}

Test(access, no_bit_of_it_can_be_changed)
{
    struct poa_slice g = grant(owner, reader, NOW + 10);
    struct poa_slice r = request(POA_KEY_BIP340, reader, g);
    cr_assert_eq(check_at(NOW, r), POA_OK);
    for (size_t i = 0; i < r.n; i++) {
        bytes[i] ^= 0x10;
        cr_expect_neq(check_at(NOW, r), POA_OK, "byte %zu", i);
        bytes[i] ^= 0x10;
        cr_expect_neq(check_at(NOW, poa_slice(r.p, i)), POA_OK, "cut at %zu", i);
    }
}
