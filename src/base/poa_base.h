/* Everything that src/base offers to hosted code. Freestanding code includes
 * poa_error.h, poa_codec.h, poa_crypto.h and poa_keys.h by name. */
#ifndef POA_BASE_H
#define POA_BASE_H

#include "poa_clock.h"
#include "poa_codec.h"
#include "poa_crypto.h"
#include "poa_error.h"
#include "poa_file.h"
#include "poa_keys.h"
#include "poa_keystore.h"
#include "poa_log.h"
#include "poa_print.h"

#endif
