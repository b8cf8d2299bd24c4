"""A probe on the features of a network."""

import numpy as np
import torch
from numpy.typing import NDArray

from blocks.network import Network
from blocks.subject import read_subject
from search.look.features import probe_network
from tests.search.look.conftest import Pixels, data_of

ARCH = "r16-i1-s8-[ds_r1_k3_s2_e1_c8]-h32"


def test_random_features_tell_boots_from_bags(
    fashion: tuple[Pixels, NDArray[np.int64]],
) -> None:
    images, labels = fashion
    some = (labels == 8) | (labels == 9)
    images, labels = images[some], (labels[some] == 9).astype(np.int64)
    subject = read_subject(ARCH, 5)
    torch.manual_seed(0)
    network = Network(subject.arch, 5)
    parts = [images[:60], images[60:80], images[80:]]
    data = data_of(*parts, [labels[:60], labels[60:80], labels[80:]])
    probe = probe_network(data, subject, network.eval())
    assert probe.on == "features of network"
    assert probe.test_accuracy > 0.65
