"""The images that a training is about: those of a study, or a data set's own."""

from dataclasses import dataclass
from typing import Final

from blocks.arch import Size
from blocks.messages import say
from blocks.names import counted
from scaling.compound import ScalingError
from scaling.training.settings import Asked
from search.config.quality import Quality
from search.config.schema import DatasetConfig, RunConfig
from search.data.cache import cache_folder
from search.data.datasets import decoded_size, load_data
from search.data.files import NoRoomError, list_files
from search.data.resized import mapped
from search.data.splits import FILES, ImageData
from search.data.streamed import stream_files
from search.errors import StudyError
from search.evaluators.workers import available_bytes, available_cores
from search.record.folder import StudyFolder
from search.study.images import check_data

MAIN: Final = "main"
MEMORY: Final = 0.5
"""Share of the free memory that decoded images may take."""


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


def load_images(
    source: Source, size: Size, stream: bool | None = False, loaders: int | None = None
) -> ImageData:
    """The images, for networks that see this size.

    A study's are read as its search read them, with the same splits; files are decoded larger
    where the network sees more than the search did. `stream`: whether files are read anew in each
    epoch, by so many `loaders`; None: where there is no room for them decoded.

    Raises:
        ScalingError: there is nothing to stream.
        DataError, StudyError: they cannot be read, or are others than those of the search.
    """
    data = _read(source, decoded_for(source, size), size, stream, loaders)
    if source.study:
        check_data(source.folder, data)
    own = Size(*data.train.images.shape[-2:])
    if data.files and own.area < size.area:
        say(
            f"images are decoded at {own} px, as dataset.image_size says, and enlarged to the "
            f"network's {size} px"
        )
    return data


def _read(
    source: Source, size: Size, seen: Size, stream: bool | None, loaders: int | None
) -> ImageData:
    settings = source.settings
    config, several = settings.dataset, settings.several
    why = "stream=true"
    if config.name not in FILES:
        if stream:
            raise ScalingError(
                f"stream=true: the images of dataset={config.name} are no files, but one array; "
                f"expected dataset={' or dataset='.join(FILES)}"
            )
        return load_data(config, size, several)
    if not stream:
        no_memory = None if stream is False else _no_memory(config, size, several)
        if no_memory is None:
            try:
                return load_data(config, size, several)
            except NoRoomError as error:
                if stream is False:
                    raise
                why = str(error)
        else:
            why = no_memory
    return stream_files(
        config,
        decoded_size(config, size),
        seen,
        source.folder / "stream",
        why,
        several,
        min(8, available_cores()) if loaders is None else loaders,
    )


def _no_memory(config: DatasetConfig, size: Size, several: bool) -> str | None:
    """Why the images, decoded, are too much for memory, where they would lie there; else None."""
    free = available_bytes()
    if cache_folder(config.cache) is not None or free is None:
        return None
    images = len(list_files(config, several).files)
    # Once in parts, and once as a whole.
    needed = 2 * images * (config.channels or 3) * decoded_size(config, size).area
    if needed <= free * MEMORY:
        return None
    return (
        f"{counted(images, 'image')}, decoded, need {needed / 1e9:.1f} GB of memory, of which "
        f"{free / 1e9:.1f} GB are free, and dataset.cache=null"
    )


def decoded_for(source: Source, size: Size) -> Size:
    """The size that images are decoded for: the search's, where files are then no smaller
    than what the network sees."""
    settings = source.settings
    if not source.study:
        return size
    decoded = decoded_size(settings.dataset, settings.proxy.size)
    return settings.proxy.size if decoded.area >= size.area else size


def about_images(data: ImageData, size: Size) -> str:
    """Where the images are while a network trains on them, in words."""
    where = "in memory"
    if data.train.files is not None:
        where = f"streamed from their files in each epoch ({data.train.files.why})"
    elif mapped(data, size):
        where = f"mapped from the cache, {data.home}: more than memory holds may be read"
    elif data.home is not None:
        where = "in memory, read from the cache"
    return (
        f"{len(data.train):,} training, {len(data.val):,} validation and {len(data.test):,} test "
        f"images of {data.name}, {data.num_classes} classes, {where}"
    )
