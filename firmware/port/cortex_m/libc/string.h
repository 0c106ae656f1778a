// SPDX-License-Identifier: Apache-2.0
// The part of <string.h> that the firmware has, so that a compiler without a C library is enough.
#ifndef KG_PORT_CORTEX_M_LIBC_STRING_H
#define KG_PORT_CORTEX_M_LIBC_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

#endif
