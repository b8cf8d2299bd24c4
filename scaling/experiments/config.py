"""An experiment as a file of `conf/experiment` says it, and what of it may be set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from blocks.arch import ArchSpec, format_arch, parse_arch
from blocks.lite import lite
from blocks.names import did_you_mean
from scaling.compound import ScalingError
from scaling.rules import find_rule
from scaling.training.config import TrainConfig
from scaling.training.settings import IMAGES
from search.config.build import setting_kinds
from search.config.compose import settings_of
from search.config.options import CONF, option, options
from search.errors import ConfigError

GROUP: Final = "experiment"

STUDY: Final = "fashion_mnist"
SMALL: Final = (
    "network=r28-i1-s16-[ds_r1_k3_s1_e1_c16_se0.25|ir_r1_k3_s2_e4_c24_se0.25|"
    "ir_r2_k5_s2_e4_c40_se0.25]-h128",
    "threads=1",
    "recipe.epochs=6",
)
"""What is trained where no study is named: a network of 0.98M macs, fastest on one thread, on the
images that are shipped. So every experiment is a command of minutes on a fresh clone."""


@dataclass(frozen=True)
class TrainedOptions:
    """Of an experiment that trains each way with several seeds."""

    seeds: int = 3  # trainings of each way, from seed= on; of one each there is no interval


@dataclass(frozen=True)
class VariantOptions(TrainedOptions):
    """One network, trained in several ways."""

    int8: bool = False  # also what each network reaches as int8, by ONNX Runtime


@dataclass(frozen=True)
class EnsembleOptions(TrainedOptions):
    """Some small networks together against a single one."""

    size: int = 3  # small networks of an ensemble; the single one has so many times their macs
    rule: str = "compound"  # by which the single one grows, a name of scaling emit's rule=


@dataclass(frozen=True)
class PretrainingOptions(TrainedOptions):
    """A known start against random weights."""

    images_per_class: int | None = 100
    # training images of each class of the second half; null: all. Nothing where weights= or start=
    # is given
    later_epochs: int = 30  # on the second half


@dataclass(frozen=True)
class SamplingOptions(TrainedOptions):
    """From which resolutions a member's is chosen."""

    seeds: int = 2  # trainings of each member at each resolution, from seed= on
    percents: list[float] = field(default_factory=lambda: [57.0, 71.0, 86.0, 100.0, 114.0])
    # resolutions that are tried, in percent of B0's, which is always one of them
    lowest: float = 0.4  # share of the resolutions, from the least on, of the third way


@dataclass(frozen=True)
class ThroughputOptions:
    """Networks on a light device and on a server; nothing is trained."""

    batches: list[int] = field(default_factory=lambda: [1, 4, 16, 64, 256])
    # images at a time, of the server
    server_threads: int | None = None  # of the server's CPU; null: all cores
    rounds: int = 5  # in each of which all networks are measured by turns
    seconds: float = 0.5  # at most of one measurement, warm-up not counted
    runtime: str = "eager"  # eager | compile | onnxruntime


KINDS: Final[Mapping[str, type[Any]]] = {
    "variants": VariantOptions,
    "ensemble": EnsembleOptions,
    "pretraining": PretrainingOptions,
    "resolution_sampling": SamplingOptions,
    "device_throughput": ThroughputOptions,
}
"""What an experiment's `kind` may be → its own settings, beside those of `scaling train`."""


@dataclass(frozen=True)
class Make:
    """What is done to the network: `change`, a word of `CHANGES`; grown to `macs` times its own by
    `rule`; or `depth` and `width` multiplied. `rounding`: of channels, `floor` to whole ones."""

    change: str | None = None
    rule: str | None = None
    macs: float = 1.0
    depth: float = 1.0
    width: float = 1.0
    rounding: str = "paper"

    @property
    def nothing(self) -> bool:
        """Whether the network stays as it is."""
        return self == Make()


@dataclass(frozen=True)
class Variant:
    """One way: `settings` of `scaling train`, and what is done to the network before it."""

    name: str
    settings: tuple[str, ...] = ()
    make: Make = Make()


@dataclass(frozen=True)
class Experiment:
    """The first variant is what the others are compared with. `about`: the file's own head;
    `given`: what of its own settings the file says."""

    name: str
    about: str
    kind: str
    variants: tuple[Variant, ...]
    given: tuple[str, ...]


def _global_residual(arch: ArchSpec) -> ArchSpec:
    return parse_arch(f"{format_arch(arch)}-gres")


CHANGES: Final = {"lite": lambda arch: lite(arch)[0], "global_residual": _global_residual}
"""What may be done to a network, by the word of a variant's `change`."""


def experiment_names() -> list[str]:
    """Those of `conf/experiment`."""
    return options(GROUP)


def read_experiment(name: str) -> Experiment:
    """An experiment by its name.

    Raises:
        ConfigError, ScalingError: there is none of this name (names the nearest), or its file says
            what cannot be.
    """
    content = dict(option(GROUP, name))
    where = CONF / GROUP / f"{name}.yaml"
    head = [line[1:].strip() for line in where.read_text("utf-8").splitlines() if line[:1] == "#"]
    kind = str(content.pop("kind", "variants"))
    if kind not in KINDS:
        raise ConfigError(
            f"{where.name}: kind={kind} is unknown; expected {', '.join(KINDS)}"
            f"{did_you_mean(kind, KINDS)}"
        )
    ways = content.pop("variants", None) or {}
    variants = tuple(_variant(key, value or {}) for key, value in ways.items())
    if kind != "ensemble" and not variants:
        raise ConfigError(f"{where.name} has no variants; expected two or more")
    given = tuple(f"{key}={_typed(value)}" for key, value in content.items())
    return Experiment(name, "\n".join(head), kind, variants, given)


def _variant(name: str, content: dict[str, Any]) -> Variant:
    made = {each.name: content[each.name] for each in fields(Make) if each.name in content}
    make = Make(**made)
    if make.change is not None and make.change not in CHANGES:
        raise ConfigError(f"change={make.change} is unknown; expected {', '.join(CHANGES)}")
    if make.rule is not None:
        find_rule(make.rule)
    settings = (f"{key}={_typed(value)}" for key, value in content.items() if key not in made)
    return Variant(name, tuple(settings), make)


def _typed(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def split_arguments(arguments: Sequence[str]) -> tuple[Experiment, Any, list[str]]:
    """(experiment, its own settings, those of `scaling train`) of a command line.

    Raises:
        ConfigError, ScalingError: no experiment is named, a misspelt setting, a value that cannot
            be.
    """
    if not arguments or "=" in arguments[0]:
        raise ConfigError(
            f"which experiment? expected one of {', '.join(experiment_names())}: "
            "python -m scaling experiment NAME"
        )
    experiment = read_experiment(arguments[0])
    schema = KINDS[experiment.kind]
    own = [each.name for each in fields(schema)]
    known = [*own, *setting_kinds(TrainConfig), "recipe"]
    mine, left = [], []
    for line in arguments[1:]:
        name = line.lstrip("+~").partition("=")[0]
        if name in own:
            mine.append(line)
            continue
        if "=" in line and name not in known and name.partition(".")[0] not in IMAGES:
            raise ConfigError(
                f"unknown setting {name!r}{did_you_mean(name, known)}; "
                "python -m scaling experiment --help lists them"
            )
        left.append(line)
    chosen = settings_of([*experiment.given, *mine], schema)
    check_options(chosen)
    return experiment, chosen, left


MOST_SEEDS: Final = 100
_BOUNDS: Final = {
    "seeds": (1, MOST_SEEDS),
    "size": (2, 32),
    "images_per_class": (2, 10**9),
    "later_epochs": (1, 10_000),
    "rounds": (2, 1000),
}
"""Whole numbers of the options, from and to."""


def check_options(chosen: Any) -> None:
    """Refuse values that cannot be.

    Raises:
        ScalingError: names the setting, its value and what was expected.
    """
    for name, (least, most) in _BOUNDS.items():
        value = getattr(chosen, name, None)
        if value is not None and not least <= value <= most:
            raise ScalingError(f"{name}={value} is not a whole number from {least} to {most}")
    if isinstance(chosen, EnsembleOptions):
        find_rule(chosen.rule)
    if isinstance(chosen, ThroughputOptions):
        if not chosen.batches or any(not 1 <= each <= 65_536 for each in chosen.batches):
            raise ScalingError(f"batches={chosen.batches}: expected whole numbers from 1 to 65536")
        if not 0 < chosen.seconds <= 600:
            raise ScalingError(f"seconds={chosen.seconds:g} is not above 0 and up to 600")
    if isinstance(chosen, SamplingOptions):
        if len(set(chosen.percents)) < 2 or any(not 1 <= each <= 1000 for each in chosen.percents):
            raise ScalingError(
                f"percents={chosen.percents}: expected two or more different ones from 1 to 1000"
            )
        if not 0 < chosen.lowest < 1:
            raise ScalingError(f"lowest={chosen.lowest:g} is not a share between 0 and 1")
