/* Records and message heads of the mesh. */
#include <string.h>

#include "mesh.h"

#define F(k, n, m, s, d) POA_FIELD_ROW_(mesh_hello, k, n, m, s, d)
POA_RECORD_DEFINE(mesh_hello, POA_MESH_HELLO_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(mesh_welcome, k, n, m, s, d)
POA_RECORD_DEFINE(mesh_welcome, POA_MESH_WELCOME_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(mesh_refuse, k, n, m, s, d)
POA_RECORD_DEFINE(mesh_refuse, POA_MESH_REFUSE_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(mesh_item, k, n, m, s, d)
POA_RECORD_DEFINE(mesh_item, POA_MESH_ITEM_TABLE)
#undef F
#define F(k, n, m, s, d) POA_FIELD_ROW_(mesh_answer, k, n, m, s, d)
POA_RECORD_DEFINE(mesh_answer, POA_MESH_ANSWER_TABLE)
#undef F

nng_msg *mesh_msg_new(size_t cap)
{
    nng_msg *m;
    return nng_msg_alloc(&m, cap) == 0 ? m : NULL;
}

nng_msg *mesh_msg_refuse(int code)
{
    struct poa_mesh_refuse r = {.code = (uint16_t)-code};
    nng_msg *m = mesh_msg_new(3);
    if (m == NULL)
        return NULL;
    struct poa_writer w = poa_writer_over(nng_msg_body(m), 3);
    poa_write_u8(&w, MESH_REFUSE);
    int rc = poa_mesh_refuse_encode(&w, &r);
    POA_ASSERT(rc == POA_OK);
    return m;
}

int mesh_msg_open(nng_msg *m, uint8_t *kind, struct poa_slice *rest)
{
    const uint8_t *p = nng_msg_body(m);
    size_t n = nng_msg_len(m);
    if (n < 1)
        return POA_E_TRUNCATED;
    *kind = p[0];
    *rest = poa_slice(p + 1, n - 1);
    return POA_OK;
}

int mesh_seal(struct poa_session *s, nng_msg *m, size_t plain_n)
{
    uint8_t *p = nng_msg_body(m);
    POA_ASSERT(nng_msg_len(m) == plain_n + MESH_OVERHEAD);
    struct poa_writer w = poa_writer_over(p, plain_n + MESH_OVERHEAD);
    poa_write_u8(&w, MESH_FRAME);
    return poa_session_seal(s, poa_slice(p + MESH_HEAD, plain_n), &w);
}

int mesh_unseal(struct poa_session *s, struct poa_slice frame, struct poa_slice *plain)
{
    if (frame.n < POA_SESSION_OVERHEAD)
        return POA_E_TRUNCATED;
    /* The frame lies in a message that is ours alone. */
    uint8_t *at = (uint8_t *)(uintptr_t)frame.p + POA_SESSION_HEAD_BYTES;
    struct poa_writer w = poa_writer_over(at, frame.n - POA_SESSION_OVERHEAD);
    int rc = poa_session_open(s, frame, &w);
    if (rc == POA_OK)
        *plain = poa_written(&w);
    return rc;
}

int mesh_error_from_wire(uint16_t code)
{
    int error = -(int)code;
    return poa_error_class(error) == POA_CLASS_NONE ? POA_E_INVALID : error;
}

bool mesh_take(struct bucket *b, uint64_t now_us, uint32_t rate, uint32_t burst, uint32_t cost)
{
    uint64_t full = (uint64_t)burst * 1000000, want = (uint64_t)cost * 1000000;
    uint64_t passed = now_us > b->last_us ? now_us - b->last_us : 0;
    if (b->last_us == 0) { /* new ones are full */
        b->tokens_u = full;
        passed = 0;
    }
    if (passed > UINT32_MAX)
        passed = UINT32_MAX;
    b->tokens_u += passed * rate;
    if (b->tokens_u > full)
        b->tokens_u = full;
    b->last_us = now_us;
    if (b->tokens_u < want)
        return false;
    b->tokens_u -= want;
    return true;
}
