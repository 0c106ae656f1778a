# SPDX-License-Identifier: Apache-2.0
# How the firmware is compiled: the same bits from the same source on the host and on every board.
set(KILOGRAD_FLAGS
    -std=c11
    -ffp-contract=off # a fused multiply-add rounds once where the others round twice
    -fno-math-errno
    -fno-strict-aliasing
    -g)

set(KILOGRAD_HOST_FLAGS ${KILOGRAD_FLAGS} -O3 -march=native -fPIC)

set(KILOGRAD_BOARD_FLAGS ${KILOGRAD_FLAGS} -O2 -ffreestanding -ffunction-sections -fdata-sections)

# Only the compiler's own runtime library, no C library. KILOGRAD_NO_IDIOM_FLAGS: memcpy's loop must stay a loop.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(KILOGRAD_BOARD_LINK_FLAGS -nostdlib -Wl,--gc-sections)
    set(KILOGRAD_RUNTIME_LIBRARY gcc)
    # <object>.su proves that no function has a VLA. gcc's own headers must not tell where gcc is.
    execute_process(COMMAND "${CMAKE_C_COMPILER}" -print-file-name=include
        OUTPUT_VARIABLE gcc_headers OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    cmake_path(NORMAL_PATH gcc_headers)
    list(APPEND KILOGRAD_BOARD_FLAGS -fstack-usage "-ffile-prefix-map=${gcc_headers}=gcc")
    set(KILOGRAD_NO_IDIOM_FLAGS -fno-tree-loop-distribute-patterns)
else()
    set(KILOGRAD_BOARD_LINK_FLAGS -nostdlib -Wl,--gc-sections -rtlib=compiler-rt)
    set(KILOGRAD_RUNTIME_LIBRARY)
    set(KILOGRAD_NO_IDIOM_FLAGS -fno-builtin)
endif()
