"""Images from Python."""

from typing import Any

from search.config.checks import check_images
from search.config.face import config_from
from search.data.datasets import load_data as load_configured
from search.data.splits import ImageData


def load_data(
    name: str = "fashion_mnist", resolution: int | str = 28, task: str = "classes", **settings: Any
) -> ImageData:
    """The images of a data set, in train, val and test splits.

    `settings` are those of the group `dataset`: `root`, `val_fraction`, `on_corrupt`, …
    `resolution` is what networks will see, in pixels: a side, or height and width as `"96x192"`;
    folders are decoded 1.5 times as large. With `task="multilabel"` an image may have several
    labels.

        load_data("imagefolder", root="pets", resolution=64)

    Raises:
        ConfigError: a setting is misspelt, of the wrong type, or out of its range.
        DataError: the images are missing, unreadable or too few.
    """
    config = config_from(
        task=task, dataset={"name": name, **settings}, proxy={"resolution": resolution}
    )
    check_images(config)
    return load_configured(config.dataset, config.proxy.size, config.several)
