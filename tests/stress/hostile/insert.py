# SPDX-License-Identifier: Apache-2.0
"""Put the generated table between its marks in the documentation: insert.py TABLE DOCUMENT."""

import sys
from pathlib import Path

BEGIN, END = "<!-- hostile table: begin -->\n", "<!-- hostile table: end -->\n"

table, document = (Path(argument) for argument in sys.argv[1:])
head, _, rest = document.read_text().partition(BEGIN)
tail = rest.partition(END)[2]
document.write_text(f"{head}{BEGIN}{table.read_text()}{END}{tail}")
