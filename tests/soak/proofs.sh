#!/bin/bash
# 100,000 random proofs hold, and of 1,000 no single bit can be changed.
# Environment: POA_BIN, POA_PROOFS, POA_MUTATED, POA_SEED.
set -eu
: "${POA_PROOFS:=100000}" "${POA_MUTATED:=1000}"
export POA_PROOFS POA_MUTATED
exec "${POA_BIN:?}/tests/prop_ledger" --filter 'proof_prop/*'
