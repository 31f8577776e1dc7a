# SPDX-License-Identifier: Apache-2.0
"""The package's logger, in a module of its own so that ``import pinfold`` need not load logging."""

from __future__ import annotations

import logging

log = logging.getLogger("pinfold")
