# SPDX-License-Identifier: Apache-2.0
"""Measure kilograd itself."""
