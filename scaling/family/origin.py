"""Where a family is, and what it grows from: a study's B0, or a baseline that is named."""

import yaml

from blocks.errors import DAMAGED, one_line
from blocks.yaml_text import load_yaml
from blocks.zoo import ZOO, find_arch
from scaling.compound import ScalingError
from scaling.config import ScalingConfig
from scaling.family.members import Origin, origin_of
from scaling.fitting.record import read_fit
from search.errors import StudyError
from search.record.folder import StudyFolder
from search.study.baseline import read_baseline


def find_origin(config: ScalingConfig, folder: StudyFolder) -> Origin:
    """What the family in this folder grows from.

    Raises:
        ScalingError, StudyError, ArchError: see the messages.
    """
    asked = config.coefficients == "fitted" and config.rule in (None, "compound")
    if config.baseline is None:
        chosen = read_baseline(folder.require())
        fitted = read_fit(folder, chosen.arch) if asked else None
        return origin_of(chosen, fitted, config.rounding, read_dataset(folder))
    if asked:
        raise ScalingError(
            f"baseline={config.baseline} has no fitted coefficients; expected "
            "coefficients=[alpha,beta,gamma], coefficients=published, or a rule=…"
        )
    if (folder / "config.yaml").exists():
        raise ScalingError(
            f"{folder.path} is the study of a search; give the family of baseline="
            f"{config.baseline} a folder of its own with study=…"
        )
    return Origin(find_arch(config.baseline), config.num_classes, config.rounding or "paper")


def family_folder(config: ScalingConfig) -> StudyFolder:
    """Where the family of a study or of a baseline is; a baseline may have a study= of its own."""
    name = config.baseline
    if name is not None and name not in ZOO:
        name = "baseline"
    return StudyFolder(config.results_dir, config.study or name or "main")


def read_dataset(folder: StudyFolder) -> dict[str, str] | None:
    """Name and sha256 of the images of a study's B0; None where b0.yaml does not say.

    Raises:
        StudyError: the file is damaged.
    """
    path = folder / "b0.yaml"
    try:
        said = load_yaml(path.read_text(encoding="utf-8")).get("dataset")
        return None if said is None else {"name": said["name"], "sha256": said["sha256"]}
    except (yaml.YAMLError, *DAMAGED) as error:
        raise StudyError(f"{path} is damaged: {one_line(error)}") from None
