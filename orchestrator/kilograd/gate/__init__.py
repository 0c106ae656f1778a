# SPDX-License-Identifier: Apache-2.0
"""The gate: what a training step costs now, against a committed baseline and hard limits."""
