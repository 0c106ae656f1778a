// SPDX-License-Identifier: Apache-2.0
// The register file of tests on the host: a function that the test sets.
#include "port/cortex_m/registers.h"

uint32_t (*kg_fake_get)(uint32_t address);
