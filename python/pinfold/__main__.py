# SPDX-License-Identifier: Apache-2.0
"""``python -m pinfold``: the command line, as `pinfold` runs it."""

import sys

from pinfold._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
