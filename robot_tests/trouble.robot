# SPDX-License-Identifier: Apache-2.0
# What goes wrong is said, and changes nothing.

*** Settings ***
Documentation       What goes wrong is said, and changes nothing.
Resource            resources/kilograd.resource
Suite Setup         Prepare
Test Setup          Start Board
Test Teardown       Stop Board
Test Tags           board:${BOARD}    engine:${ENGINE}


*** Test Cases ***
Damaged Frame Is Refused
    Damaged Frame Should Be Refused

Undefined Instruction Is Reported
    Fault Should Be Reported    undefined

Write To Flash Is Explained
    Fault Should Be Explained    write to flash    (read-only memory)    write_to_flash

Stack Overflow Is Explained
    Fault Should Be Explained    overflow the stack    stack overflow    overflow_stack
