"""The probe of a study is fitted once."""

from pathlib import Path

import pytest

from search.data.datasets import load_data
from search.record.folder import StudyFolder
from search.study.probe import PROBE, obtain_probe
from tests.search.config.test_checks import config_of


@pytest.mark.parametrize("damage", ['{"on": "raw', '{"other": 1}', "[]"])
def test_a_probe_is_kept_and_a_damaged_one_fitted_again(
    digits_settings: list[str], tmp_path: Path, damage: str
) -> None:
    config = config_of(*digits_settings, f"results_dir={tmp_path}")
    data = load_data(config.dataset, config.proxy.resolution)
    folder = StudyFolder(config.results_dir, config.study)
    probe = obtain_probe(config, data, folder)
    assert probe is not None
    assert probe.test_accuracy > 0.8
    written = (folder / PROBE).read_text()
    (folder / PROBE).write_text(written.replace('"images": ', '"images": 1'))
    kept = obtain_probe(config, data, folder)
    assert kept is not None
    assert kept.images > 10000
    (folder / PROBE).write_text(damage)
    assert obtain_probe(config, data, folder) == probe
    assert (folder / PROBE).read_text() == written


def test_none_is_fitted_where_none_is_asked_for(digits_settings: list[str], tmp_path: Path) -> None:
    config = config_of(*digits_settings, f"results_dir={tmp_path}", "search.probe=false")
    data = load_data(config.dataset, config.proxy.resolution)
    assert obtain_probe(config, data, StudyFolder(config.results_dir, config.study)) is None
    assert not list(tmp_path.iterdir())
