# SPDX-License-Identifier: Apache-2.0
"""Put a reused worker's state back between calls, and renew generators after a fork."""
