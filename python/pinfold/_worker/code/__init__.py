# SPDX-License-Identifier: Apache-2.0
"""The program's source: its file, its module, and the search path of its imports."""
