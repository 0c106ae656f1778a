# SPDX-License-Identifier: Apache-2.0
"""Boards: their memory maps and settings, and what instructions cost on their cores."""
