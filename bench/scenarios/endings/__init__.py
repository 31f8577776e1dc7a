# SPDX-License-Identifier: Apache-2.0
"""Calls that fail, hang or run out of time, and the calls beside them."""
