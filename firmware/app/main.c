// SPDX-License-Identifier: Apache-2.0
// The application: serves the link and trains the linked model.
#include "kilograd/model.h"
#include "port/kg_port.h"
#include "runtime/link.h"

// One frame. The host twin is built with 1 MiB, a board has no kilobytes to spare.
#ifndef KG_LINK_BUFFER_BYTES
#define KG_LINK_BUFFER_BYTES 1024
#endif

static kg_training_t training;
static uint8_t buffer[KG_LINK_BUFFER_BYTES];

int main(void) {
    kg_port_init();
    kg_link_serve(&kg_model, &training, buffer, sizeof buffer);
    return 0;
}
