"""A study is bound to the images, and to the latency table, that it began with."""

import json

from blocks.errors import DAMAGED
from blocks.messages import say
from search.data.cache import DECODER
from search.data.splits import ImageData
from search.errors import StudyError
from search.record.folder import StudyFolder, environment
from search.training.device import compiled


def check_data(folder: StudyFolder, data: ImageData, table: str | None = None) -> None:
    """Pin the study to its images and, where it has one, to its latency table's hash `table`.

    Raises:
        StudyError: it was made with others, or environment.json is damaged.
    """
    path = folder / "environment.json"
    config = folder.read_config()
    # They round differently.
    operators = "compiled" if compiled(config.proxy, config.workers.device) else "torch"
    if not path.exists():
        content = {**environment(), "operators": operators, "dataset_sha256": data.sha256}
        content |= {"decoder": DECODER} if data.files else {}
        content |= {} if table is None else {"latency_table_sha256": table}
        folder.write("environment.json", json.dumps(content, indent=2) + "\n")
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        stored, measured = known["dataset_sha256"], known.get("latency_table_sha256")
    except DAMAGED as error:
        raise StudyError(f"{path} is damaged: {error}") from None
    if stored != data.sha256:
        raise StudyError(
            f"{folder.path} was made on other images (sha256 {stored[:12]}… → "
            f"{data.sha256[:12]}…); give this one another name with study=…"
        )
    if table is not None and measured != table:
        raise StudyError(
            f"{folder.path} was made with another latency table (sha256 {str(measured)[:12]}… "
            f"→ {table[:12]}…); give this one another name with study=…"
        )
    if data.files and known.get("decoder", 1) != DECODER:
        say(
            f"{folder.path} began with images as an older version decoded them: pixels of large "
            "JPEGs, of transparent images and of more than 8 bits may differ now"
        )
    if known.get("operators", operators) != operators:
        say(
            f"{folder.path} began with {known['operators']} operators and continues with "
            f"{operators} ones: the last digits of a training will differ"
        )
