# SPDX-License-Identifier: Apache-2.0
# What a board has is enough.

*** Settings ***
Documentation       What a board has is enough; the deepest use of the stack is known only after training.
Resource            resources/kilograd.resource
Suite Setup         Prepare
Test Setup          Start Board
Test Teardown       Stop Board
Test Tags           board:${BOARD}    engine:${ENGINE}


*** Test Cases ***
Memory Limits Hold
    Train On Samples    48
    Ram And Flash Should Be Below Their Limits

Stack Stays Within Its Reserve
    Train On Samples    48
    Stack Should Have Stayed Within Its Reserve
