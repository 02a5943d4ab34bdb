/* State proofs down from a certificate: see poa_proof.h. Freestanding C99. */
#include "poa_proof.h"

#define F(k, n, m, s, d) POA_FIELD_ROW_(state_proof, k, n, m, s, d)
POA_RECORD_DEFINE(state_proof, POA_STATE_PROOF_TABLE)
#undef F

int poa_state_proof_check(struct poa_chain_check *c, const struct poa_state_proof *p,
                          struct poa_header *out)
{
    struct poa_run run;
    struct poa_raw_header first;
    struct poa_list_iter it;
    int e = poa_run_decode(p->run, &run);
    c->wrong = NULL;
    if (e)
        return e;
    it = poa_list_begin(&run.headers);
    if (!poa_raw_header_next(&it, &first))
        return POA_E_TRUNCATED;
    e = poa_header_decode(first.header, out);
    if (!e) /* hashes before signatures */
        e = poa_proof_check(out->state, (enum poa_state_table)p->table, p->key.p, p->key.n,
                            p->value, p->proof);
    return e ? e : poa_chain_run(c, &run, true);
}
