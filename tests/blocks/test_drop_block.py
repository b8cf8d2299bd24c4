"""DropBlock: how much it drops, in which shape, and when."""

import pytest
import torch

from blocks.drop_block import SHAPES, DropBlock, DropBlockSpec, disc_mask
from blocks.errors import CompoundNasError
from search.config.checks import CHOICES


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "side"), [(3, 16), (7, 14), (7, 5), (3, 1)])
def test_the_sum_is_kept_and_about_p_is_dropped(shape: str, size: int, side: int) -> None:
    torch.manual_seed(0)
    module = DropBlock(DropBlockSpec(0.1, size, shape)).train()
    out = module(torch.ones(64, 32, side, side))
    assert out.mean().item() == pytest.approx(1.0, abs=1e-4)
    dropped = (out == 0).float().mean().item()
    # Blocks overlap, so a little less than asked (the paper, §3.1).
    assert 0.07 < dropped < 0.11


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_dropped_has_the_shape(shape: str) -> None:
    torch.manual_seed(0)
    module = DropBlock(DropBlockSpec(0.003, 5, shape)).train()
    out = module(torch.ones(2000, 1, 20, 20))
    mask = disc_mask(5) if shape == "circle" else torch.ones(5, 5)
    areas = (out == 0).sum((1, 2, 3))
    single = areas == mask.sum()  # one block, whole
    assert single.sum() > 20
    for picture in (out[single, 0] == 0).float():
        rows, columns = picture.nonzero(as_tuple=True)
        top, left = rows.min(), columns.min()
        assert torch.equal(picture[top : top + 5, left : left + 5], mask)


def test_a_disc() -> None:
    assert disc_mask(1).tolist() == [[1]]
    assert disc_mask(3).tolist() == [[1, 1, 1]] * 3  # a pixel's centre at √2 < 1.5
    assert disc_mask(5).sum() == 21  # the corners are out


def test_the_schedule_rises_from_nothing() -> None:
    x = torch.ones(8, 8, 14, 14)
    module = DropBlock(DropBlockSpec(0.2, 5))
    torch.manual_seed(0)
    shares = []
    for progress in (0.0, 0.5, 1.0):
        module.progress = progress
        shares.append((module(x) == 0).float().mean().item())
    assert shares[0] == 0
    assert 0 < shares[1] < shares[2]
    assert module.eval()(x) is x


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0,), r"probability 1.0 is not in \[0, 1\)"),
        ((0.1, 4), "size 4 is not an odd number"),
        ((0.1, 3, "star"), "unknown DropBlock shape 'star'; expected one of square, circle"),
    ],
)
def test_what_is_refused(arguments: tuple[float, int, str], message: str) -> None:
    with pytest.raises(CompoundNasError, match=message):
        DropBlockSpec(*arguments)


def test_the_configuration_knows_the_same_shapes() -> None:
    assert CHOICES["proxy.drop_block_shape"] == SHAPES
