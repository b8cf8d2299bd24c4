"""`python -m scaling evaluate MODEL FOLDER`."""

from rich.table import Table

from blocks.console import console
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.inference.config import EvaluateConfig, read_words
from scaling.inference.evaluate import (
    Evaluation,
    evaluate,
    images_for,
)
from scaling.inference.model import read_model
from scaling.inference.written import folder_for, write_evaluation
from scaling.judging import confused_pairs

USAGE = "expected MODEL and images; or study=NAME, with images or without"
MOST_CLASSES = 30
"""Of which the table of classes is printed; the file has all."""


def run(arguments: list[str]) -> None:
    """Show how good a network is on labelled images."""
    config, words = read_words(EvaluateConfig, arguments)
    named = config.study is None
    if len(words) not in ((1, 2) if named else (0, 1)):
        raise ScalingError(f"evaluate {' '.join(words) or 'of nothing'}: {USAGE}")
    model = read_model(config, words[0] if named else None)
    images = words[-1] if words[1:] or (words and not named) else None
    labelled = images_for(model, config, images, words[0] if named else config.study)
    found = evaluate(
        model,
        labelled,
        batch=config.batch,
        on_corrupt=config.on_corrupt,
        threshold=config.threshold,
        draws=config.draws,
    )
    for _, reason in found.unread:
        console.print(f"skipped: {reason}")
    folder = folder_for(config.output, model, "evaluation")
    written = write_evaluation(folder, model, found)
    _show(model.name, found)
    console.print(f"wrote {folder}: {', '.join(written)}")


def _show(name: str, found: Evaluation) -> None:
    judged = found.judged
    screen = Table(
        title=f"{name} on {counted(len(found.labelled), 'image')} of {found.labelled.where}",
        title_justify="left",
    )
    for heading in ("", "value", "95% interval"):
        screen.add_column(heading, justify="left" if not heading else "right")
    for measure, figure in judged.figures.items():
        screen.add_row(measure, f"{figure.value:.4f}", f"{figure.low:.4f} to {figure.high:.4f}")
    console.print(screen)
    if len(judged.classes) <= MOST_CLASSES:
        console.print(_classes(found))
    if judged.confusion is not None:
        pairs = confused_pairs(judged.confusion, tuple(judged.classes["class"])).head(3)
        said = [
            f"{row['class']} and {row['other']} ({row['times']})" for _, row in pairs.iterrows()
        ]
        if said:
            console.print(f"confused most: {', '.join(said)}")


def _classes(found: Evaluation) -> Table:
    screen = Table(title="by class", title_justify="left")
    for heading in ("class", "images", "recall", "precision", "f1", "most taken for"):
        screen.add_column(heading, justify="left" if heading.startswith(("c", "m")) else "right")
    for _, row in found.judged.classes.iterrows():
        taken = f"{row['most_taken_for']} ({row['times']})" if row.get("times") else ""
        numbers = (f"{row[name]:.3f}" for name in ("recall", "precision", "f1"))
        screen.add_row(str(row["class"]), f"{row['images']:,}", *numbers, taken)
    return screen
