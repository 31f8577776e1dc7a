# SPDX-License-Identifier: Apache-2.0
"""One call: from its request to its result."""
