"""Evaluation by look-up: a table of trained networks in the place of training."""

import math
from collections.abc import Hashable
from concurrent.futures import Future
from types import TracebackType

from blocks.cost import Cost
from search.benchmark.table import COSTS, Table
from search.errors import TrainingError
from search.evaluators.train import Evaluation, Job


class TableEvaluator:
    """Answers jobs from a table's metrics; a context manager, as `TrainEvaluator` is.

    `accuracy` names the column that is given as `val_accuracy`. A job's epochs and seed are not
    looked at: a table has one record of each network, however it was trained.

    Raises:
        ConfigError: the table has no such column.
    """

    def __init__(self, table: Table, accuracy: str = "val_accuracy") -> None:
        self._accuracy = table.column(accuracy)
        self._table = table
        self._rows: dict[Hashable, int] = {
            name: row for row, name in enumerate(table.metrics.index)
        }

    def __enter__(self) -> "TableEvaluator":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to stop."""

    def evaluate(self, job: Job) -> "Future[Evaluation]":
        """A finished future: of the job's record, or of a `TrainingError` where there is none."""
        future: Future[Evaluation] = Future()
        try:
            future.set_result(self._look_up(job))
        except TrainingError as error:
            future.set_exception(error)
        return future

    def _look_up(self, job: Job) -> Evaluation:
        row = self._rows.get(job.arch)
        if row is None:
            raise TrainingError(
                "error", f"{job.arch} is none of the table's {len(self._rows)} networks"
            )
        record = self._table.metrics.iloc[row]
        metrics = {
            str(name): float(value)
            for name, value in record.items()
            if name not in COSTS and math.isfinite(value)
        }
        metrics["val_accuracy"] = float(self._accuracy[row])
        if not math.isfinite(metrics["val_accuracy"]):
            raise TrainingError("error", f"the table has no accuracy of {job.arch}")
        if job.test and "test_accuracy" not in metrics:
            raise TrainingError("error", f"the table has no test_accuracy of {job.arch}")
        if job.save is not None:
            raise TrainingError("error", f"a table has no weights to save of {job.arch}")
        cost = Cost(**{name: int(record[name]) for name in COSTS})
        return Evaluation(cost, metrics, {"train": 0.0})
