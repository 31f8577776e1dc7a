# SPDX-License-Identifier: Apache-2.0
"""The sandbox inside a worker."""
