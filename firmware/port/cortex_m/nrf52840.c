// SPDX-License-Identifier: Apache-2.0
// Nordic nRF52840 (nRF52840 Product Specification 1.1): crystal oscillator, instruction cache,
// UARTE on P0.06 (TX) and P0.08 (RX), where the development kit has its USB serial port.
#include <stddef.h>
#include <stdint.h>

#include "port/cortex_m/chip.h"
#include "port/cortex_m/registers.h"
#include "port/kg_port.h"

#define CLOCK_TASKS_HFCLKSTART 0x40000000u
#define CLOCK_EVENTS_HFCLKSTARTED 0x40000100u
#define NVMC_ICACHECNF 0x4001E540u
#define NVMC_ICACHECNF_CACHEEN 1u
#define P0_OUTSET 0x50000508u
#define P0_PIN_CNF(pin) (0x50000700u + 4u * (pin))
#define PIN_CNF_OUTPUT 3u           // output, input buffer disconnected
#define PIN_CNF_INPUT_PULL_UP 0xCu  // input buffer connected

#define UARTE_TASKS_STARTRX (KG_UART_BASE + 0x000u)
#define UARTE_TASKS_STARTTX (KG_UART_BASE + 0x008u)
#define UARTE_EVENTS_ENDRX (KG_UART_BASE + 0x110u)
#define UARTE_EVENTS_ENDTX (KG_UART_BASE + 0x120u)
#define UARTE_ENABLE (KG_UART_BASE + 0x500u)
#define UARTE_ENABLE_ENABLED 8u
#define UARTE_PSEL_TXD (KG_UART_BASE + 0x50Cu)
#define UARTE_PSEL_RXD (KG_UART_BASE + 0x514u)
#define UARTE_BAUDRATE (KG_UART_BASE + 0x524u)
#define UARTE_RXD_PTR (KG_UART_BASE + 0x534u)
#define UARTE_RXD_MAXCNT (KG_UART_BASE + 0x538u)
#define UARTE_TXD_PTR (KG_UART_BASE + 0x544u)
#define UARTE_TXD_MAXCNT (KG_UART_BASE + 0x548u)
#define UARTE_CONFIG (KG_UART_BASE + 0x56Cu)

#define TX_PIN 6u
#define RX_PIN 8u

// The values that the manual lists; others are not specified.
#if KG_UART_BAUD == 115200
#define BAUDRATE 0x01D60000u
#elif KG_UART_BAUD == 230400
#define BAUDRATE 0x03B00000u
#elif KG_UART_BAUD == 460800
#define BAUDRATE 0x07400000u
#elif KG_UART_BAUD == 921600
#define BAUDRATE 0x0F000000u
#elif KG_UART_BAUD == 1000000
#define BAUDRATE 0x10000000u
#else
#error "KG_UART_BAUD: 115200, 230400, 460800, 921600 or 1000000"
#endif

// EasyDMA reaches RAM only, and what is sent may lie in flash.
static volatile uint8_t sent[64];
static volatile uint8_t received;

static void start_receiving(void) {
    kg_put(UARTE_EVENTS_ENDRX, 0);
    kg_put(UARTE_TASKS_STARTRX, 1);
}

static void init_uart(void) {
    kg_put(P0_OUTSET, 1u << TX_PIN);
    kg_put(P0_PIN_CNF(TX_PIN), PIN_CNF_OUTPUT);
    kg_put(P0_PIN_CNF(RX_PIN), PIN_CNF_INPUT_PULL_UP);
    kg_put(UARTE_PSEL_TXD, TX_PIN);
    kg_put(UARTE_PSEL_RXD, RX_PIN);
    kg_put(UARTE_BAUDRATE, BAUDRATE);
    kg_put(UARTE_CONFIG, 0);  // no parity, one stop bit, no flow control
    kg_put(UARTE_ENABLE, UARTE_ENABLE_ENABLED);
    kg_put(UARTE_RXD_PTR, (uint32_t)&received);
    kg_put(UARTE_RXD_MAXCNT, sizeof received);
    kg_put(UARTE_TXD_PTR, (uint32_t)sent);
    start_receiving();
}

void kg_chip_init(void) {
    // From reset, the core runs at 64 MHz from an RC oscillator: too coarse for a UART when warm.
    kg_put(CLOCK_EVENTS_HFCLKSTARTED, 0);
    kg_put(CLOCK_TASKS_HFCLKSTART, 1);
    kg_await(CLOCK_EVENTS_HFCLKSTARTED, 1, 1);
    kg_put(NVMC_ICACHECNF, NVMC_ICACHECNF_CACHEEN);
    init_uart();
}

// The receiver is started again at once, and the UARTE's own FIFO bridges the time to the next
// call.
int kg_port_read(void) {
    while (kg_get(UARTE_EVENTS_ENDRX) == 0) {
    }
    int byte = received;
    start_receiving();
    return byte;
}

static void send(const uint8_t *data, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++) {
        sent[i] = data[i];
    }
    kg_put(UARTE_TXD_MAXCNT, bytes);
    kg_put(UARTE_EVENTS_ENDTX, 0);
    kg_put(UARTE_TASKS_STARTTX, 1);
    while (kg_get(UARTE_EVENTS_ENDTX) == 0) {
    }
}

void kg_port_write(const uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        uint32_t part = bytes < sizeof sent ? (uint32_t)bytes : sizeof sent;
        send(data, part);
        data += part;
        bytes -= part;
    }
}
