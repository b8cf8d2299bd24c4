"""Filled tables: a model of a partial table answers for networks that nobody trained.

The model reads the choices alone, and is of another family than the one inside our `surrogate`
sampler, which also reads costs: so that a filled table is not easier for it than for others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from scipy.stats import kendalltau
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from blocks.arch import ArchSpec, format_arch
from blocks.cost import count_many
from blocks.errors import ArchError
from blocks.threads import on_one_thread
from search.benchmark.table import COSTS, Table
from search.errors import ConfigError
from search.samplers.box import Box
from search.samplers.candidates import Codes

FOLDS: Final = 5
LEAST_RECORDS: Final = 20
"""Below it a fold holds too few networks to judge a model by."""
BATCH: Final = 5000
MAX_BARREN_BATCHES: Final = 20
"""Batches of random networks in a row without a new feasible one, after which none is expected."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MetricFit:
    """How well a metric of networks that the model has not seen is predicted.

    `r2`, `kendall_tau` and `rmse` (in the metric's unit) are of predictions for the fold that a
    model was not fitted to. `rmse` is also the noise that the records have and predictions lack.
    `rmse_seen` is that of the final model on its own records: how far it follows their noise.
    """

    metric: str
    model: str
    records: int
    folds: int
    r2: float
    kendall_tau: float
    rmse: float
    rmse_seen: float


@on_one_thread
def fill_table(
    table: Table,
    names: Sequence[str],
    number: int,
    feasible: Callable[[pd.DataFrame], NDArray[np.bool_]],
    num_classes: int,
    seed: int,
) -> tuple[pd.DataFrame, list[MetricFit]]:
    """Predicted metrics of the table's networks and of `number` further ones, and their fits.

    The further ones are distinct, drawn evenly from the choices that the table spans, and
    `feasible`, which is asked with a frame of counted costs and predicted `names`. The trained
    ones are predicted too, or they would stand out by their noise; the column `trained` is 1 for
    them and 0 for others. The index holds spellings, the trained networks come first.

    Raises:
        ConfigError: too few records to fit, or fewer feasible networks than `number`.
    """
    models, fits = {}, []
    for name in names:
        if name not in COSTS:
            models[name], fit = fit_metric(name, table.codes, table.column(name), seed)
            fits.append(fit)

    def predict(archs: Sequence[ArchSpec], trained: float) -> pd.DataFrame:
        codes, costs = table.encode(archs), count_many(archs, num_classes)
        predicted = {name: model.predict(codes) for name, model in models.items()}
        counted = {name: getattr(costs, name) for name in COSTS}
        return pd.DataFrame(
            {**predicted, **counted, "trained": trained}, index=[format_arch(a) for a in archs]
        )

    frames = [predict(table.archs, 1.0)]
    missing, barren = number, 0
    for batch in _new_archs(table, seed):
        frame = predict(batch, 0.0) if batch else frames[0].iloc[:0]
        frame = frame[feasible(frame)].iloc[:missing]
        barren = 0 if len(frame) else barren + 1
        frames.append(frame)
        missing -= len(frame)
        if barren == MAX_BARREN_BATCHES:
            raise ConfigError(
                f"table.fill={number} is more than the choices of the table give: "
                f"{number - missing} further feasible networks were found"
            )
        if not missing:
            break
    return pd.concat(frames), fits


def fit_metric(name: str, codes: Codes, values: Values, seed: int) -> tuple[Any, MetricFit]:
    """The model of one metric, the best of three by cross-validation, and its fit.

    Raises:
        ConfigError: too few networks have the metric.
    """
    known = np.isfinite(values)
    codes, values = codes[known], values[known]
    if len(values) < LEAST_RECORDS:
        raise ConfigError(
            f"table.fill needs {LEAST_RECORDS} networks with {name} or more; the table has "
            f"{len(values)}"
        )
    folds = KFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    models = _models(seed % 2**32)
    held_out = {
        label: cross_val_predict(model, codes, values, cv=folds) for label, model in models.items()
    }
    held_out["mean of both"] = np.mean(list(held_out.values()), axis=0)
    label = min(held_out, key=lambda label: _rmse(held_out[label], values))
    model = models.get(label, VotingRegressor(list(models.items()))).fit(codes, values)
    predicted = held_out[label]
    return model, MetricFit(
        metric=name,
        model=label,
        records=len(values),
        folds=FOLDS,
        r2=float(r2_score(values, predicted)),
        kendall_tau=float(kendalltau(values, predicted).statistic),
        rmse=_rmse(predicted, values),
        rmse_seen=_rmse(model.predict(codes), values),
    )


def _models(seed: int) -> dict[str, Any]:
    network = make_pipeline(
        # A choice that a fold lacks has no column of its own.
        OneHotEncoder(sparse_output=False, handle_unknown="ignore"),
        MLPRegressor(
            hidden_layer_sizes=(128, 128),
            alpha=1.0,
            early_stopping=True,
            max_iter=1000,
            random_state=seed,
        ),
    )
    return {
        "boosted trees": HistGradientBoostingRegressor(
            max_iter=1000,
            learning_rate=0.05,
            max_leaf_nodes=8,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=seed,
        ),
        "perceptron": TransformedTargetRegressor(network, transformer=StandardScaler()),
    }


def _rmse(predicted: Values, values: Values) -> float:
    return float(np.sqrt(np.mean((predicted - values) ** 2)))


def _new_archs(table: Table, seed: int) -> Iterator[list[ArchSpec]]:
    """Batches of random networks that neither the table nor an earlier batch has; endless."""
    generator = np.random.default_rng(seed)
    seen = set(table.archs)
    box = Box({name: CategoricalDistribution(values) for name, values in table.choices.items()})
    while True:
        batch = []
        for code in box.sample(BATCH, generator):
            try:
                arch = table.decode(code)
            except ArchError:
                continue
            if arch not in seen:
                seen.add(arch)
                batch.append(arch)
        yield batch
