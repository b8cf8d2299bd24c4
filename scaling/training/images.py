"""The images that a training is about: those of a study, or a data set's own."""

from dataclasses import dataclass
from typing import Final

from blocks.arch import Size
from blocks.messages import say
from scaling.compound import ScalingError
from scaling.training.settings import Asked
from search.config.quality import Quality
from search.config.schema import RunConfig
from search.data.datasets import decoded_size, load_data
from search.data.resized import mapped
from search.data.splits import ImageData
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.study.images import check_data

MAIN: Final = "main"


@dataclass(frozen=True)
class Source:
    """Where images come from: `settings` are those of a study, or what was asked for; `study`
    whether the folder is that of a search. `flip`: whether mirrored images are of the same class.
    """

    folder: StudyFolder
    settings: RunConfig
    study: bool

    @property
    def quality(self) -> Quality:
        """What networks are judged by."""
        return self.settings.quality

    @property
    def flip(self) -> bool:
        """Whether a mirrored image may be of the same class."""
        return self.settings.proxy.flip

    @property
    def by_loss(self) -> bool:
        """Whether what `quality` is of is steered by loss alone."""
        return self.settings.search.metric == "loss"


def find_source(asked: Asked) -> Source:
    """The study whose images and family are meant, or the data set that is given.

    Raises:
        ScalingError, StudyError: neither is there, or both are.
    """
    config = asked.config
    folder = StudyFolder(config.results_dir, config.study or MAIN)
    searched = (folder / "config.yaml").is_file()
    if asked.images is None:
        if config.network is not None and config.study is None:
            raise ScalingError(
                f"which images is {config.network} to be trained on? Expected study=NAME of a "
                "search, or dataset=…"
            )
        return Source(folder, folder.require().read_config(), True)
    if searched:
        raise StudyError(
            f"{folder.path} is a study with images of its own; leave dataset=… out, or give the "
            "training another name with study=…"
        )
    return Source(folder, asked.images, False)


def load_images(source: Source, size: Size) -> ImageData:
    """The images, for networks that see this size.

    A study's are read as its search read them, with the same splits; files are decoded larger
    where the network sees more than the search did.

    Raises:
        DataError, StudyError: they cannot be read, or are others than those of the search.
    """
    settings = source.settings
    if source.study:
        data = load_data(settings.dataset, decoded_for(source, size), settings.several)
        check_data(source.folder, data)
    else:
        data = load_data(settings.dataset, size, settings.several)
    own = Size(*data.train.images.shape[-2:])
    if data.files and own.area < size.area:
        say(
            f"images are decoded at {own} px, as dataset.image_size says, and enlarged to the "
            f"network's {size} px"
        )
    return data


def decoded_for(source: Source, size: Size) -> Size:
    """The size that images are decoded for: the search's, where files are then no smaller
    than what the network sees."""
    settings = source.settings
    decoded = decoded_size(settings.dataset, settings.proxy.size)
    return settings.proxy.size if decoded.area >= size.area else size


def about_images(data: ImageData, size: Size) -> str:
    """Where the images are while a network trains on them, in words."""
    where = "in memory"
    if mapped(data, size):
        where = f"mapped from the cache, {data.home}: more than memory holds may be read"
    elif data.home is not None:
        where = "in memory, read from the cache"
    return (
        f"{len(data.train):,} training, {len(data.val):,} validation and {len(data.test):,} test "
        f"images of {data.name}, {data.num_classes} classes, {where}"
    )
