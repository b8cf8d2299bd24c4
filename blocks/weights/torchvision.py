"""How torchvision names the modules of a network, by the file of each kind of network."""

from blocks.arch import ArchSpec
from blocks.arch.walk import Block, walk
from blocks.weights.names import Names, conv_norm, parts


def resnet(arch: ArchSpec) -> Names:
    """torchvision/models/resnet.py, and timm's, which kept the names."""
    yield from conv_norm("stem", "conv1", "bn1")
    for block in walk(arch):
        theirs = f"layer{block.stage_index + 1}.{block.repeat}"
        for number, part in enumerate(parts(block), 1):
            yield from conv_norm(
                f"{block.name}.{part}", f"{theirs}.conv{number}", f"{theirs}.bn{number}"
            )
        if block.projects:
            yield from conv_norm(
                f"{block.name}.shortcut", f"{theirs}.downsample.0", f"{theirs}.downsample.1"
            )
    yield "classifier", "fc"


def efficientnet(arch: ArchSpec) -> Names:
    """torchvision/models/efficientnet.py."""
    yield from conv_norm("stem", "features.0.0", "features.0.1")
    for block in walk(arch):
        yield from _numbered(block, f"features.{block.stage_index + 1}.{block.repeat}.block")
    last = len(arch.stages) + 1
    yield from conv_norm("head", f"features.{last}.0", f"features.{last}.1")
    yield "classifier", "classifier.1"


def mobilenetv3(arch: ArchSpec) -> Names:
    """torchvision/models/mobilenetv3.py."""
    yield from conv_norm("stem", "features.0.0", "features.0.1")
    last = 0
    for last, block in enumerate(walk(arch), 1):
        yield from _numbered(block, f"features.{last}.block")
    yield from conv_norm("head", f"features.{last + 1}.0", f"features.{last + 1}.1")
    yield "hidden.0", "classifier.0"
    yield "classifier", "classifier.3"


def _numbered(block: Block, theirs: str) -> Names:
    for number, part in enumerate(parts(block)):
        if part == "squeeze_excite":
            yield f"{block.name}.{part}.fc1", f"{theirs}.{number}.fc1"
            yield f"{block.name}.{part}.fc2", f"{theirs}.{number}.fc2"
        else:
            yield from conv_norm(
                f"{block.name}.{part}", f"{theirs}.{number}.0", f"{theirs}.{number}.1"
            )


def mobilenetv2(arch: ArchSpec) -> Names:
    """torchvision/models/mobilenetv2.py."""
    yield from conv_norm("stem", "features.0.0", "features.0.1")
    last = 0
    for last, block in enumerate(walk(arch), 1):
        theirs = f"features.{last}.conv"
        *activated, linear = parts(block)
        for number, part in enumerate(activated):
            yield from conv_norm(
                f"{block.name}.{part}", f"{theirs}.{number}.0", f"{theirs}.{number}.1"
            )
        number = len(activated)
        yield from conv_norm(
            f"{block.name}.{linear}", f"{theirs}.{number}", f"{theirs}.{number + 1}"
        )
    yield from conv_norm("head", f"features.{last + 1}.0", f"features.{last + 1}.1")
    yield "classifier", "classifier.1"


def mnasnet(arch: ArchSpec) -> Names:
    """torchvision/models/mnasnet.py: stem and first block stand unrolled in one Sequential."""
    yield from conv_norm("stem", "layers.0", "layers.1")
    for number, block in enumerate(walk(arch)):
        if number == 0:
            places = ["layers.3", "layers.6"], ["layers.4", "layers.7"]
        else:
            theirs = f"layers.{block.stage_index + 7}.{block.repeat}.layers"
            places = (
                [f"{theirs}.{number}" for number in (0, 3, 6)],
                [f"{theirs}.{number}" for number in (1, 4, 7)],
            )
        for part, conv, norm in zip(parts(block), *places, strict=False):
            yield from conv_norm(f"{block.name}.{part}", conv, norm)
    last = len(arch.stages) + 7
    yield from conv_norm("head", f"layers.{last}", f"layers.{last + 1}")
    yield "classifier", "classifier.1"
