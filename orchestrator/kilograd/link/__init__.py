# SPDX-License-Identifier: Apache-2.0
"""The link with a running firmware: `session.Session` is what callers use."""
