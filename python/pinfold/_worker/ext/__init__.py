# SPDX-License-Identifier: Apache-2.0
"""The C extension of a template and its workers: forking, sockets, printed output, stacks."""
