# SPDX-License-Identifier: Apache-2.0
"""What values and text cost on their way to a worker and back."""
