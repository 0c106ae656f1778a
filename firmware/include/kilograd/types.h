// SPDX-License-Identifier: Apache-2.0
// Status codes, assertions and the fixed-point number that every part of the runtime shares.
#ifndef KILOGRAD_TYPES_H
#define KILOGRAD_TYPES_H

#include <stddef.h>
#include <stdint.h>

// 0 is success, every error is negative. The orchestrator shows these by name (link/protocol.py).
typedef enum {
    KG_OK = 0,
    KG_ERROR_FRAME = -1,     // damaged frame: bad COBS code, CRC or length
    KG_ERROR_SEQUENCE = -2,  // a repeated or late frame
    KG_ERROR_REQUEST = -3,   // unknown request, or its payload has the wrong size
    KG_ERROR_RANGE = -4,     // an offset, label or setting outside what the model allows
    KG_ERROR_VERSION = -5,   // the peer speaks another protocol version
} kg_status_t;

// Bugs in kilograd itself, never bad input. Compiles to nothing unless -DKG_ASSERT=... gives it a
// body.
#ifndef KG_ASSERT
#define KG_ASSERT(condition) ((void)0)
#endif

// A positive real factor as multiplier * 2^-shift, multiplier in [2^30, 2^31), shift in [1, 62].
// multiplier == 0 means the factor is zero (or too small to matter).
typedef struct {
    int32_t multiplier;
    int32_t shift;
} kg_requant_t;

#endif
