# SPDX-License-Identifier: Apache-2.0
"""The C extension of the caller's process: the library's pools, queues and results."""
