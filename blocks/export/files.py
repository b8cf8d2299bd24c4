"""A network written to a file, and the file proved: it gives PyTorch's logits, or is not left.

`export` runs what it wrote on images and compares the logits with those of PyTorch before the
file gets its name.
"""

import copy
from pathlib import Path
from typing import Final

from torch import Tensor

from blocks.errors import ExportError
from blocks.export.formats import find_format
from blocks.export.prepare import NOTHING_KNOWN, Meaning, run_network
from blocks.files import whole_file
from blocks.network import Network

RELATIVE_TOLERANCE: Final = 1e-4
"""The largest allowed difference of two logits, relative to the largest logit.

The same sums in another order (fused normalisation, other convolution kernels) differ by a few
float32 roundings a layer, in all 1e-6 to 2e-5 of the largest logit for the networks of the zoo.
A mistake is far above 1e-4: padding off by one pixel moves logits by percents. Relative, since an
untrained network's logits may be of order 0.01 and a trained one's of order 10.
"""


def export(
    network: Network,
    path: Path,
    format_name: str,
    images: Tensor,
    meaning: Meaning = NOTHING_KNOWN,
) -> float:
    """Write `network` to `path` and prove the file on `images` (N, C, H, W), normalised.

    Returns the largest absolute difference between the file's logits and PyTorch's.

    Raises:
        ExportError: an unknown format, a file that cannot be written, weights of which PyTorch
            itself has no certain logits, or a file whose logits differ by more than
            `RELATIVE_TOLERANCE`; then no file is left.
    """
    file_format = find_format(format_name)
    reference = _reference_logits(network, images, path)
    with whole_file(path) as temporary:
        file_format.write(network, temporary, meaning)
        return check_logits(file_format.run(temporary, images), reference, path)


def check_logits(logits: Tensor, reference: Tensor, path: Path) -> float:
    """The largest absolute difference of the two; `path` names the file in messages.

    Raises:
        ExportError: it is over `RELATIVE_TOLERANCE`, or a logit is not a number.
    """
    difference = (logits - reference).abs().max().item()
    largest = reference.abs().max().item()
    # Written so that NaN, which is not smaller than anything, is refused.
    if not difference <= RELATIVE_TOLERANCE * largest:
        raise ExportError(
            f"{path}: logits differ from PyTorch's by {difference:.2e} where the largest is "
            f"{largest:.3g}; expected at most {RELATIVE_TOLERANCE * largest:.2e}"
        )
    return difference


def _reference_logits(network: Network, images: Tensor, path: Path) -> Tensor:
    """PyTorch's logits in float32, where float64 confirms them.

    The random weights of a deep network, without statistics to normalise by, may amplify a
    rounding to the size of the logits: then a faithful file differs as much as a wrong one.
    """
    network = copy.deepcopy(network).cpu().eval()
    reference = run_network(network, images)
    if not reference.isfinite().all():
        raise ExportError(
            f"{path}: the network's own logits are not finite on the images, so that an export "
            "cannot be checked; expected trained weights, and the mean and std they are for"
        )
    rounding = (run_network(network.double(), images.double()) - reference).abs().max().item()
    largest = reference.abs().max().item()
    if rounding > RELATIVE_TOLERANCE * largest:
        raise ExportError(
            f"{path}: PyTorch's own logits in float32 and float64 differ by {rounding:.2e} where "
            f"the largest is {largest:.3g}, so that an export cannot be checked; expected trained "
            "weights, and the mean and std they are for"
        )
    return reference
