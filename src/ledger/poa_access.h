/* access: who may read a device's usage data.
 *
 * The owner (the account in the device's registration, when it has one key),
 * the device itself, and whoever the owner granted it in writing:
 *
 *   owner ── grant: device, reader, time span, until ──> reader
 *   reader ── request: node, device, now, grant ──────> gateway
 *
 * Both are signed. A request names the node that it is for and is good for a
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
    F(U8, owner_type, 2, _, "key type of the owner")                                               \
    F(FIX, owner, 32, _, "key of the owner's account")                                             \
    F(FIX, sig, 64, _, "owner's signature over domain, chain and the above")
POA_RECORD_DECLARE(data_grant, POA_DATA_GRANT_TABLE)
#define POA_DATA_GRANT_BYTES (32 + 1 + 32 + 24 + 1 + 32 + 64)

#define POA_DATA_REQUEST_TABLE(F)                                                                  \
    F(FIX, node, 32, _, "key of the gateway that is asked")                                        \
    F(FIX, device, 32, _, "whose packs")                                                           \
    F(U64, time_ms, 0, _, "now, Unix ms")                                                          \
    F(U8, reader_type, 2, _, "key type of the reader")                                             \
    F(FIX, reader, 32, _, "key of the reader")                                                     \
    F(BLOB, grant, POA_DATA_GRANT_BYTES, _, "encoded data_grant; empty for owner and device")      \
    F(FIX, sig, 64, _, "reader's signature over domain, chain and the above")
POA_RECORD_DECLARE(data_request, POA_DATA_REQUEST_TABLE)
#define POA_DATA_REQUEST_BYTES_MAX (32 + 32 + 8 + 1 + 32 + 2 + POA_DATA_GRANT_BYTES + 64)
/* A request's time may differ from the node's by this. */
#define POA_DATA_REQUEST_MS 300000

/* Fill in key and signature and append the encoding. Codec errors, POA_E_KEY. */
POA_MUST_USE int poa_data_grant_sign(const uint8_t chain32[32], enum poa_key_type type,
                                     const uint8_t secret32[32], struct poa_data_grant *g,
                                     struct poa_writer *out);
POA_MUST_USE int poa_data_request_sign(const uint8_t chain32[32], enum poa_key_type type,
                                       const uint8_t secret32[32], struct poa_data_request *r,
                                       struct poa_writer *out);

/* Whose packs ENCODED asks for, before anything is known of the device. Codec errors. */
POA_MUST_USE int poa_data_request_device(struct poa_slice encoded, uint8_t device32[32]);
/* Whether ENCODED lets its reader have packs of DEVICE from node NODE32, and
 * which: those with readings within FROM_MS..TO_MS.
 * Errors: codec, POA_E_SIGNATURE, POA_E_TIMEOUT (not of now, or the grant has
 * ended), POA_E_DATA_NOT_ALLOWED. */
POA_MUST_USE int poa_data_request_check(const uint8_t chain32[32], const uint8_t node32[32],
                                        uint64_t now_ms, const struct poa_st_device *device,
                                        struct poa_slice encoded, uint64_t *from_ms,
                                        uint64_t *to_ms);

#endif
