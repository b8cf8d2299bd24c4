"""Who is worth a longer training: candidates by what is expected of them, not by one number.

The proxy's number of a candidate is noisy: few images, one seed. The best of many is the best by
luck as much as by merit (the winner's curse). Candidates of like shape tell of one another, so each
number is drawn towards what the shapes of all candidates lead to expect.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import BayesianRidge

from blocks.arch import parse_arch
from blocks.cost import ArchColumns
from search.record.trials import TrialRecord
from search.space.shape import describe_networks
from search.study.objective import Objective

OWN: Final = 0.5
"""Of what a candidate's shape does not explain, the share that is taken to be its own, the rest to
be luck."""
LEAST: Final = 12
"""Candidates below which nothing is learned from their shapes."""


def expected(
    records: Sequence[TrialRecord], objective: Objective, num_classes: int
) -> NDArray[np.float64]:
    """(records,): what is expected of each, in the units of `Objective.signal`."""
    signal = np.array([objective.signal(record) for record in records])
    if len(records) < LEAST or not signal.std() > 0:
        return signal
    columns = ArchColumns.from_archs([parse_arch(record.arch) for record in records])
    features = describe_networks(columns, num_classes)
    scale = features.std(0)
    used = scale > 1e-9
    inputs = (features[:, used] - features[:, used].mean(0)) / scale[used]
    standard = (signal - signal.mean()) / signal.std()
    fitted = BayesianRidge().fit(inputs, standard).predict(inputs) if used.any() else 0 * standard
    shrunk = fitted + OWN * (standard - fitted)
    return np.asarray(signal.mean() + signal.std() * shrunk)


def choose_finalists(
    records: Sequence[TrialRecord], objective: Objective, num_classes: int, number: int
) -> list[TrialRecord]:
    """The `number` candidates of which most is expected, the best first; a single one is the best
    by the objective."""
    if number == 1:
        return [objective.best(records)]
    values = expected(records, objective, num_classes)
    order = sorted(range(len(records)), key=lambda row: (-values[row], records[row].cost.macs, row))
    return [records[row] for row in order[:number]]
