// SPDX-License-Identifier: Apache-2.0
// Reads Thumb instructions by the rows of the instruction table: class, registers, list lengths.
#include "internal.h"

static const kg_row_t *find_row(const kg_row_t *rows, uint32_t count, uint32_t word) {
    for (uint32_t i = 0; i < count; i++) {
        if ((word & rows[i].mask) == rows[i].value) {
            return &rows[i];
        }
    }
    return NULL;
}

// Halfwords that begin 0b11101, 0b11110 or 0b11111 have a second one (ARMv7-M ARM, A5.1).
uint32_t kg_instruction_bytes(uint16_t first_half) {
    return first_half >> 11 >= 0x1Du ? 4 : 2;
}

const kg_row_t *kg_decode(const kg_settings_t *settings, const uint8_t *code, uint32_t bytes,
                          uint32_t *word) {
    uint32_t first = (uint32_t)code[0] | (uint32_t)code[1] << 8;
    if (bytes == 2) {
        *word = first;
        return find_row(settings->rows16, settings->rows16_count, first);
    }
    *word = first << 16 | (uint32_t)code[3] << 8 | code[2];
    return find_row(settings->rows32, settings->rows32_count, *word);
}

static uint64_t operand_bit(const kg_operand_t *operand, uint32_t word) {
    uint32_t number = 0;
    for (uint32_t i = 0; i < operand->count; i++) {
        number = number << 1 | (word >> operand->bits[i] & 1);
    }
    // r15 as an operand is the program counter or "none": neither makes anyone wait.
    return operand->first == 0 && number == 15 ? 0 : (uint64_t)1 << (operand->first + number);
}

// Returns the registers (bit n: register n) that the instruction accesses in this way; KG_READ
// means neither early nor late.
uint64_t kg_operand_mask(const kg_row_t *row, uint32_t word, uint8_t access) {
    uint64_t mask = 0;
    for (uint32_t i = 0; i < KG_OPERANDS && row->operands[i].count > 0; i++) {
        uint8_t has = row->operands[i].access;
        bool plain = access != KG_READ || !(has & (KG_EARLY | KG_LATE));
        if ((has & access) && plain) {
            mask |= operand_bit(&row->operands[i], word);
        }
    }
    return mask;
}

uint32_t kg_list_length(const kg_row_t *row, uint32_t word) {
    uint32_t length = (uint32_t)__builtin_popcount(word & row->list);
    if (row->number != 0) {
        length += (word & row->number) >> __builtin_ctz(row->number);
    }
    return length;
}
