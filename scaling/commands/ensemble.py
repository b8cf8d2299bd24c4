"""`python -m scaling ensemble MODEL MODEL … FOLDER`."""

from rich.table import Table

from blocks.console import console, millions
from blocks.files import write_whole
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.inference.config import EnsembleConfig, read_words
from scaling.inference.ensemble import Ensembles, ensembles
from scaling.inference.evaluate import Labelled, find_images, images_of_study
from scaling.inference.model import Model, member_file, read_model, trained_members
from scaling.inference.written import folder_for
from search.record.folder import StudyFolder

USAGE = "expected MODEL … and FOLDER; or study=NAME, with a folder or without"


def run(arguments: list[str]) -> None:
    """Compare networks asked together, and several looks at an image, at summed macs."""
    config, words = read_words(EnsembleConfig, arguments)
    models, labelled = _named(config, words)
    found = ensembles(
        models,
        labelled,
        config.views,
        batch=config.batch,
        on_corrupt=config.on_corrupt,
        draws=config.draws,
    )
    for _, reason in found.unread:
        console.print(f"skipped: {reason}")
    path = folder_for(config.output, models[0], "ensemble") / "ensemble.csv"
    write_whole(path, found.table().to_csv(index=False).encode())
    _show(found)
    console.print(f"wrote {path}")


def _named(config: EnsembleConfig, words: list[str]) -> tuple[list[Model], list[Labelled]]:
    """The networks, and the images as each of them reads them."""
    if config.study is None:
        if len(words) < 2:
            raise ScalingError(f"ensemble {' '.join(words) or 'of nothing'}: {USAGE}")
        models = [read_model(config, word) for word in words[:-1]]
    else:
        if len(words) > 1:
            raise ScalingError(f"ensemble {' '.join(words) or 'of nothing'}: {USAGE}")
        study = StudyFolder(config.results_dir, config.study).require()
        files = [member_file(config, name) for name in _members(config, study)]
        models = [read_model(config, str(file)) for file in files]
        if not words:
            return models, [images_of_study(model, study, config.part) for model in models]
    return models, [find_images(each, words[-1], config.part, config.labels) for each in models]


def _members(config: EnsembleConfig, study: StudyFolder) -> list[str]:
    given = config.members
    if given == "all":
        return trained_members(study)
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise ScalingError(f"members={given} is no list; expected all, or for example [b0,b1]")
    return list(map(str, given))


def _show(found: Ensembles) -> None:
    screen = Table(
        title=f"{found.measure} at summed macs, {counted(len(found.labelled), 'image')} of "
        f"{found.labelled.where}",
        title_justify="left",
    )
    for heading in (
        "asked",
        "macs",
        f"{found.measure} (95%)",
        "loss",
        "beside",
        "points ahead (95%)",
    ):
        screen.add_column(heading, justify="left" if heading in ("asked", "beside") else "right")
    for each in found.compared:
        asked, lead = each.asked, each.lead
        reached = asked.figures[found.measure]
        rival = "" if each.rival is None else f"{each.rival.name} ({millions(each.rival.macs)})"
        if each.rival is None and not asked.single:
            rival = "no single network is that large"
        ahead = (
            ""
            if lead is None
            else (f"{100 * lead.value:+.2f} ({100 * lead.low:+.2f} to {100 * lead.high:+.2f})")
        )
        screen.add_row(
            asked.name,
            millions(asked.macs),
            f"{100 * reached.value:.2f} ({100 * reached.low:.2f} to {100 * reached.high:.2f})",
            f"{asked.figures['loss'].value:.4f}",
            rival,
            ahead,
        )
    console.print(screen)
