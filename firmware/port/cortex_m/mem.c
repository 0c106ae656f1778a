// SPDX-License-Identifier: Apache-2.0
// The four memory functions that a C compiler may call by itself; there is no C library.
//
// The build keeps the compiler from turning these loops into calls of these functions.
#include <stdint.h>
#include <string.h>

#define WORD sizeof(uint32_t)

static int aligned(const void *a, const void *b) {
    return (((uintptr_t)a | (uintptr_t)b) & (WORD - 1)) == 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    uint8_t *t = to;
    const uint8_t *f = from;
    if (aligned(t, f)) {
        for (; bytes >= WORD; bytes -= WORD, t += WORD, f += WORD) {
            *(uint32_t *)(void *)t = *(const uint32_t *)(const void *)f;
        }
    }
    while (bytes-- > 0) {
        *t++ = *f++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= bytes) {  // to is not inside from: forwards is safe
        return memcpy(to, from, bytes);
    }
    while (bytes-- > 0) {
        t[bytes] = f[bytes];
    }
    return to;
}

void *memset(void *to, int value, size_t bytes) {
    uint8_t *t = to;
    uint32_t word = 0x01010101u * (uint8_t)value;
    for (; bytes > 0 && !aligned(t, t); bytes--) {
        *t++ = (uint8_t)value;
    }
    for (; bytes >= WORD; bytes -= WORD, t += WORD) {
        *(uint32_t *)(void *)t = word;
    }
    while (bytes-- > 0) {
        *t++ = (uint8_t)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
    const uint8_t *x = a;
    const uint8_t *y = b;
    for (; bytes > 0; bytes--, x++, y++) {
        if (*x != *y) {
            return *x - *y;
        }
    }
    return 0;
}
