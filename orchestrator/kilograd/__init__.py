# SPDX-License-Identifier: Apache-2.0
"""Train neural networks on Cortex-M microcontrollers, and prove it without a board."""

__version__ = "0.1.0"
