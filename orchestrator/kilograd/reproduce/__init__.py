# SPDX-License-Identifier: Apache-2.0
"""Tables of published results, made again: what to train (`tables`, one file each), how to run it, what came out."""
