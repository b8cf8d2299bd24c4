"""Make the images of the bank `emoji`: four vendors' drawings of each emoji, 64 pixels a side.

    npm pack emoji-datasource-{apple,facebook,google,twitter}@16.0.0
    python results/banks/emoji.py emoji emoji-datasource-*.tgz

The class is the emoji's group in Unicode. All drawings of one emoji lie in the same split, so that
a network has to know what it never saw. Skin tones are left out.
"""

import argparse
import io
import json
import tarfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

SHARES = {"train": 0.5, "val": 0.15, "test": 0.35}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("archives", type=Path, nargs="+")
    given = parser.parse_args()
    written = 0
    for path in given.archives:
        with tarfile.open(path) as archive:
            vendor = path.name.split("-")[2]
            table = json.load(_open(archive, "package/emoji.json"))
            places = split(table)
            for emoji in table:
                group = emoji["category"].split(" ")[0].lower()
                name = f"package/img/{vendor}/64/{emoji['image']}"
                if group == "component" or not emoji[f"has_img_{vendor}"]:
                    continue
                with Image.open(_open(archive, name)) as image:
                    drawing = image.convert("RGBA")
                white = Image.new("RGBA", drawing.size, "white")
                target = given.folder / places[emoji["unified"]] / group
                target.mkdir(parents=True, exist_ok=True)
                whole = Image.alpha_composite(white, drawing).convert("RGB")
                whole.save(target / f"{vendor}-{emoji['image']}")
                written += 1
    print(f"{written} images in {given.folder}")


def split(table: list[dict[str, str]]) -> dict[str, str]:
    """Emoji → split, in the same shares of every group."""
    groups = defaultdict(list)
    for emoji in sorted(table, key=lambda emoji: emoji["unified"]):
        groups[emoji["category"]].append(emoji["unified"])
    generator = np.random.default_rng(0)
    places = {}
    for group in sorted(groups):
        names = [str(name) for name in generator.permutation(groups[group])]
        for place, name in enumerate(names):
            at = (place + 0.5) / len(names)
            first, second = SHARES["train"], SHARES["train"] + SHARES["val"]
            places[name] = "train" if at < first else "val" if at < second else "test"
    return places


def _open(archive: tarfile.TarFile, name: str) -> io.BufferedReader:
    file = archive.extractfile(name)
    if file is None:
        raise SystemExit(f"error: {archive.name!r} holds no {name}")
    return file  # type: ignore[return-value]


if __name__ == "__main__":
    main()
