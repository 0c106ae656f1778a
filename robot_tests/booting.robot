# SPDX-License-Identifier: Apache-2.0
# A board comes up, and says who it is.

*** Settings ***
Documentation       A board comes up, and says who it is.
Resource            resources/kilograd.resource
Suite Setup         Prepare
Test Setup          Start Board
Test Teardown       Stop Board
Test Tags           board:${BOARD}    engine:${ENGINE}


*** Test Cases ***
Board Boots And Greets
    Firmware Should Greet
