"""What a network is judged by, `search.metric`: its name in records, its words, and its loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from search.errors import StudyError


@dataclass(frozen=True)
class Quality:
    """A metric from 0 to 1, more of it being better; in records it is `val_NAME` and `test_NAME`.

    `words` and `short` are for people. `loss` is the loss that says nearly the same with less
    noise. `balanced`: every class counts alike, however many images it has.
    """

    name: str
    words: str
    short: str
    loss: str
    balanced: bool

    @property
    def val(self) -> str:
        """Its key among a record's metrics."""
        return f"val_{self.name}"

    @property
    def test(self) -> str:
        """Likewise, of the test images."""
        return f"test_{self.name}"

    def of(self, metrics: Mapping[str, float], split: str = "val") -> float:
        """Its value among a record's metrics.

        Raises:
            StudyError: the record lacks it.
        """
        return _read(metrics, f"{split}_{self.name}", self)

    def loss_of(self, metrics: Mapping[str, float], split: str = "val") -> float:
        """The loss in nats among a record's metrics.

        Raises:
            StudyError: the record lacks it.
        """
        return _read(metrics, f"{split}_{self.loss}", self)


def _read(metrics: Mapping[str, float], name: str, quality: Quality) -> float:
    try:
        return metrics[name]
    except KeyError:
        raise StudyError(
            f"a training was recorded without {name}, which search.metric={quality.name} is judged "
            f"by; it has {', '.join(metrics)}"
        ) from None


ACCURACY: Final = Quality("accuracy", "accuracy", "acc", "loss", False)
QUALITIES: Final[Mapping[str, Quality]] = {
    each.name: each
    for each in (
        ACCURACY,
        Quality("balanced_accuracy", "balanced accuracy", "balanced acc", "balanced_loss", True),
        Quality("macro_f1", "macro F1", "macro F1", "balanced_loss", True),
    )
}
"""By the names of `search.metric`, which may also be `loss`."""
MEAN_AVERAGE_PRECISION: Final = Quality("map", "mAP", "mAP", "loss", False)
SEVERAL: Final[Mapping[str, Quality]] = {
    each.name: each
    for each in (MEAN_AVERAGE_PRECISION, Quality("macro_f1", "macro F1", "macro F1", "loss", False))
}
"""Those of images with several labels. They are means over labels already, and no label's images
are apart from another's: nothing is `balanced`."""


def quality_named(metric: str | None, several: bool) -> Quality:
    """What `search.metric` means, for images of one class or of several labels; where it names
    nothing of them, accuracy or mAP."""
    if several:
        return SEVERAL.get(metric or "", MEAN_AVERAGE_PRECISION)
    return QUALITIES.get(metric or "", ACCURACY)
