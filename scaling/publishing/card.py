"""The model card, README.md: what the network is, how good, what it costs, where it ends."""

from typing import Any, Final

import yaml

from blocks.arch import Size
from blocks.images.reading import Reading
from blocks.machine import machine
from blocks.names import counted
from scaling.publishing.folder import ONNX, Published

MOST_CLASSES: Final = 100
"""Of which the card has a row; per_class.csv has all."""
_WORDS: Final = {
    "accuracy": "top-1 accuracy", "top5_accuracy": "top-5 accuracy", "map": "mAP",
    "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
    "calibration_error": "calibration error (15 bins)", "loss": "cross-entropy (nats)",
}  # fmt: skip


def card(published: Published) -> str:
    """README.md, with the head that model hubs read."""
    head = yaml.safe_dump(_head(published), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{head}---\n\n# {published.name}\n",
        _intro(published),
        _use(published),
        _images(published),
        _quality(published),
        _cost(published),
        _origin(published),
        _limits(published),
        f"## Licence\n\n`{published.license}`"
        + (
            ": nobody has said yet under which terms the weights may be used."
            if published.license == "unknown"
            else "."
        ),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _head(published: Published) -> dict[str, Any]:
    head: dict[str, Any] = {
        "license": published.license,
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "compound-nas", "onnx"],
    }
    if "accuracy" in published.figures:
        data = published.content["dataset"]
        head["model-index"] = [
            {
                "name": published.name,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": data.get("name", "images"), "type": "images"},
                        "metrics": [
                            {"type": name, "value": round(figure.value, 4)}
                            for name, figure in published.figures.items()
                        ],
                    }
                ],
            }
        ]
    return head


def _intro(published: Published) -> str:
    model, names = published.model, published.model.classes
    kind = "any of several labels" if model.subject.several else "one of several classes"
    shown = ", ".join(names[:10]) + (f", … ({len(names):,} in all)" if len(names) > 10 else "")
    size, channels = model.arch.image, model.arch.in_channels
    return (
        f"Gives an image {kind}: {shown}. It sees {size.height}×{size.width} pixels of {channels} "
        f"channel{'s' if channels > 1 else ''}.\n\n`{published.content['arch']}`"
    )


def _use(published: Published) -> str:
    arch, where = published.model.arch, published.folder.name
    shape = f"(N, {arch.in_channels}, {arch.image.height}, {arch.image.width})"
    timm = (
        f"""With timm:

```python
import timm
from blocks.timm_models import register_folder
model = timm.create_model(register_folder("{where}"), pretrained=True).eval()
```"""
        if published.timm is None
        else f"timm does not build it: {published.timm}."
    )
    return f"""## Use

`python -m scaling predict {where} FILE|FOLDER` answers on image files. In Python, with this
package (`images`: float32 {shape}, prepared as below):

```python
from blocks import load
network = load("{where}")
logits = network(images)
```

{timm}

With ONNX Runtime, without this package:

```python
import onnxruntime
session = onnxruntime.InferenceSession("{where}/{ONNX}")
logits = session.run(None, {{"image": images.numpy()}})[0]
```

All of them give the same logits; this was checked when the folder was written."""


def _images(published: Published) -> str:
    model = published.model
    mean, std = (
        ", ".join(f"{value:.6g}" for value in moment.flatten().tolist())
        for moment in (model.mean, model.std)
    )
    answer = (
        f"Each label has its own probability, the sigmoid of its logit; those of at least "
        f"{model.threshold:.4g} are given."
        if model.subject.several
        else "The softmax of the logits are the probabilities."
    )
    return f"""## How images are prepared

{_prepared(model.subject.reading, model.arch.image)} Pixels of 0 to 1, less the mean ({mean}),
over the deviation ({std}). `model.yaml` and the metadata of the ONNX and safetensors files hold the
same, with the names of the classes in order. {answer}"""


def _prepared(reading: Reading, size: Size) -> str:
    shapes = {
        "crop": "The centre is cut out"
        if reading.crop == 1
        else f"The centre of {reading.crop:.4g} of the shorter side is cut out",
        "pad": f"The image is brought to the network's shape by filling with {reading.background}",
        "squash": "The image is brought to the network's shape, each side by its own",
    }
    steps = [f"{shapes[reading.resize]} and resized ({reading.interpolation}) to "]
    if reading.image_size is not None:
        height, width = reading.image_size
        steps.append(f"{height}×{width} pixels, and from there (antialiased bilinear) to ")
    if not reading.enlarge:
        steps[0] += "(a smaller image keeps its size, in the middle of the background) "
    steps.append(f"{size.height}×{size.width} pixels.")
    if reading.span is not None:
        steps.append(
            f" Of more than 8 bits, {reading.span[0]:g} is black, {reading.span[1]:g} white."
        )
    return "".join(steps)


def _quality(published: Published) -> str:
    found = published.evaluation
    if found is None:
        return "## Accuracy\n\nNot judged: there were no labelled images when it was published."
    rows = [
        f"| {_WORDS.get(name, name)} | {each.value:.4f} | {each.low:.4f} to {each.high:.4f} |"
        for name, each in published.figures.items()
    ]
    table = "\n".join(["| | value | 95% interval |", "|---|---|---|", *rows])
    labelled = found.labelled
    unread = f" {counted(len(found.unread), 'file')} could not be read." if found.unread else ""
    return (
        f"## Accuracy\n\nOn {counted(len(labelled), 'image')}: "
        f"{labelled.where}.{unread}\n\n{table}\n\n"
        f"Intervals are over images (bootstrap), for this one training.\n\n{_classes(published)}"
    )


def _classes(published: Published) -> str:
    assert published.evaluation is not None
    table = published.evaluation.judged.classes
    rows = [
        f"| {name} | {images:,} | {recall:.3f} | {precision:.3f} | {f1:.3f} |"
        for name, images, recall, precision, f1 in zip(
            *(table[key] for key in ("class", "images", "recall", "precision", "f1")), strict=True
        )
    ]
    more = len(rows) - MOST_CLASSES
    last = [f"\n`per_class.csv` has {more:,} more."] if more > 0 else []
    head = ["| class | images | recall | precision | F1 |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows[:MOST_CLASSES], *last])


def _cost(published: Published) -> str:
    cost = published.content["cost"]
    times = "\n".join(
        f"| {each.median_ms:.3g} ms an image ({each.low_ms:.3g} to {each.high_ms:.3g}) | "
        f"{each.runtime}, batch {each.batch}, {each.threads} thread of {each.device} |"
        for each in published.latencies
    )
    return f"""## Cost

| | |
|---|---|
| {cost["params"]:,} | parameters |
| {cost["macs"]:,} | macs of an image (multiply-adds of convolutions and linear layers) |
| {cost["flops_fvcore"]:,} | `flops_fvcore`: fvcore's count |
{times}

Measured on {machine()}; the median and its 95% interval."""


def _origin(published: Published) -> str:
    content, data = published.content, published.content["dataset"]
    lines = []
    if "sha256" in data:
        sizes = ", ".join(
            f"{data[part]:,} {part}" for part in ("train", "val", "test") if part in data
        )
        lines.append(
            f"Images: {data.get('name')}, {sizes}; SHA-256 of all of them `{data['sha256']}`."
        )
    else:
        lines.append("Images: the file of the weights does not say on which.")
    known = {
        key: content[key]
        for key in ("recipe", "final", "seed", "teacher", "started_from", "trial")
        if key in content
    }
    if known:
        text = yaml.safe_dump(known, sort_keys=False, allow_unicode=True, width=100)
        lines.append(f"As its own file says:\n\n```yaml\n{text}```")
    found = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    lines.append(f"Published with {found}.")
    return "## Where it comes from\n\n" + "\n\n".join(lines)


def _limits(published: Published) -> str:
    lines = [
        "It was trained to tell apart the classes above. Any other image gets one of them too, "
        "perhaps with a high probability.",
        "Images that are taken or prepared otherwise than those it was judged on may be judged "
        "worse than the tables say.",
    ]
    found = published.evaluation
    if found is not None:
        table = found.judged.classes
        few = table[(table["images"] < 30)]
        if len(few):
            lines.append(
                f"{len(few):,} of {len(table):,} classes were judged on fewer than 30 images "
                f"({', '.join(map(str, few['class'][:5]))}{', …' if len(few) > 5 else ''})."
            )
        weak = table[table["recall"].notna()].sort_values("recall").head(3)
        named = ", ".join(
            f"{name} ({100 * recall:.0f}%)"
            for name, recall in zip(weak["class"], weak["recall"], strict=True)
        )
        lines.append(f"It finds least of: {named}.")
        error = published.figures["calibration_error"].value
        lines.append(f"Its probabilities are {100 * error:.1f} points off in the mean.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)
