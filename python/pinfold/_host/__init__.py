# SPDX-License-Identifier: Apache-2.0
"""Find out what this machine can do: sandboxes, control groups, CPUs.

Imports nothing of a worker, but for the probe of the box's C extension.
"""
