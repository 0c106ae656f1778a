// SPDX-License-Identifier: Apache-2.0
// What the boot ROM of the i.MX RT1062 looks for in flash (i.MX RT1060 Reference Manual, chapter 9
// "System Boot"): the FlexSPI NOR configuration block at its start, the image vector table 4 KB
// behind.
#include <stddef.h>
#include <stdint.h>

#include "port/cortex_m/chip.h"

#define LUT(operation, lines, operand) (((operation) << 10) | ((lines) << 8) | (operand))
#define LUT_PAIR(first, second) ((uint32_t)(first) | ((uint32_t)(second) << 16))
enum { COMMAND = 0x01, ADDRESS = 0x02, READ = 0x09, DUMMY = 0x0C };
enum { ONE_LINE = 0, FOUR_LINES = 2 };

// Table 9-18 "FlexSPI NOR configuration block": 512 bytes.
typedef struct {
    uint32_t tag, version, reserved_08;
    uint8_t read_sample_clock, cs_hold, cs_setup, column_address_width;
    uint8_t device_mode[48];
    uint32_t controller_options;
    uint8_t device_type, pad_type, clock, custom_sequences;
    uint32_t reserved_48[2];
    uint32_t size_a1, size_a2, size_b1, size_b2;
    uint32_t pads_and_timeouts[8];
    uint32_t lookup[64];
    uint32_t custom[16];
    uint32_t page_size, sector_size;
    uint32_t reserved_1c8[14];
} config_block_t;
_Static_assert(sizeof(config_block_t) == 512, "as the manual says");
_Static_assert(offsetof(config_block_t, lookup) == 0x80, "as the manual says");
_Static_assert(offsetof(config_block_t, page_size) == 0x1C0, "as the manual says");

// 9.7.1.1 "Image vector table".
typedef struct {
    uint32_t header;
    const void *entry;
    uint32_t reserved_08, dcd;
    const void *boot_data, *self;
    uint32_t csf, reserved_1c;
} vector_table_t;

typedef struct {
    const void *start;
    uint32_t bytes, plugin, reserved_0c;
} boot_data_t;

typedef struct {
    config_block_t config;
    uint8_t gap[0x1000 - sizeof(config_block_t)];
    vector_table_t table;
    boot_data_t data;
} boot_t;

extern const uint32_t kg_vectors[];  // from the linker script
extern const boot_t kg_boot;

__attribute__((section(".boot"), used)) const boot_t
    kg_boot =
        {
            .config =
                {
                    .tag = 0x42464346,       // "FCFB"
                    .version = 0x56010400,   // 1.4.0
                    .read_sample_clock = 1,  // looped back from the DQS pad
                    .cs_hold = 3,
                    .cs_setup = 3,
                    .device_type = 1,  // serial NOR
                    .pad_type = 4,     // lines
                    .clock = 7,        // 133 MHz
                    .size_a1 = KG_FLASH_BYTES,
                    // Command EBh: read on four lines, address too, after 6 clocks.
                    .lookup = {LUT_PAIR(LUT(COMMAND, ONE_LINE, 0xEB), LUT(ADDRESS, FOUR_LINES, 24)),
                               LUT_PAIR(LUT(DUMMY, FOUR_LINES, 6), LUT(READ, FOUR_LINES, 4))},
                    .page_size = 256,
                    .sector_size = 4096,
                },
            .table =
                {
                    .header = 0x432000D1,  // tag D1, 32 bytes, version 4.3
                    .entry = kg_vectors,
                    .boot_data = &kg_boot.data,
                    .self = &kg_boot.table,
                },
            .data = {.start = &kg_boot, .bytes = KG_FLASH_BYTES},
};
