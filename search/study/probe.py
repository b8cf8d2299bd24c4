"""The linear probe that B0 is held against: fitted once a study, and kept in its folder."""

import json
from dataclasses import asdict
from typing import Final

from blocks.errors import DAMAGED
from search.config.schema import RunConfig
from search.data.splits import ImageData
from search.look.linear_probe import Probe, probe_pixels
from search.record.folder import StudyFolder

PROBE: Final = "probe.json"
"""In a study's folder."""


def obtain_probe(config: RunConfig, data: ImageData, folder: StudyFolder) -> Probe | None:
    """The study's probe on the pixels that its networks see, fitted if it has none yet; None
    where none is asked for."""
    if not config.search.probe:
        return None
    try:
        return Probe(**json.loads((folder / PROBE).read_text(encoding="utf-8")))
    except (OSError, *DAMAGED):  # not there, or damaged: the same is fitted again
        probe = probe_pixels(data, config.proxy.size)
        folder.write(PROBE, json.dumps(asdict(probe), indent=2) + "\n")
        return probe
