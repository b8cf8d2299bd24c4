"""`python -m scaling promise`: what a trained family has reached, beside what was expected."""

from rich.table import Table

from blocks.console import console, millions
from blocks.names import counted
from scaling.judging import Figure
from scaling.promise.rows import Row
from scaling.promise.run import Written, keep_promise
from scaling.settings import read_settings
from search.record.folder import StudyFolder


def run(arguments: list[str]) -> None:
    """Compare a study's trained members."""
    config = read_settings(arguments)
    show_promise(keep_promise(StudyFolder(config.results_dir, config.study or "main")))


def show_promise(found: Written) -> None:
    """The table, and what is to be minded."""
    promise = found.promise
    measure = "mAP" if promise.measure == "map" else "accuracy"
    screen = Table(
        title=f"the family of {promise.study}: test {measure} in %, "
        f"{counted(promise.images, 'image')}",
        title_justify="left",
    )
    headings = ("", "macs", "params", "ms", measure, "gain", "expected", "")
    for heading in headings:
        left = heading == ""
        screen.add_column(heading, justify="left" if left else "right", no_wrap=not left)
    for row in promise.rows:
        screen.add_row(
            row.name,
            millions(row.macs),
            f"{row.params:,}",
            f"{row.latency_ms:.2f}",
            _points(row.reached, ""),
            _points(row.gain, "+"),
            _points(row.expected, "+"),
            _words(row),
            style="dim" if row.is_rival else None,
        )
    console.print(screen)
    console.print(
        "gain: over b0, of a rival over its member, on the same images in pairs, one training "
        "each; expected: by the surface of scaling fit, on top of what b0 reaches now; ms: median "
        "of one image on one thread here"
    )
    for note in promise.notes:
        console.print(f"note: {note}")
    members = [row for row in promise.rows if not row.is_rival]
    if any(row.expected is not None for row in members):
        console.print(
            f"python -m scaling fit study={promise.study} fit.trained=true takes these members "
            "into the surface"
        )
    console.print(f"wrote {found.path}, .png")


def _words(row: Row) -> str:
    if row.taken_in:
        return f"{row.verdict}; the fit knows it"
    if row.extrapolated:
        return f"{row.verdict}; costs more than any network of the fit"
    return row.verdict


def _points(figure: Figure | None, sign: str) -> str:
    if figure is None:
        return ""
    value, low, high = (100 * each for each in (figure.value, figure.low, figure.high))
    return f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"
