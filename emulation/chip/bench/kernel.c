// SPDX-License-Identifier: Apache-2.0
// What `kilograd bench engine` runs, over and over: a 3x3 uint8 convolution and a CRC-32.
#include <stdint.h>

#define CHANNELS 8
#define SIZE 16

void reset(void);

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    STACK_TOP,
    (uintptr_t)reset,
};

// Registers and the bits that switch the board's caches on.
static const uint32_t switches[][2] = {SWITCHES};

static uint8_t input[CHANNELS][SIZE + 2][SIZE + 2];
static uint8_t weights[CHANNELS][CHANNELS][3][3];
static uint8_t output[CHANNELS][SIZE][SIZE];

static int32_t sum_of_taps(int channel, int row, int column) {
    int32_t sum = 0;
    for (int from = 0; from < CHANNELS; from++) {
        for (int u = 0; u < 3; u++) {
            for (int v = 0; v < 3; v++) {
                int32_t x = input[from][row + u][column + v] - 3;
                sum += (weights[channel][from][u][v] - 128) * x;
            }
        }
    }
    return sum;
}

static void convolve(void) {
    for (int channel = 0; channel < CHANNELS; channel++) {
        for (int row = 0; row < SIZE; row++) {
            for (int column = 0; column < SIZE; column++) {
                int32_t value = sum_of_taps(channel, row, column) >> 8;
                output[channel][row][column] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
            }
        }
    }
}

static uint32_t crc(const uint8_t *data, uint32_t bytes) {
    uint32_t sum = 0xFFFFFFFFu;
    while (bytes-- > 0) {
        sum ^= *data++;
        for (int bit = 0; bit < 8; bit++) {
            sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320u : 0);
        }
    }
    return ~sum;
}

void reset(void) {
    uint32_t seed = 1;
    for (uint32_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        *(volatile uint32_t *)(uintptr_t)switches[i][0] |= switches[i][1];
    }
    for (;;) {
        for (uint32_t i = 0; i < sizeof input; i++) {
            (&input[0][0][0])[i] = (uint8_t)(seed = seed * 1664525u + 1013904223u);
        }
        for (uint32_t i = 0; i < sizeof weights; i++) {
            (&weights[0][0][0][0])[i] = (uint8_t)(seed >> (i & 15));
        }
        convolve();
        seed ^= crc(&output[0][0][0], sizeof output);
    }
}
