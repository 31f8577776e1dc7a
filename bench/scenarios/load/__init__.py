# SPDX-License-Identifier: Apache-2.0
"""Many calls, many workers, and a load shaped like a search."""
