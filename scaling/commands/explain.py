"""`python -m scaling explain MODEL FILE|FOLDER`."""

import sys

from rich.table import Table

from blocks.console import console
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.explanation.run import Explanation, explain, write_explanation
from scaling.inference.config import ExplainConfig, read_words
from scaling.inference.model import read_model
from scaling.inference.sources import open_source
from scaling.inference.written import folder_for

USAGE = "expected MODEL and FILE, FOLDER or -; or study=NAME and the images"


def run(arguments: list[str]) -> None:
    """Show where a network looks, and whether that is what its answers rest on."""
    config, words = read_words(ExplainConfig, arguments)
    if len(words) != (1 if config.study is not None else 2):
        raise ScalingError(f"explain {' '.join(words) or 'of nothing'}: {USAGE}")
    model = read_model(config, words[0] if config.study is None else None)
    with open_source(words[-1], sys.stdin.buffer) as (paths, _):
        found = explain(
            model,
            paths,
            limit=config.limit,
            stages=config.stages,
            steps=config.steps,
            label=config.label,
            on_corrupt=config.on_corrupt,
        )
    for _, reason in found.unread:
        console.print(f"skipped: {reason}")
    folder = folder_for(config.output, model, "explanation")
    written = write_explanation(folder, model, found)
    console.print(_faithful(found))
    if not len(found.gates):
        console.print("no squeeze-excite, so no gates")
    console.print(f"wrote {folder}: {', '.join(written)}")


def _faithful(found: Explanation) -> Table:
    screen = Table(
        title="is the answer gone with what the map points at? "
        f"({counted(len(found.images), 'image')})",
        title_justify="left",
        caption="area under the probability while patches are taken away, over that of the whole "
        "image; less is better",
        caption_justify="left",
    )
    for heading in ("map", "area", "random order", "better than random on"):
        screen.add_column(heading, justify="left" if heading == "map" else "right")
    table = found.faithfulness()
    for name, own, chance, better in table.itertuples(index=False):
        screen.add_row(str(name), f"{own:.3f}", f"{chance:.3f}", f"{100 * better:.0f}%")
    return screen
