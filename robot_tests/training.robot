# SPDX-License-Identifier: Apache-2.0
# A board learns, as the host does.

*** Settings ***
Documentation       A model knows its task; then the sensor changes, and the board learns to read it again.
Resource            resources/kilograd.resource
Suite Setup         Prepare
Test Setup          Start Board
Test Teardown       Stop Board
Test Tags           board:${BOARD}    engine:${ENGINE}


*** Test Cases ***
Training Lowers The Loss
    Training Should Lower The Loss    480

State Equals That Of The Host After A Hundred Samples
    State Should Match The Host    100

State Equals That Of The Host After A Thousand Samples
    [Tags]    slow
    State Should Match The Host    1000
