# SPDX-License-Identifier: Apache-2.0
# Every board, one thing after another: what a user sees it do.

*** Settings ***
Documentation       A model knows handwritten digits; then the sensor changes, and boards learn to read it again.
...                 All boards run, on the engine builtin: `--variable BOARD:rp2040` chooses one of them, `--variable
...                 ENGINE:...` another engine.
Resource            resources/kilograd.resource
Suite Setup         Prepare
Test Tags           engine:${ENGINE}
Test Template       On Board


*** Test Cases ***
Nrf52840 Boots And Greets
    [Tags]    board:nrf52840
    nrf52840    Firmware Should Greet

Nrf52840 Lowers The Loss By Training
    [Tags]    board:nrf52840
    nrf52840    Training Should Lower The Loss

Nrf52840 Has The State Of The Host After Training
    [Tags]    board:nrf52840
    nrf52840    State Should Match The Host

Nrf52840 Has Memory To Spare
    [Tags]    board:nrf52840
    nrf52840    Memory Should Fit

Nrf52840 Refuses A Damaged Frame
    [Tags]    board:nrf52840
    nrf52840    Damaged Frame Should Be Refused

Nrf52840 Reports A Fault
    [Tags]    board:nrf52840
    nrf52840    Fault Should Be Reported

Rp2040 Boots And Greets
    [Tags]    board:rp2040
    rp2040    Firmware Should Greet

Rp2040 Lowers The Loss By Training
    [Tags]    board:rp2040
    rp2040    Training Should Lower The Loss

Rp2040 Has The State Of The Host After Training
    [Tags]    board:rp2040
    rp2040    State Should Match The Host

Rp2040 Has Memory To Spare
    [Tags]    board:rp2040
    rp2040    Memory Should Fit

Rp2040 Refuses A Damaged Frame
    [Tags]    board:rp2040
    rp2040    Damaged Frame Should Be Refused

Rp2040 Reports A Fault
    [Tags]    board:rp2040
    rp2040    Fault Should Be Reported

Imxrt1062 Boots And Greets
    [Tags]    board:imxrt1062
    imxrt1062    Firmware Should Greet

Imxrt1062 Lowers The Loss By Training
    [Tags]    board:imxrt1062
    imxrt1062    Training Should Lower The Loss

Imxrt1062 Has The State Of The Host After Training
    [Tags]    board:imxrt1062
    imxrt1062    State Should Match The Host

Imxrt1062 Has Memory To Spare
    [Tags]    board:imxrt1062
    imxrt1062    Memory Should Fit

Imxrt1062 Refuses A Damaged Frame
    [Tags]    board:imxrt1062
    imxrt1062    Damaged Frame Should Be Refused

Imxrt1062 Reports A Fault
    [Tags]    board:imxrt1062
    imxrt1062    Fault Should Be Reported
