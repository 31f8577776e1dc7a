# SPDX-License-Identifier: Apache-2.0
"""The suite of behaviour that every backend passes. A package, so that its conftest has a name."""
