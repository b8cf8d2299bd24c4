"""Put what `build.py` trained into the file that is shipped.

    python results/banks/export.py fashion

The lines of the work file and of the shipped one, each training once, sorted: the same trainings
make the same file.
"""

import argparse
import gzip
import json
from pathlib import Path

from banks import BANKS, shipped, worked
from table import key, read_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bank", choices=sorted(BANKS))
    parser.add_argument("--input", type=Path, help="another work file")
    given = parser.parse_args()
    path = shipped(given.bank)
    lines = {
        key(line): line
        for source in (path, given.input or worked(given.bank))
        for line in read_lines(source)
    }
    text = "".join(json.dumps(lines[each], separators=(",", ":")) + "\n" for each in sorted(lines))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    archs = len({arch for arch, _, _ in lines})
    print(f"{path}: {len(lines)} trainings of {archs} networks, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
