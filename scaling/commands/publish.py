"""`python -m scaling publish MODEL`."""

from pathlib import Path

from rich.table import Table

from blocks.console import console
from blocks.files import write_whole
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.inference.config import PublishConfig, read_words
from scaling.inference.evaluate import Evaluation, evaluate, find_images, images_of_study
from scaling.inference.model import Model, read_model, study_of
from scaling.publishing.card import card
from scaling.publishing.folder import CARD, Published, publish

NONE = "none"


def run(arguments: list[str]) -> None:
    """Write a folder that others can use, with a model card."""
    config, words = read_words(PublishConfig, arguments)
    if len(words) != (0 if config.study is not None else 1):
        raise ScalingError(
            f"publish {' '.join(words) or 'of nothing'}: expected MODEL, or study=NAME"
        )
    model = read_model(config, words[0] if config.study is None else None)
    name = config.name or model.name
    if Path(name).name != name:
        raise ScalingError(f"name={name} is not the name of a folder; output=FOLDER says where")
    folder = Path(config.output or Path("results") / "published" / name).expanduser()
    evaluation = _evaluation(config, model)
    published = publish(model, name, folder, config.license, evaluation)
    write_whole(folder / CARD, card(published).encode())
    _show(published)


def _evaluation(config: PublishConfig, model: Model) -> Evaluation | None:
    """On the images that are named, or the test images of the study that the network is of."""
    study = study_of(config, model)
    if config.images == NONE or (config.images is None and study is None):
        return None
    if config.images is not None:
        labelled = find_images(model, config.images, "test", "folder")
    else:
        assert study is not None
        labelled = images_of_study(model, study, "test")
    return evaluate(
        model, labelled, batch=config.batch, on_corrupt=config.on_corrupt, draws=config.draws
    )


def _show(published: Published) -> None:
    screen = Table(title=str(published.folder), title_justify="left")
    for heading in ("file", "bytes", "max abs difference of logits"):
        screen.add_column(heading, justify="left" if heading == "file" else "right")
    for path in sorted(published.folder.iterdir()):
        difference = published.differences.get(path.name)
        said = "" if difference is None else f"{difference:.1e}"
        screen.add_row(path.name, f"{path.stat().st_size:,}", said)
    if "timm" in published.differences:
        screen.add_row("timm's model", "", f"{published.differences['timm']:.1e}")
    console.print(screen)
    if published.evaluation is None:
        console.print("not judged: images=FOLDER, or study=NAME, names labelled images")
    else:
        first = "map" if "map" in published.figures else "accuracy"
        console.print(
            f"{first} {published.figures[first]} on "
            f"{counted(len(published.evaluation.labelled), 'image')} "
            f"({published.evaluation.labelled.where})"
        )
    if published.timm is not None:
        console.print(f"timm does not build it: {published.timm}")
    if published.license == "unknown":
        console.print("the licence is unknown: license=NAME says it (MIT, CC-BY-4.0, …)")
