# SPDX-License-Identifier: Apache-2.0
"""What the modules that a program imports cost, and by which way they do not."""
