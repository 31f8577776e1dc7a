"""The package's logger, apart, since a program can do without until a call was made."""

from __future__ import annotations

import logging

log = logging.getLogger("pinfold")
