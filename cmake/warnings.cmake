# SPDX-License-Identifier: Apache-2.0
# The one list of warnings, all of them errors: C for the firmware, the host twin and the virtual chip.
set(KILOGRAD_WARNINGS
    -Wall
    -Wextra
    -Wshadow
    -Wconversion
    -Wdouble-promotion
    -Wmissing-prototypes
    -Wstrict-prototypes
    -Wcast-qual
    -Wundef
    -Wvla
    -Werror)
