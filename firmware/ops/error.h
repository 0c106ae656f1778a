// SPDX-License-Identifier: Apache-2.0
// The uint8 error format: real = scale * (q - 128).
#ifndef KG_OPS_ERROR_H
#define KG_OPS_ERROR_H

#define KG_ERROR_ZERO 128

#endif
