"""The chosen B0 of a study: written to b0.yaml, and read back."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from blocks.arch import ArchSpec, arch_to_mapping, parse_arch
from blocks.cost import Cost, count
from blocks.errors import DAMAGED, one_line
from blocks.images.reading import reading_to_mapping
from blocks.rounding import ROUNDINGS
from blocks.yaml_text import load_yaml
from search.config.quality import ACCURACY
from search.config.schema import RunConfig
from search.data.batches import normalisation
from search.data.splits import ImageData
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.record.trials import TrialRecord
from search.space.budget import cost_budget
from search.space.latency_budget import latency_mapping
from search.study.controls import Controls
from search.study.final import FinalRound
from search.study.objective import Objective

if TYPE_CHECKING:
    from blocks.network import Network


@dataclass(frozen=True)
class Baseline:
    """The chosen B0 as `b0.yaml` holds it.

    `metrics` are those of its final, long training, on the validation and the test images;
    `proxy` those of its proxy training. `weights` is the file of the long training's weights.
    `trial` is None where B0 is a published network, which no candidate was better than; `reference`
    is that network's name, and what was done to it.
    """

    arch: ArchSpec
    num_classes: int
    trial: int | None
    rounding: str
    metrics: dict[str, float] = field(default_factory=dict)
    proxy: dict[str, float] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    weights: Path | None = None
    reference: str | None = None

    @property
    def cost(self) -> Cost:
        """What it costs, counted."""
        return count(self.arch, self.num_classes)

    def network(self) -> "Network":
        """The network with its trained weights, in eval mode, on the CPU.

        Raises:
            StudyError: there are no weights.
            WeightsError: the file cannot be read, or belongs to another network.
        """
        from blocks.network import Network
        from blocks.weights.fit import load_weights

        if self.weights is None or not self.weights.is_file():
            raise StudyError(f"B0 has no weights at {self.weights}; run the search to its end")
        network = Network(self.arch, self.num_classes)
        load_weights(network, self.weights)
        return network.eval()


def write_baseline(
    config: RunConfig,
    data: ImageData,
    folder: StudyFolder,
    last: FinalRound,
    controls: Controls | None,
) -> None:
    """Write b0.yaml: the architecture, what it costs, how it was chosen, what it and random ones
    reached, and on which images."""
    chosen, final = last.chosen.by_proxy, last.final
    reference = last.chosen.reference
    arch = parse_arch(chosen.arch)
    mean, std = normalisation(data, arch.image)
    reading = reading_to_mapping(data.reading)
    latency = latency_mapping(cost_budget(config), chosen.arch, data.num_classes)
    content: dict[str, Any] = {
        "name": "b0",
        "arch": chosen.arch,
        "num_classes": data.num_classes,
        **(
            {"task": config.task, "threshold": final.metrics["val_threshold"]}
            if data.several
            else {}
        ),
        "trial": chosen.number if reference is None else None,
        **({} if reference is None else {"reference": reference.describe()}),
        "cost": asdict(chosen.cost),
        **({"latency": latency} if latency else {}),
        **_reached(config, last),
        "reward": Objective.of(config).reward(chosen),
        "final": {"epochs": final.fidelity["epochs"], "seed": final.seed, **final.metrics},
        **_round(last, config),
        **({} if controls is None else {"controls": controls.to_mapping()}),
        "weights": "b0.pt",
        "normalisation": {"mean": mean, "std": std},
        "rounding": config.space.rounding,
        "dataset": dataset_mapping(data, config.dataset.folds),
        **({"reading": reading} if reading else {}),
        "fields": arch_to_mapping(arch),
    }
    folder.write("b0.yaml", yaml.safe_dump(content, sort_keys=False, width=10_000))


def dataset_mapping(data: ImageData, folds: int | None = None) -> dict[str, Any]:
    """What the file of a trained network says of its images; `folds`: in so many they were."""
    return {
        "name": data.name,
        "sha256": data.sha256,
        "train": len(data.train),
        "val": len(data.val),
        "test": len(data.test),
        **({} if folds is None else {"folds": folds}),
        "classes": list(data.classes),
    }


def read_baseline(folder: StudyFolder) -> Baseline:
    """The B0 of a study.

    Raises:
        StudyError: the study has none yet, or the file is damaged.
    """
    path = folder / "b0.yaml"
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
        if content.get("rounding", "paper") not in ROUNDINGS:
            raise StudyError(
                f"{path}: rounding {content['rounding']!r} is unknown; expected "
                f"{', '.join(ROUNDINGS)}"
            )
        trial = content["trial"]
        reference = None if trial is not None else str(content["reference"])
        return Baseline(
            parse_arch(content["arch"]),
            content["num_classes"],
            trial,
            content.get("rounding", "paper"),
            metrics=_numbers(content.get("final")),
            proxy=_numbers(content.get("proxy") or content.get("supernet")),
            classes=tuple(map(str, (content.get("dataset") or {}).get("classes", ()))),
            weights=folder / content["weights"] if content.get("weights") else None,
            reference=reference,
        )
    except FileNotFoundError:
        raise StudyError(
            f"{folder.path} has no b0.yaml; finish its search first: "
            f"python -m search run study={folder.study}"
        ) from None
    except (yaml.YAMLError, *DAMAGED) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None


def _numbers(content: dict[str, Any] | None) -> dict[str, float]:
    return {} if content is None else {k: v for k, v in content.items() if k != "seed"}


def _reached(config: RunConfig, last: FinalRound) -> dict[str, Any]:
    """What the chosen one reached, by the supernet if that chose it, and by the proxy."""
    judged: dict[str, Any] = {}
    trained: TrialRecord | None = last.chosen.by_proxy
    if config.evaluator == "supernet":
        if last.chosen.reference is None:
            judged = {"supernet": last.chosen.by_proxy.metrics}
        trained = last.by_proxy
    if trained is None:
        return judged
    proxy = {"epochs": config.proxy.epochs, "seed": trained.seed, **trained.metrics}
    return {**judged, "proxy": proxy}


def _round(last: FinalRound, config: RunConfig) -> dict[str, Any]:
    """How the networks of the final round stand, the best first, and what the search gained."""
    if last.standing is None:
        return {}
    quality, objective = config.quality, Objective.of(config)
    content: dict[str, Any] = {
        "finalists": [
            {
                "name": contender.name,
                "trainings": len(contender.trainings),
                **{
                    name: contender.mean(name)
                    for each in (quality, ACCURACY)
                    for name in (each.val, f"val_{each.loss}")
                },
                objective.compared: objective.compared_value(float(mean)),
                "p_best": round(float(chance), 4),
                "arch": contender.by_proxy.arch,
            }
            for contender, mean, chance in zip(
                last.contenders, last.standing.means, last.standing.p_best, strict=True
            )
        ]
    }
    if last.gain is not None:
        content["gain"] = {
            "reference": last.gain.reference.name,
            f"b0_{quality.test}": last.gain.own,
            f"reference_{quality.test}": last.gain.reached,
            quality.test: last.gain.lead.mean,
            "interval_95": [last.gain.lead.low, last.gain.lead.high],
        }
    return content
