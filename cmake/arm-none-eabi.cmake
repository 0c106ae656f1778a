# SPDX-License-Identifier: Apache-2.0
# Toolchain file for boards. CMAKE_C_COMPILER comes from the command line: gcc for arm-none-eabi, or zig cc.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
# A test program cannot be linked before the board's linker script is known.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
