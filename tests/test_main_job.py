"""The README's main job, whole: minutes, so marked slow."""

from pathlib import Path

import pytest
import yaml

from search.config.schema import REFERENCES
from search.record.trials import TrialRecord, read_records
from tests.conftest import Cli


@pytest.mark.slow
def test_the_main_job_ends_with_a_family(cli: Cli, tmp_path: Path) -> None:
    """The default search, unchanged: 40 real trials, a B0 above 87%, a fit, eight members."""
    cli("search", "run", timeout=3600)
    study = tmp_path / "results" / "main"
    trained = [r for r in read_records(study / "trials.jsonl") if isinstance(r, TrialRecord)]
    assert len({record.arch for record in trained}) == 40
    assert all(record.cost.macs <= 2_000_000 for record in trained)
    baseline = yaml.safe_load((study / "b0.yaml").read_text())
    assert baseline["final"]["epochs"] == 10
    assert baseline["final"]["val_accuracy"] > 0.87
    coefficients = yaml.safe_load((study / "coefficients.yaml").read_text())
    assert coefficients["points"] >= 24
    for number in range(8):
        assert (study / "family" / f"b{number}.yaml").exists()
    references = read_records(study / "reference.jsonl")
    made = yaml.safe_load((study / "references.yaml").read_text())
    assert list(made) == list(REFERENCES)
    assert {each["arch"] for each in made.values()} == {record.arch for record in references}
    for record in references:
        assert isinstance(record, TrialRecord)
        assert 1_920_000 < record.cost.macs <= 2_000_000
        assert record.metrics["val_accuracy"] > 0.7  # far above what a map of one pixel reaches
