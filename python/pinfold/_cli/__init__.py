# SPDX-License-Identifier: Apache-2.0
"""The command line: ``pinfold``, also ``python -m pinfold``."""
