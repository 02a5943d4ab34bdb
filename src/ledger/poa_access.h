/* access: who may read a device's usage data.
 *
 * The owner (the account in the device's registration), the device itself, and
 * whoever the owner granted it in writing:
 *
 *   owner ── grant: device, reader, time span, until ──> reader
 *   reader ── request: node, device, now, grant ──────> gateway
 *
 * Both are signed: a request by one key; a grant by the owner's account, as many of
 * its keys as a transaction takes. So an owner with several keys reads by a grant to
 * one of them, which m of them signed. A request names the node that it is for and is good for a
 * few minutes, so that it opens nothing elsewhere or later. Pure.
 */
#ifndef POA_ACCESS_H
#define POA_ACCESS_H

#include "poa_ledger.h"

/* READER all zero: whoever holds the grant. */
#define POA_DATA_GRANT_TABLE(F)                                                                    \
    F(FIX, device, 32, _, "whose packs")                                                           \
    F(U8, reader_type, 2, _, "key type of the reader")                                             \
    F(FIX, reader, 32, _, "who may read; zero: whoever has this grant")                            \
    F(U64, from_ms, 0, _, "packs with readings from here on, Unix ms")                             \
    F(U64, to_ms, 0, _, "and none later than this")                                                \
    F(U64, until_ms, 0, _, "no request after this")                                                \
    F(BLOB, auth, 2048, _, "auth record of the owner's account, over domain, chain and the above")
POA_RECORD_DECLARE(data_grant, POA_DATA_GRANT_TABLE)
#define POA_DATA_GRANT_BYTES_MAX (32 + 1 + 32 + 24 + 2 + 2048)

#define POA_DATA_REQUEST_TABLE(F)                                                                  \
    F(FIX, node, 32, _, "key of the gateway that is asked")                                        \
    F(FIX, device, 32, _, "whose packs")                                                           \
    F(U64, time_ms, 0, _, "now, Unix ms")                                                          \
    F(U8, reader_type, 2, _, "key type of the reader")                                             \
    F(FIX, reader, 32, _, "key of the reader")                                                     \
    F(BLOB, grant, POA_DATA_GRANT_BYTES_MAX, _, "encoded data_grant; empty for owner and device")  \
    F(FIX, sig, 64, _, "reader's signature over domain, chain and the above")
POA_RECORD_DECLARE(data_request, POA_DATA_REQUEST_TABLE)
#define POA_DATA_REQUEST_BYTES_MAX (32 + 32 + 8 + 1 + 32 + 2 + POA_DATA_GRANT_BYTES_MAX + 64)
/* A request's time may differ from the node's by this. */
#define POA_DATA_REQUEST_MS 300000

/* A grant of the account with policy OWNER, in steps: without signatures (G's auth is not
 * read), then with one more each time; RAW is what the step before wrote. Errors as of
 * poa_tx_cosign (poa_ledger.h). */
POA_MUST_USE int poa_data_grant_unsigned(const struct poa_policy *owner,
                                         const struct poa_data_grant *g, struct poa_writer *out);
POA_MUST_USE int poa_data_grant_cosign(const uint8_t chain32[32], struct poa_slice raw,
                                       uint8_t key_type, const uint8_t secret32[32],
                                       struct poa_writer *out);
/* Fills in key and signature and appends the encoding. Codec errors, POA_E_KEY. */
POA_MUST_USE int poa_data_request_sign(const uint8_t chain32[32], enum poa_key_type type,
                                       const uint8_t secret32[32], struct poa_data_request *r,
                                       struct poa_writer *out);

/* Whose packs ENCODED asks for, before anything is known of the device. Codec errors. */
POA_MUST_USE int poa_data_request_device(struct poa_slice encoded, uint8_t device32[32]);
/* Whether ENCODED lets its reader have packs of DEVICE from node NODE32, and
 * which: those with readings within FROM_MS..TO_MS.
 * Errors: codec, POA_E_SIGNATURE, POA_E_TX_SIGNATURE (not enough of the owner's keys signed
 * the grant), POA_E_TX_MALFORMED, POA_E_TIMEOUT (not of now, or the grant has
 * ended), POA_E_DATA_NOT_ALLOWED. */
POA_MUST_USE int poa_data_request_check(const uint8_t chain32[32], const uint8_t node32[32],
                                        uint64_t now_ms, const struct poa_st_device *device,
                                        struct poa_slice encoded, uint64_t *from_ms,
                                        uint64_t *to_ms);

#endif
