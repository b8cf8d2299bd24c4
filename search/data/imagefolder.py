"""The data set `imagefolder`: decoded anew, or mapped from the cache."""

from pathlib import Path

import torch

from search.config.schema import DatasetConfig
from search.data.cache import cache_key, load_or_build
from search.data.decode import decode_folder
from search.data.folder import ImageFolder, list_folder
from search.data.hashes import content_hashes
from search.data.splits import ImageData, Raw, Split, assemble, root_of
from search.data.stored import Stored


def load_imagefolder(config: DatasetConfig, image_size: int) -> Raw:
    """The images of `dataset.root`, a folder per class."""
    return _decoded(list_folder(root_of(config)), config, image_size)


def _decoded(folder: ImageFolder, config: DatasetConfig, image_size: int) -> Raw:
    decoded = decode_folder(folder, image_size, config.on_corrupt)
    splits = {
        part: Split(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))
        for (part, images), labels in zip(
            decoded.images.items(), decoded.labels.values(), strict=True
        )
    }
    return Raw(folder.classes, splits, decoded.hashes, decoded.skipped)


def cached_folder(config: DatasetConfig, image_size: int, cache: Path) -> ImageData:
    """The same images, decoded once and then mapped from a file of the cache."""
    root = root_of(config)
    folder = list_folder(root)
    names = [str(file.path.relative_to(root)) for file in folder.files]

    def identity() -> str:
        contents = content_hashes(root, names, cache)
        return cache_key(
            [
                *(list(folder.classes), list(folder.parts), image_size, config.on_corrupt),
                *(config.val_fraction, config.test_fraction),
                [
                    [file.part, file.label, name, content]
                    for file, name, content in zip(folder.files, names, contents, strict=True)
                ],
            ]
        )

    def build() -> Stored:
        data = assemble(config, _decoded(folder, config, image_size))
        tensors = {}
        for part in ("train", "val", "test"):
            split: Split = getattr(data, part)
            tensors[f"{part}.images"] = split.images.permute(0, 2, 3, 1).contiguous()
            tensors[f"{part}.labels"] = split.labels
        skipped = [str(Path(path).relative_to(root)) for path in data.skipped]
        return Stored(tensors, {"sha256": data.sha256, "skipped": skipped})

    stored = load_or_build(cache, identity, build)
    train, val, test = (
        Split(
            stored.tensors[f"{part}.images"].permute(0, 3, 1, 2), stored.tensors[f"{part}.labels"]
        )
        for part in ("train", "val", "test")
    )
    return ImageData(
        config.name,
        folder.classes,
        train,
        val,
        test,
        stored.fields["sha256"],
        tuple(str(root / name) for name in stored.fields["skipped"]),
    )
