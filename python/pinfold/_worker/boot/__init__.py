# SPDX-License-Identifier: Apache-2.0
"""Before the first call: start a template, load the pool's modules, and fork."""
