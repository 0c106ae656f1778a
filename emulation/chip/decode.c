// SPDX-License-Identifier: Apache-2.0
// Reads Thumb code by the rows of the instruction table: class, registers, list lengths, IT blocks.
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

uint32_t kg_operand_number(const kg_operand_t *operand, uint32_t word) {
    uint32_t number = 0;
    for (uint32_t i = 0; i < operand->count; i++) {
        number = number << 1 | (word >> operand->bits[i] & 1);
    }
    return number;
}

static uint64_t operand_bit(const kg_operand_t *operand, uint32_t word) {
    uint32_t number = kg_operand_number(operand, word);
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

const uint8_t *kg_code_at(kg_chip_t *chip, kg_span_t span) {
    kg_memory_t *memory = kg_find_memory(chip, span.pc, span.end - span.pc);
    return memory == NULL ? NULL : memory->bytes + (span.pc - memory->base);
}

kg_reader_t kg_read_code(kg_chip_t *chip, kg_span_t span) {
    const uint8_t *code = span.end > span.pc ? kg_code_at(chip, span) : NULL;
    return (kg_reader_t){&chip->settings, code, span.pc, code == NULL ? span.pc : span.end, 0};
}

// How many instructions an IT instruction makes conditional: 1 for mask 1000, ... 4 for xxx1.
static uint32_t it_length(uint32_t word) {
    return 4 - (uint32_t)__builtin_ctz(word & 0xFu);
}

bool kg_next_instruction(kg_reader_t *reader, kg_instruction_t *found) {
    static const kg_row_t unknown;  // of class 0, which is the table's default
    if (reader->at >= reader->end) {
        return false;
    }
    const uint8_t *code = reader->code;
    found->address = reader->at;
    found->bytes = kg_instruction_bytes((uint16_t)(code[0] | code[1] << 8));
    const kg_row_t *row = kg_decode(reader->settings, code, found->bytes, &found->word);
    found->row = row == NULL ? &unknown : row;
    found->cost = &reader->settings->costs[found->row->kind];
    found->in_it = reader->it_left > 0;
    if (found->row->flow == KG_IT) {
        reader->it_left = it_length(found->word);
    } else if (found->in_it) {
        reader->it_left--;
    }
    reader->code += found->bytes;
    reader->at += found->bytes;
    return true;
}

uint32_t kg_whole_cost(const kg_instruction_t *now) {
    uint32_t length = kg_list_length(now->row, now->word);
    uint32_t rounds = (length + now->cost->width - 1) / now->cost->width;
    return now->cost->cycles + now->cost->per_register * rounds;
}

bool kg_branches(const kg_instruction_t *now) {
    uint8_t flow = now->row->flow;
    return flow == KG_CONDITIONAL || flow == KG_ALWAYS || flow == KG_INDIRECT;
}

bool kg_is_variable(const kg_instruction_t *now) {
    bool early_out = now->cost->early_out.bits_per_cycle != 0;
    return !kg_branches(now) && (early_out || (now->in_it && kg_whole_cost(now) > 1));
}
