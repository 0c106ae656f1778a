# SPDX-License-Identifier: Apache-2.0
"""Is a quantised training healthy? Watches the host twin train, layer by layer, and says what to do where it is not."""
