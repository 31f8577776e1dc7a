# SPDX-License-Identifier: Apache-2.0
"""A source as a program: runs it as ``__main__``, and ends it as the interpreter does."""
