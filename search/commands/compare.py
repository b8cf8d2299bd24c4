"""`python -m search compare`: several studies side by side, as a page and as figures."""

from pathlib import Path

from blocks.console import console
from search.commands.plot import OPTIONS
from search.commands.which import refuse_others, with_options
from search.config.arguments import as_typed, plain_text, separate
from search.config.schema import RunConfig
from search.errors import ConfigError
from search.record.folder import StudyFolder


def run(arguments: list[str]) -> None:
    """Write compare.html and figures/ from what is on disk."""
    options, others = with_options(arguments, OPTIONS, several=["format"])
    sweeps = [each.partition("=")[2] for each in others if each.startswith("sweep=")]
    others = [each for each in others if not each.startswith("sweep=")]
    given = {each.partition("=")[0]: each.partition("=")[2] for each in others}
    refuse_others("compare", [each for each in others if not each.startswith("study=")],
                  ("study", "results_dir"))  # fmt: skip
    as_typed(others, RunConfig)
    results_dir = plain_text(given.get("results_dir", RunConfig.results_dir))
    from search.report.compare import compare_studies, home_of, studies_of_sweep
    from search.report.page import HOW, missing
    from search.report.paper import Paper

    if sweeps and "study" not in given:
        sweep = plain_text(sweeps[-1])
        studies = studies_of_sweep(results_dir, sweep)
        home = Path(results_dir).expanduser() / "sweeps" / sweep
    elif "study" in given and not sweeps:
        studies = _names(given["study"])
        home = home_of(results_dir, studies)
    else:
        raise ConfigError("`compare` takes study=[one,other], or sweep=NAME")
    folders = [StudyFolder(results_dir, study).require() for study in studies]
    paper = Paper(int(options.get("columns", ["1"])[0]), options.get("dark") == ["true"])
    for path in compare_studies(folders, home, paper, options.get("format", ["png"])):
        console.print(f"wrote {path}", whole=True)
    if lacking := missing():
        console.print(f"no compare.html: {' and '.join(lacking)} not installed ({HOW})", whole=True)


def _names(value: str) -> list[str]:
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    names = [plain_text(each) for each in separate(inner)]
    if not all(names):
        raise ConfigError(f"study={value} has no value between two of its commas")
    return list(dict.fromkeys(names))
