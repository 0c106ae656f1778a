// SPDX-License-Identifier: Apache-2.0
// The kinds of work that CoreMark mixes, written anew: lists, matrices, a state machine, a CRC.
#include <stdint.h>

#define NODES 64
#define SIZE 12
#define TEXT 96

void reset(void);

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    STACK_TOP,
    (uintptr_t)reset,
};

typedef struct node {
    struct node *next;
    int16_t key, value;
} node_t;

// What the test reads: rounds that are done, and a number that all of them went into.
volatile uint32_t mixed_rounds;
volatile uint32_t mixed_sum;

static node_t nodes[NODES];
static int16_t left[SIZE][SIZE], right[SIZE][SIZE];
static int32_t product[SIZE][SIZE];
static uint8_t text[TEXT];

static uint16_t crc(uint16_t sum, uint32_t word) {
    for (int bit = 0; bit < 32; bit++) {
        uint16_t carry = (uint16_t)((sum ^ word) & 1);
        sum >>= 1;
        word >>= 1;
        if (carry) {
            sum ^= 0xA001u;
        }
    }
    return sum;
}

static node_t *make_list(uint32_t seed) {
    for (int i = 0; i < NODES; i++) {
        seed = seed * 1103515245u + 12345u;
        nodes[i] = (node_t){i + 1 < NODES ? &nodes[i + 1] : 0, (int16_t)(seed >> 16), (int16_t)i};
    }
    return nodes;
}

// Merge sort, bottom up.
static node_t *sort(node_t *list) {
    for (int run = 1;; run *= 2) {
        node_t *rest = list, *tail = 0;
        int merges = 0;
        list = 0;
        while (rest) {
            node_t *one = rest, *two = rest;
            int ones = 0, twos = run;
            for (merges++; ones < run && two; ones++) {
                two = two->next;
            }
            while (ones > 0 || (twos > 0 && two)) {
                node_t *taken;
                if (ones > 0 && (twos == 0 || !two || one->key <= two->key)) {
                    taken = one;
                    one = one->next;
                    ones--;
                } else {
                    taken = two;
                    two = two->next;
                    twos--;
                }
                *(tail ? &tail->next : &list) = taken;
                tail = taken;
            }
            rest = two;
        }
        tail->next = 0;
        if (merges <= 1) {
            return list;
        }
    }
}

static node_t *reverse(node_t *list) {
    node_t *done = 0;
    while (list) {
        node_t *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static int find(const node_t *list, int16_t value) {
    int steps = 0;
    while (list && list->value != value) {
        list = list->next;
        steps++;
    }
    return steps;
}

static uint16_t lists(uint32_t seed, uint16_t sum) {
    node_t *list = reverse(sort(make_list(seed)));
    for (int16_t value = 0; value < NODES; value += 5) {
        sum = (uint16_t)(sum + find(list, value));
    }
    return crc(sum, (uint32_t)list->key);
}

static uint16_t matrices(uint32_t seed, uint16_t sum) {
    int32_t total = 0;
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            left[i][j] = (int16_t)(seed + (uint32_t)(i * j));
            right[i][j] = (int16_t)(seed ^ (uint32_t)(i - j));
        }
    }
    for (int i = 0; i < SIZE; i++) {
        for (int j = 0; j < SIZE; j++) {
            int32_t cell = 0;
            for (int k = 0; k < SIZE; k++) {
                cell += left[i][k] * right[k][j];
            }
            product[i][j] = cell;
            total += cell > 1000 ? 10 : cell & 0xF;
        }
    }
    return crc(sum, (uint32_t)total);
}

typedef enum { START, INTEGER, POINT, FRACTION, EXPONENT, INVALID, STATES } state_t;

// Reads numbers such as -12.5e3 that commas part, and counts where each of them ended.
static uint16_t states(uint32_t seed, uint16_t sum) {
    static const uint8_t letters[16] = {'1', '2', '3', '4', '5', '6', '.', ',',
                                        'e', '-', '+', '7', '8', ',', '9', 'x'};
    static uint32_t counts[STATES];  // grow from round to round
    state_t state = START;
    for (int i = 0; i < TEXT; i++) {
        seed = seed * 1103515245u + 12345u;
        text[i] = letters[seed >> 28];
    }
    for (int i = 0; i < TEXT; i++) {
        uint8_t c = text[i];
        int digit = c >= '0' && c <= '9';
        if (c == ',') {
            counts[state]++;
            state = START;
            continue;
        }
        switch (state) {
        case START:
            state = digit || c == '-' || c == '+' ? INTEGER : c == '.' ? POINT : INVALID;
            break;
        case INTEGER:
            state = digit ? INTEGER : c == '.' ? POINT : c == 'e' ? EXPONENT : INVALID;
            break;
        case POINT:
        case FRACTION:
            state = digit ? FRACTION : c == 'e' ? EXPONENT : INVALID;
            break;
        case EXPONENT:
            state = digit || c == '-' || c == '+' ? EXPONENT : INVALID;
            break;
        default:
            break;
        }
    }
    for (int i = 0; i < STATES; i++) {
        sum = crc(sum, counts[i]);
    }
    return sum;
}

void reset(void) {
    static const uint32_t switches[][2] = {SWITCHES};
    uint16_t sum = 0xFFFFu;
    for (uint32_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        *(volatile uint32_t *)(uintptr_t)switches[i][0] |= switches[i][1];
    }
    for (uint32_t round = 1;; round++) {
        sum = lists(round, sum);
        sum = matrices(round, sum);
        sum = states(round, sum);
        mixed_sum = sum;
        mixed_rounds = round;
    }
}
