// SPDX-License-Identifier: Apache-2.0
// CRC-32 (IEEE 802.3, reflected, as zlib.crc32), four bits at a time: a 64-byte table.
#ifndef KG_RUNTIME_CRC32_H
#define KG_RUNTIME_CRC32_H

#include <stddef.h>
#include <stdint.h>

// Continues crc (0 at the start) over data.
uint32_t kg_crc32(uint32_t crc, const uint8_t *data, size_t bytes);

#endif
