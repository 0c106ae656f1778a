// SPDX-License-Identifier: Apache-2.0
// System Control Space: SysTick, vector table, FPU switch, fault status. There are no interrupts:
// enabling one ends the run, so that firmware which needs them does not hang without a reason.
#include <stdlib.h>

#include "internal.h"

enum {
    SYST_CSR = 0x010,
    SYST_RVR = 0x014,
    SYST_CVR = 0x018,
    SYST_CALIB = 0x01C,
    NVIC_ISER = 0x100,
    NVIC_ISER_END = 0x140,
    CPUID = 0xD00,
    VTOR = 0xD08,
    AIRCR = 0xD0C,
    CCR = 0xD14,
    CFSR = 0xD28,
    HFSR = 0xD2C,
    MMFAR = 0xD34,
    BFAR = 0xD38,
    CPACR = 0xD88,
    DEMCR = 0xDFC,
};

#define CSR_ENABLE 1u
#define CSR_TICKINT 2u
#define CSR_CLKSOURCE 4u
#define CSR_COUNTFLAG (1u << 16)
#define CALIB_NOREF (1u << 31)  // only the core's clock drives SysTick
#define MASK_24 0xFFFFFFu
#define AIRCR_KEY 0x05FA0000u
#define AIRCR_READ_KEY 0xFA050000u
#define AIRCR_RESET 4u
#define CCR_STKALIGN 0x200u
#define CPACR_FPU (0xFu << 20)
#define DEMCR_TRCENA (1u << 24)

typedef struct {
    uint32_t words[0x1000 / 4];
    bool ticks;
    uint64_t start;       // cycle of the last write to CVR, or of the start
    uint64_t seen_wraps;  // when COUNTFLAG was last read
} scs_t;

// The counter stands at 0 after a write to CVR; the next clock loads RVR, then it counts down and
// wraps.
static uint64_t period(const scs_t *scs) {
    return (uint64_t)scs->words[SYST_RVR / 4] + 1;
}

static uint64_t elapsed(const kg_peripheral_t *self) {
    const scs_t *scs = self->state;
    return scs->ticks ? kg_now(self->chip) - scs->start : 0;
}

static uint32_t systick_value(const kg_peripheral_t *self) {
    const scs_t *scs = self->state;
    uint64_t passed = elapsed(self);
    return passed == 0 ? 0 : scs->words[SYST_RVR / 4] - (uint32_t)((passed - 1) % period(scs));
}

static uint32_t systick_control(kg_peripheral_t *self) {
    scs_t *scs = self->state;
    uint64_t passed = elapsed(self);
    uint64_t wraps = passed / period(scs);
    uint32_t flag = wraps > scs->seen_wraps ? CSR_COUNTFLAG : 0;
    scs->seen_wraps = wraps;
    return (scs->words[SYST_CSR / 4] & CSR_ENABLE) | CSR_CLKSOURCE | flag;
}

static void restart_systick(kg_peripheral_t *self) {
    scs_t *scs = self->state;
    scs->start = kg_now(self->chip);
    scs->seen_wraps = 0;
}

static uint32_t read_scs(kg_peripheral_t *self, uint32_t offset) {
    const scs_t *scs = self->state;
    switch (offset) {
    case SYST_CSR:
        return systick_control(self);
    case SYST_CVR:
        return systick_value(self);
    case SYST_CALIB:
        return CALIB_NOREF;
    case CPUID:
        return self->chip->settings.cpuid;
    case AIRCR:
        return AIRCR_READ_KEY;
    default:
        return offset < sizeof scs->words ? scs->words[offset / 4] : 0;
    }
}

static void write_systick_control(kg_peripheral_t *self, uint32_t value) {
    scs_t *scs = self->state;
    bool start = (value & CSR_ENABLE) && !scs->ticks;
    scs->words[SYST_CSR / 4] = value;
    scs->ticks = value & CSR_ENABLE;
    if (start) {
        restart_systick(self);
    }
    if (value & CSR_TICKINT) {
        kg_stop(self->chip, KG_INTERRUPTS);
    }
}

static void write_scs(kg_peripheral_t *self, uint32_t offset, uint32_t value) {
    scs_t *scs = self->state;
    kg_chip_t *chip = self->chip;
    if (offset >= sizeof scs->words) {
        return;
    }
    switch (offset) {
    case SYST_CSR:
        write_systick_control(self, value);
        return;
    case SYST_CVR:
        restart_systick(self);
        return;
    case SYST_RVR:
        value &= MASK_24;
        break;
    case VTOR:
        chip->vector_table = value & ~0x7Fu;
        break;
    case AIRCR:
        if (value == (AIRCR_KEY | AIRCR_RESET)) {
            kg_stop(chip, KG_RESET);
        }
        return;
    case CFSR:
    case HFSR:
        value = scs->words[offset / 4] & ~value;  // writing a one clears the bit
        break;
    case CPACR:
        chip->fpu_on = (value & CPACR_FPU) == CPACR_FPU;
        break;
    case DEMCR:
        chip->trace_enabled = value & DEMCR_TRCENA;
        break;
    default:
        if (offset >= NVIC_ISER && offset < NVIC_ISER_END && value != 0) {
            kg_stop(chip, KG_INTERRUPTS);
        }
        break;
    }
    scs->words[offset / 4] = value;
}

// What the fault handler of an ARMv7-M core reads (ARMv7-M ARM, B3.2.15); an M0+ has none of these
// registers.
void kg_nvic_fault_status(kg_chip_t *chip, kg_fault_kind_t kind, uint32_t address) {
    static const uint32_t status[] = {
        [KG_FAULT_READ] = 1u << 9 | 1u << 15,  // PRECISERR, BFARVALID
        [KG_FAULT_WRITE] = 1u << 9 | 1u << 15,
        [KG_FAULT_READ_ONLY] = 1u << 9 | 1u << 15,
        [KG_FAULT_STACK] = 1u << 9 | 1u << 15,
        [KG_FAULT_FETCH] = 1u << 8,       // IBUSERR
        [KG_FAULT_NOT_CODE] = 1u << 0,    // IACCVIOL
        [KG_FAULT_UNALIGNED] = 1u << 24,  // UNALIGNED
        [KG_FAULT_UNDEFINED] = 1u << 16,  // UNDEFINSTR
        [KG_FAULT_STATE] = 1u << 17,      // INVSTATE
        [KG_FAULT_FPU_OFF] = 1u << 19,    // NOCP
        [KG_FAULT_STEP] = 0,
    };
    if (chip->scb == NULL) {
        return;
    }
    scs_t *scs = chip->scb->state;
    scs->words[CFSR / 4] = status[kind];
    scs->words[HFSR / 4] = 1u << 30;  // FORCED
    scs->words[BFAR / 4] = address;
    scs->words[MMFAR / 4] = address;
}

bool kg_model_nvic(kg_peripheral_t *self) {
    scs_t *scs = calloc(1, sizeof *scs);
    if (scs == NULL) {
        return false;
    }
    scs->words[VTOR / 4] = self->chip->settings.vector_table;
    scs->words[CCR / 4] = CCR_STKALIGN;
    self->state = scs;
    self->read = read_scs;
    self->write = write_scs;
    self->chip->scb = self;
    return true;
}
