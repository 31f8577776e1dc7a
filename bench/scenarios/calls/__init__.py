# SPDX-License-Identifier: Apache-2.0
"""What a call costs: its start, its round trip, its process, its box."""
