"""The README's main job with fewer networks, each trained as it trains them: minutes, so marked
slow."""

from pathlib import Path
from typing import Final

import pytest
import yaml

from search.config.schema import REFERENCES
from search.record.trials import TrialRecord, read_records
from tests.conftest import Cli

PUBLISHED: Final = REFERENCES[:1]


@pytest.mark.slow
def test_the_main_job_ends_with_a_family(cli: Cli, tmp_path: Path) -> None:
    """README's search, whose trainings are unchanged: real trials, a final round, a B0 above 86%;
    then a family without the fit, whose defaults its own tests run."""
    fewer = ["search.trials=3", "search.finalists=2", "search.controls=1"]
    fewer += [f"search.references=[{','.join(PUBLISHED)}]", "search.scale=false"]
    cli("search", "run", *fewer, timeout=3600)
    cli("scaling", "emit", "study=main", "rule=published")
    study = tmp_path / "results" / "main"
    trained = [r for r in read_records(study / "trials.jsonl") if isinstance(r, TrialRecord)]
    assert len({record.arch for record in trained}) == 3
    assert all(abs(record.cost.macs / 1_000_000 - 1) <= 0.02 for record in trained)
    baseline = yaml.safe_load((study / "b0.yaml").read_text())
    assert baseline["final"]["epochs"] == 16
    # Two candidates and a published network, which may be one of the candidates.
    assert len({each["arch"] for each in baseline["finalists"]}) in (2, 3)
    assert sum(each["p_best"] for each in baseline["finalists"]) == pytest.approx(1, abs=1e-3)
    assert baseline["finalists"][0]["arch"] == baseline["arch"]
    assert baseline["final"]["val_accuracy"] > 0.86
    for number in range(8):
        assert (study / "family" / f"b{number}.yaml").exists()
    references = read_records(study / "reference.jsonl")
    made = yaml.safe_load((study / "references.yaml").read_text())
    assert tuple(made) == PUBLISHED
    assert {each["arch"] for each in made.values()} == {record.arch for record in references}
    for record in references:
        assert isinstance(record, TrialRecord)
        assert abs(record.cost.macs / 1_000_000 - 1) <= 0.02
        assert record.metrics["val_accuracy"] > 0.7  # far above what a map of one pixel reaches
