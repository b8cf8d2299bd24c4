"""Several networks and several looks, at what they cost together."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from blocks.arch import parse_arch
from blocks.network import Network
from scaling.compound import ScalingError
from scaling.inference.config import PredictConfig
from scaling.inference.ensemble import ensembles
from scaling.inference.evaluate import find_images
from scaling.inference.model import Model, read_model
from scaling.inference.views import VIEWS, views_of
from tests.conftest import Refuse
from tests.scaling.inference.conftest import Here


def test_views_by_hand() -> None:
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    plain, flipped = (view(image) for view in VIEWS["flip"])
    assert torch.equal(plain, image)
    assert torch.equal(flipped, image.flip(3))
    assert [len(VIEWS[name]) for name in views_of(["flip", "crops"])] == [1, 2, 6, 12]
    corner = VIEWS["crops"][2](image)
    assert corner.shape == image.shape
    assert corner[0, 0, 0, 0] == image[0, 0, 0, 0]
    assert corner.max() == image[0, 0, 6, 6]  # 7 of 8 pixels, from the top left


def test_networks_are_averaged_and_their_macs_summed(
    model: Model, copied: Callable[..., Path], digit_files: Path
) -> None:
    torch.manual_seed(5)
    path = copied()
    torch.save(Network(model.arch, 10).state_dict(), path.parent / "b0.pt")
    other = read_model(PredictConfig(), str(path))
    images = [find_images(each, str(digit_files), "test", "folder") for each in (model, other)]
    found = ensembles([model, other], images, ["flip"], draws=20)
    asked = {each.asked.name: each.asked for each in found.compared}
    assert len(asked) == 5
    one, two = (each.asked for each in found.compared if each.asked.single)
    [both] = [each for name, each in asked.items() if "+" in name]
    assert both.macs == one.macs + two.macs == 2 * model.macs
    mean = (one.probabilities + two.probabilities) / 2
    assert torch.allclose(both.probabilities, mean)
    labels = images[0].labels
    assert both.figures["accuracy"].value == pytest.approx(
        (mean.argmax(1) == labels).float().mean().item()
    )
    # No single network costs as much as both, nor as one that looks twice.
    assert all(each.rival is None for each in found.compared)


def test_an_ensemble_stands_beside_the_next_larger_network(
    model: Model, copied: Callable[..., Path], digit_files: Path
) -> None:
    wider = str(model.arch).replace("s16-", "s64-").replace("c32", "c64")
    path = copied(arch=wider)
    torch.save(Network(parse_arch(wider), 10).state_dict(), path.parent / "b0.pt")
    large = read_model(PredictConfig(), str(path))
    assert large.macs >= 2 * model.macs
    images = [find_images(each, str(digit_files), "test", "folder") for each in (model, large)]
    found = ensembles([model, large], images, ["flip"], draws=20)
    [flipped] = [e for e in found.compared if e.asked.view == "flip" and e.asked.macs < large.macs]
    assert flipped.rival is not None
    assert flipped.rival.macs == large.macs
    assert flipped.lead is not None
    gap = flipped.asked.figures["accuracy"].value - flipped.rival.figures["accuracy"].value
    assert flipped.lead.value == pytest.approx(gap)
    table = found.table()
    assert table["macs"].is_monotonic_increasing
    assert table["lead_value"].notna().sum() == 1


def test_other_classes_are_refused(
    model: Model, copied: Callable[..., Path], digit_files: Path
) -> None:
    renamed = {"classes": list("abcdefghij")}
    other = read_model(PredictConfig(), str(copied(dataset=renamed)))
    images = find_images(model, str(digit_files), "test", "folder")
    with pytest.raises(ScalingError, match="has other classes than"):
        ensembles([model, other], [images, images])


def test_a_study_is_asked_with_all_that_is_trained(
    here: Here, study: Path, tmp_path: Path, refuse: Refuse
) -> None:
    home = ["study=main", f"results_dir={study.parent}"]
    said = here("ensemble", *home, "views=[flip]", "draws=20", "output=out")
    assert "b0, flip" in said.stdout
    assert (tmp_path / "out" / "ensemble.csv").is_file()
    assert "expected MODEL … and FOLDER" in refuse("scaling", "ensemble", str(study))
    assert "views=upside" in refuse("scaling", "ensemble", *home, "views=[upside]")
