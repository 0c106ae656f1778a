# SPDX-License-Identifier: Apache-2.0
# Training costs what it did, and always the same.

*** Settings ***
Documentation       Training costs what it did when its baseline was committed, and the same in every run.
Resource            resources/kilograd.resource
Suite Setup         Prepare
Test Setup          Start Board
Test Teardown       Stop Board
Test Tags           board:${BOARD}    engine:${ENGINE}


*** Test Cases ***
Counts Are Within The Baseline
    [Tags]    slow
    Train As The Experiment Does
    Counts Should Be Within The Baseline    ${BASELINES}    ${TOLERANCE}

Counts Are The Same In Every Run
    Training Should Cost The Same Again    48
