# SPDX-License-Identifier: Apache-2.0
"""The corpora of the fuzz targets: one archive a target, `fuzz/corpus/TARGET.tar.gz`.

`python fuzz/corpus.py ARCHIVE COMMAND...` unpacks an archive into a temporary directory, runs
COMMAND with that directory as its last argument, and fails unless COMMAND says that it has run
every input: `N inputs` in what it prints.
"""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

DIRECTORY = Path(__file__).parent / "corpus"


def archive(target: str) -> Path:
    """Return the path of a target's archive."""
    return DIRECTORY / f"{target}.tar.gz"


def read(path: Path) -> dict[str, bytes]:
    """Return the inputs that an archive holds, by their names."""
    with tarfile.open(path, "r:gz") as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar)
        return {name: file.read() for name, file in files if file}


def write(path: Path, inputs: dict[str, bytes]) -> None:
    """Write an archive. Equal inputs make equal archives: nothing in one names a time or a user."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(inputs):
            member = tarfile.TarInfo(name)
            member.size = len(inputs[name])
            tar.addfile(member, io.BytesIO(inputs[name]))
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def unpack(path: Path, directory: Path) -> int:
    """Write the inputs of an archive into a directory, and return their number."""
    inputs = read(path)
    for name, content in inputs.items():
        (directory / Path(name).name).write_bytes(content)
    return len(inputs)


def pack(directory: Path, path: Path) -> int:
    """Add the files of a directory to an archive, and return how many are new in it."""
    inputs = read(path)
    found = {file.name: file.read_bytes() for file in directory.iterdir()}
    known = set(inputs.values())
    new = {name: content for name, content in found.items() if content not in known}
    if new:
        write(path, inputs | new)
    return len(new)


def main() -> int:
    path, *command = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        n = unpack(Path(path), Path(directory))
        ended = subprocess.run([*command, directory], stdout=subprocess.PIPE, text=True)
    print(ended.stdout, end="")
    ran = re.search(r"^(\d+) inputs$", ended.stdout, re.MULTILINE)
    if ended.returncode == 0 and (not ran or int(ran[1]) != n):
        print(f"{path} holds {n} inputs", file=sys.stderr)
        return 1
    return 1 if ended.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
