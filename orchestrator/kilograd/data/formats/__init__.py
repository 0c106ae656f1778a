# SPDX-License-Identifier: Apache-2.0
"""File formats that several data sets share."""
