# SPDX-License-Identifier: Apache-2.0
"""Parts that every room of the caller's process uses: checks of arguments, the log."""
