"""The readers of this project, each with real files to damage and the call that a user makes.

A reader is a `Reader`: what it is called, how many shares of the inputs it has, and `make(folder)`,
which writes its real files once and returns a function from a random generator to a call. The call
reads one damaged input. It may succeed or raise a `CompoundNasError`; anything else is a finding.
"""

import gzip
import io
import json
import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import yaml
from PIL import Image

from blocks.arch import format_arch, parse_arch, square
from blocks.arch.mapping import arch_from_mapping, arch_to_mapping
from blocks.console import as_one_line
from blocks.errors import CompoundNasError, ExportError
from blocks.export.safetensors import save_safetensors
from blocks.images.decode import open_image, span_of
from blocks.images.read import read_images
from blocks.latency.table import Fitted, LatencyTable
from blocks.latency.table import read_table as read_latency
from blocks.loading import load
from blocks.network import Network
from blocks.subject import read_subject
from blocks.weights.read import read_state
from search.benchmark.table import read_table as read_benchmark
from search.config.arguments import as_typed
from search.config.checks import validate
from search.config.compose import compose_config
from search.config.schema import DatasetConfig, RunConfig
from search.data.datasets import DATASETS, load_data
from search.data.stored import Stored, read_stored, write_stored
from search.data.table_formats import read_table as read_labels
from search.record.archive import archive, restore
from search.record.folder import StudyFolder
from search.record.trials import read_records
from search.report.facts import read_json, read_table, read_yaml
from search.samplers import SAMPLERS
from search.study.baseline import read_baseline
from search.study.family import read_coefficients, read_family
from search.study.memory import open_study
from search.study.reference import read_reference_names
from search.study.study import Study
from search.training.checkpoint import read_checkpoint, save_whole
from search.training.outcomes import Outcomes, read_outcomes
from tests.fuzz.mutate import (
    as_json,
    as_yaml,
    mutated_bytes,
    mutated_text,
    mutated_tree,
)

Call = Callable[[], object]
Make = Callable[[Path], Callable[[random.Random], Call]]

SPELLINGS: Final = (
    "r224-s32-[ds_r1_k3_s1_e1_c16_se0.25|ir_r2_k3_s2_e6_c24_se0.25|ir_r2_k5_s2_e6_c40_se0.25]-h1280",
    "r96x192-i4-s8-[bt_r1_k3_s1_e0.25_c16|bx_r2_k3_s2_e0.5_c16_g4]-h16-nre-same-eps0.001-mom0.01",
    "r28-i1-s16-[cn_r1_k3_s1_e1_c16_noskip|er_r2_k3_s2_e4_c24]-h64-gn8-gres",
    "r8-i1-s8-[ds_r1_k3_s1_e1_c8]-h16",
)
MOST_WORDS: Final = 20_000
"""Letters of a message: what it quotes may be long, but does not grow beyond what was given."""
SMALL: Final = SPELLINGS[3]
WORDS: Final = (
    "search.trials=3", "dataset=npz", "dataset.root=my folder (2)/ü.npz", "proxy.resolution=48x96",
    "budget.max_macs=2M", "space.stages=[{channels: 16, repeats: [1, 2]}]", "search.enqueue=[r8]",
    "slurm.more={qos: long}", "workers.memory=4G", "seed=0", "objective=loss", "space=tiny",
    "proxy.epochs=12", "search.warm_start=null", "study=2024_05_01", "dataset.range=0..4095",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """`share` of the inputs; those that take milliseconds have more."""

    name: str
    share: int
    make: Make


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# Text of a command line


def _spelling(folder: Path) -> Callable[[random.Random], Call]:
    def read(text: str) -> None:
        arch = parse_arch(text)
        assert parse_arch(format_arch(arch)) == arch

    def made(draw: random.Random) -> Call:
        text = mutated_text(draw, draw.choice(SPELLINGS), list(SPELLINGS))
        return lambda: read(text)

    return made


def _mapping(folder: Path) -> Callable[[random.Random], Call]:
    trees = [arch_to_mapping(parse_arch(each)) for each in SPELLINGS]

    def made(draw: random.Random) -> Call:
        tree = mutated_tree(draw, draw.choice(trees))
        return lambda: arch_from_mapping(tree)

    return made


def _overrides(folder: Path) -> Callable[[random.Random], Call]:
    def made(draw: random.Random) -> Call:
        words = [mutated_text(draw, draw.choice(WORDS), list(WORDS)) for _ in range(2)]
        sweep = draw.random() < 0.5
        return lambda: as_typed(words, RunConfig, sweep)

    return made


def _composed(folder: Path) -> Callable[[random.Random], Call]:
    def read(words: list[str]) -> None:
        validate(compose_config("config", words, RunConfig), list(SAMPLERS), list(DATASETS))

    def made(draw: random.Random) -> Call:
        word = draw.choice(WORDS)
        if draw.random() < 0.5:
            name = word.partition("=")[0]
            word = f"{name}={mutated_text(draw, word.partition('=')[2], list(WORDS))}"
        else:
            word = mutated_text(draw, word, list(WORDS))
        return lambda: read([word])

    return made


# Files of a study


def _study(folder: Path) -> StudyFolder:
    from tests.search.record.test_shelf import made as make_study

    found = make_study(folder / "results", "pets")
    b0 = {
        "arch": SMALL, "num_classes": 10, "trial": 0, "rounding": "paper", "weights": "b0.pt",
        "final": {"epochs": 2, "seed": 3, "val_accuracy": 0.5, "test_accuracy": 0.5},
        "proxy": {"epochs": 1, "seed": 3, "val_accuracy": 0.5},
        "normalisation": {"mean": [0.5], "std": [0.25]},
        "dataset": {"name": "digits", "classes": list("0123456789")},
        "reading": {"background": "white", "resize": "pad", "range": [0, 255]},
    }  # fmt: skip
    found.write("b0.yaml", yaml.safe_dump(b0))
    fitted = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15, "intervals": {"alpha": [1.1, 1.3]}}
    found.write("coefficients.yaml", yaml.safe_dump(fitted))
    found.write("references.yaml", yaml.safe_dump({"known": {"arch": SMALL}}))
    (found.path / "family").mkdir()
    found.write("family/family.csv", "name,phi,macs,arch\nb0,0,100," + SMALL + "\nb1,1,200,x\n")
    found.write("start.json", "[]")
    return found


def _damaged(
    read: Callable[[Path], object], name: str, contents: list[bytes], folder: Path,
    parse: Callable[[bytes], Any] | None = None, write: Callable[[Any], bytes] = as_json,
) -> Callable[[random.Random], Call]:  # fmt: skip
    """Inputs of one file: half of them with other values, where they are parsed, the rest with
    other bytes."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)

    def made(draw: random.Random) -> Call:
        content = draw.choice(contents)
        if parse is not None and draw.random() < 0.6:
            try:
                damaged = write(mutated_tree(draw, parse(content)))
            except (ValueError, OverflowError, yaml.YAMLError):  # what no file can hold
                damaged = mutated_bytes(draw, content, contents)
        else:
            damaged = mutated_bytes(draw, content, contents)
        _put(path, damaged)
        return lambda: read(path)

    return made


def _of_study(
    name: str, read: Callable[[StudyFolder], object], parse: Callable[[bytes], Any] | None,
    write: Callable[[Any], bytes],
) -> Make:  # fmt: skip
    def make(folder: Path) -> Callable[[random.Random], Call]:
        study = _study(folder)
        contents = [(study / name).read_bytes()]
        return _damaged(
            lambda _: read(study), f"results/pets/{name}", contents, folder, parse, write
        )

    return make


def _lines(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content.splitlines()]


def _as_lines(tree: Any) -> bytes:
    rows = tree if isinstance(tree, list) else [tree]
    return b"".join(as_json(row) + b"\n" for row in rows)


def _loaded(study: StudyFolder) -> None:
    found = Study.load(study.path)
    with suppress(CompoundNasError):
        found.trials(), found.failures(), found.front()
    repr(found)


def _journal(folder: Path) -> Callable[[random.Random], Call]:
    study = _study(folder)
    config = study.read_config()
    made = open_study(config, study)
    for number in range(2):
        trial = made.ask()
        trial.suggest_categorical("x", [1, 2, 3])
        made.tell(trial, [0.5 + number] * len(made.directions))
    content = (study / "optuna.journal").read_bytes()
    return _damaged(
        lambda _: open_study(config, study).get_trials(), "results/pets/optuna.journal",
        [content], folder, _lines, _as_lines,
    )  # fmt: skip


def _archive(folder: Path) -> Callable[[random.Random], Call]:
    path = folder / "pets.tar.gz"
    archive(_study(folder), path)
    inner = gzip.decompress(path.read_bytes())
    home = folder / "restored"
    at = folder / "damaged.tar.gz"

    def read() -> None:
        import shutil

        try:
            restore(at, str(home))
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def made(draw: random.Random) -> Call:
        if draw.random() < 0.5:
            _put(at, mutated_bytes(draw, path.read_bytes(), [inner]))
        else:
            _put(at, gzip.compress(mutated_bytes(draw, inner, [inner]), 1))
        return read

    return made


# Images and labels


def _arrays() -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (24, 8, 8), dtype=np.uint8),
        "y_train": np.arange(24) % 3,
        "x_test": generator.integers(0, 256, (9, 8, 8), dtype=np.uint8),
        "y_test": np.arange(9) % 3,
    }


def _npz_contents() -> list[bytes]:
    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, **_arrays())
    np.savez_compressed(packed, **_arrays())
    return [plain.getvalue(), packed.getvalue()]


def _npz(folder: Path) -> Callable[[random.Random], Call]:
    def read(path: Path) -> None:
        config = DatasetConfig(name="npz", root=str(path), cache=None)
        load_data(config, square(8))

    return _damaged(read, "images.npz", _npz_contents(), folder)


def _npz_to_predict(folder: Path) -> Callable[[random.Random], Call]:
    arch = parse_arch(SMALL)
    return _damaged(lambda path: read_images(path, arch, 3), "x.npz", _npz_contents(), folder)


def image_contents(folder: Path) -> dict[str, list[bytes]]:
    """Real files of each kind by their ending."""
    generator = np.random.default_rng(1)
    smooth = np.add.outer(np.arange(40), np.arange(50))[..., None] + np.arange(3) * 40
    colour = Image.fromarray(smooth.astype(np.uint8))
    found: dict[str, list[bytes]] = {}

    def keep(ending: str, image: Image.Image, kind: str, **options: Any) -> None:
        buffer = io.BytesIO()
        with suppress(OSError, KeyError):  # Pillow was built without this kind
            image.save(buffer, kind, **options)
            found.setdefault(ending, []).append(buffer.getvalue())

    exif = Image.Exif()
    exif[274] = 6
    keep("jpg", colour, "JPEG", exif=exif)
    keep("jpg", colour.convert("CMYK"), "JPEG")
    keep("png", colour.convert("RGBA"), "PNG", exif=exif)
    keep("png", colour.convert("P"), "PNG", transparency=0)
    deep = generator.integers(0, 2**16, (20, 20), dtype=np.uint16)
    keep("png", Image.fromarray(deep), "PNG")
    for ending, kind in (
        ("gif", "GIF"), ("bmp", "BMP"), ("webp", "WEBP"), ("jp2", "JPEG2000"), ("tga", "TGA"),
        ("avif", "AVIF"), ("ppm", "PPM"),
    ):  # fmt: skip
        keep(ending, colour, kind)
    keep("tif", colour, "TIFF", compression="tiff_lzw")
    keep("tif", Image.fromarray(deep.astype(np.int32)), "TIFF")
    keep("tif", colour, "TIFF", compression="jpeg")
    with suppress(ImportError):
        import tifffile

        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            generator.integers(0, 9999, (4, 12, 12), dtype=np.uint16),
            photometric="minisblack",
        )
        found["tif"].append(buffer.getvalue())
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer, generator.integers(0, 255, (12, 12, 5), dtype=np.uint8), compression="zlib"
        )
        found["tif"].append(buffer.getvalue())
    numbers = b" ".join(str(each).encode() for each in range(12 * 3))
    found["ppm"].append(b"P3\n# made\n4 3\n4000\n" + numbers + b"\n")
    found["pgm"] = [b"P5\n4 3\n4000\n" + np.arange(12, dtype=">u2").tobytes()]
    buffer = io.BytesIO()
    np.save(buffer, deep[..., None].astype(np.float32) / 2**16)
    found["npy"] = [buffer.getvalue()]
    return found


def _images(folder: Path) -> Callable[[random.Random], Call]:
    kinds = image_contents(folder)
    every = [each for contents in kinds.values() for each in contents]

    def read(path: Path) -> None:
        span_of(path, ExportError)
        open_image(path, ExportError, near=8)

    def made(draw: random.Random) -> Call:
        ending = draw.choice(list(kinds))
        damaged = mutated_bytes(draw, draw.choice(kinds[ending]), every)
        path = _put(folder / f"x.{ending}", damaged)
        return lambda: read(path)

    return made


COCO: Final = {
    "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
    "annotations": [{"image_id": 1, "category_id": 7}, {"image_id": 2, "category_id": 8}],
    "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
}
ROWS: Final = [
    {"file": f"{n}.png", "label": ["cat", "dog"][n % 2], "split": "train", "patient": n // 2,
     "weight": 1.5} for n in range(12)
]  # fmt: skip


def _csv(separator: str = ",") -> bytes:
    lines = [separator.join(map(str, row.values())) for row in ROWS]
    return "\n".join([separator.join(ROWS[0]), *lines, ""]).encode()


def _labels(folder: Path) -> Callable[[random.Random], Call]:
    files: dict[str, list[bytes]] = {
        "csv": [
            _csv(), _csv(";"), b"sep=|\n" + _csv("|"), _csv().decode().encode("utf-16"),
            "Datei;Klasse\nä.png;é\n".encode("cp1252"),
            "画像,種類\nい.png,猫\nろ.png,犬\n".encode("cp932"),
        ],
        "tsv": [_csv("\t")],
        "jsonl": [_as_lines(ROWS)],
        "json": [as_json(COCO), as_json(ROWS)],
    }  # fmt: skip
    with suppress(ImportError):
        import pandas as pd

        buffer = io.BytesIO()
        pd.DataFrame(ROWS).to_parquet(buffer)
        files["parquet"] = [buffer.getvalue()]
    trees = {"jsonl": (_lines, _as_lines), "json": (json.loads, as_json)}
    makers = {
        ending: _damaged(
            lambda path: read_labels(path, several=path.stat().st_size % 2 == 0),
            f"labels.{ending}", contents, folder, *trees.get(ending, (None,)),
        )
        for ending, contents in files.items()
    }  # fmt: skip
    return lambda draw: makers[draw.choice(list(makers))](draw)


def _data_set(folder: Path) -> Callable[[random.Random], Call]:
    """A whole data set by a table: columns found, splits made, images decoded."""
    (folder / "images").mkdir()
    for number in range(12):
        Image.new("L", (8, 8), 20 * number).save(folder / f"images/{number}.png")

    def read(path: Path) -> None:
        config = DatasetConfig(
            name="table", path=str(path), root=str(folder / "images"), cache=None,
            group="patient" if path.stat().st_size % 2 else None,
        )  # fmt: skip
        load_data(config, square(8))

    def made(draw: random.Random) -> Call:
        rows = [{**row, "split": None} for row in ROWS]
        text = "\n".join(
            ["file,label,patient,weight",
             *(f"{r['file']},{r['label']},{r['patient']},{r['weight']}" for r in rows), ""]
        )  # fmt: skip
        damaged = mutated_text(draw, text, [text]).encode("utf-8", "surrogatepass")
        path = _put(folder / "labels.csv", damaged)
        return lambda: read(path)

    return made


def _idx(folder: Path) -> Callable[[random.Random], Call]:
    """The files of MNIST, packed and not."""
    arrays = _arrays()
    images = b"\0\0\x08\x03" + np.array((24, 8, 8), ">i4").tobytes() + arrays["x_train"].tobytes()
    labels = b"\0\0\x08\x01" + np.array((24,), ">i4").tobytes() + bytes(range(10)) * 2 + bytes(4)
    names = [
        (f"{part}-{what}", content)
        for part in ("train", "t10k")
        for what, content in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels))
    ]

    def read(home: Path) -> None:
        load_data(DatasetConfig(name="fashion_mnist_full", root=str(home), cache=None), square(8))

    def made(draw: random.Random) -> Call:
        home = folder / "idx"
        home.mkdir(exist_ok=True)
        for old in home.iterdir():
            old.unlink()
        for name, content in names:
            _put(home / f"{name}.gz", gzip.compress(content, 1))
        name, content = draw.choice(names)
        if draw.random() < 0.5:
            (home / f"{name}.gz").unlink()
            _put(home / name, mutated_bytes(draw, content, [images, labels]))
        else:
            packed = (home / f"{name}.gz").read_bytes()
            _put(home / f"{name}.gz", mutated_bytes(draw, packed, [content]))
        return lambda: read(home)

    return made


def _cache(folder: Path) -> Callable[[random.Random], Call]:
    path = folder / "cache.bin"
    tensors: dict[str, Any] = {"images": torch.arange(600, dtype=torch.uint8).view(6, 10, 10)}
    write_stored(path, Stored(tensors, {"classes": ["a"]}))
    contents = [path.read_bytes()]

    def read(path: Path) -> None:
        found = read_stored(path)
        if found is not None:
            assert found.tensor("images").sum() >= 0

    return _damaged(read, "cache.bin", contents, folder)


# Weights


def _network() -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network(parse_arch(SMALL), 10).eval()


def weight_contents(folder: Path) -> dict[str, list[bytes]]:
    network = _network()
    state = network.state_dict()
    found: dict[str, list[bytes]] = {}
    for new in (True, False):
        buffer = io.BytesIO()
        torch.save({"model": state, "epoch": 3}, buffer, _use_new_zipfile_serialization=new)
        found.setdefault("pt", []).append(buffer.getvalue())
    save_safetensors(network, folder / "made.safetensors")
    found["safetensors"] = [(folder / "made.safetensors").read_bytes()]
    with suppress(ImportError):
        import onnx
        from onnx import TensorProto, helper

        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
        node = helper.make_node("Identity", ["x"], ["y"])
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
        model = helper.make_model(helper.make_graph([node], "g", [value], [out]))
        found["onnx"] = [model.SerializeToString()]
        assert onnx
    return found


def _weights(folder: Path) -> Callable[[random.Random], Call]:
    kinds = weight_contents(folder)
    every = [each for contents in kinds.values() for each in contents]

    def made(draw: random.Random) -> Call:
        ending = draw.choice(list(kinds))
        content = draw.choice(kinds[ending])
        if ending == "safetensors" and draw.random() < 0.5:
            damaged = _other_head(draw, content)
        else:
            damaged = mutated_bytes(draw, content, every)
        path = _put(folder / f"x.{ending}", damaged)
        if ending == "safetensors" and draw.random() < 0.5:
            return lambda: load(path)
        if draw.random() < 0.3:
            return lambda: load(SMALL, path, 10)
        return lambda: read_state(path)

    return made


def _other_head(draw: random.Random, content: bytes) -> bytes:
    size = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + size])
    head = as_json(mutated_tree(draw, head))
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + content[8 + size :]


def _checkpoint(folder: Path) -> Callable[[random.Random], Call]:
    save_whole({"network": _network().state_dict(), "epoch": 1}, folder / "0.pt")
    return _damaged(read_checkpoint, "0.pt", [(folder / "0.pt").read_bytes()], folder)


def _outcomes(folder: Path) -> Callable[[random.Random], Call]:
    numbers = np.linspace(0, 1, 5, dtype=np.float32)
    right = np.array([True, False, True, True, False])
    answers = np.arange(5, dtype=np.int32)
    Outcomes(numbers, right, numbers, right, answers, answers).save(folder / "outcomes.npz")
    return _damaged(read_outcomes, "outcomes.npz", [(folder / "outcomes.npz").read_bytes()], folder)


# Tables


def _latency(folder: Path) -> Callable[[random.Random], Call]:
    from blocks.latency.units import units_of

    units = {each: 0.1 + n / 100 for n, each in enumerate(units_of(parse_arch(SMALL), 10))}
    table = LatencyTable(
        "cpu", "torch", 1, 1, 0, "2026-01-01", {"torch": "2"}, dict(units),
        [Fitted(SMALL, 10, 1.0, 1.1)],
    )  # fmt: skip
    table.write(folder / "table.json")

    def read(path: Path) -> None:
        found = read_latency(path)
        found.describe(), found.error_lines()

    return _damaged(
        read, "table.json", [(folder / "table.json").read_bytes()], folder, json.loads, as_json
    )


def _benchmark(folder: Path) -> Callable[[random.Random], Call]:
    rows = [
        {"arch": f"r8-i1-s8-[ds_r{n}_k3_s1_e1_c8]-h16", "val_accuracy": 0.5 + n / 10, "seed": n}
        for n in (1, 2, 3)
    ]
    lines = _as_lines(rows)
    text = "arch,val_accuracy\n" + "".join(f"{r['arch']},{r['val_accuracy']}\n" for r in rows)
    accel = (
        "id,e,k,l,se,val_top1,val_top5,macs_m,params_m,latency\n"
        "1,1666666,3333333,1222222,1010101,70.5,90.1,300.5,4.2,1.5\n"
        "2,1446666,3553333,1232222,1110101,71.5,91.1,310.5,4.3,1.6\n"
    )
    makers = [
        _damaged(lambda path: read_benchmark(str(path), num_classes=10), name, [content], folder,
                 *trees)
        for name, content, trees in (
            ("t.jsonl", lines, (_lines, _as_lines)),
            ("t.jsonl.gz", gzip.compress(lines, 1), (None,)),
            ("t.csv", text.encode(), (None,)),
        )
    ]  # fmt: skip
    makers.append(
        _damaged(
            lambda path: read_benchmark(str(path), "accel_nasbench"), "accel.csv",
            [accel.encode()], folder,
        )
    )  # fmt: skip
    return lambda draw: draw.choice(makers)(draw)


def _loads(content: bytes) -> Any:
    return yaml.safe_load(content)


READERS: Final = (
    Reader("spelling", 20, _spelling),
    Reader("mapping", 10, _mapping),
    Reader("overrides", 10, _overrides),
    Reader("composed", 1, _composed),
    Reader("config.yaml", 3, _of_study("config.yaml", StudyFolder.read_config, _loads, as_yaml)),
    Reader("trials.jsonl", 10,
           _of_study("trials.jsonl", lambda s: read_records(s.trials), _lines, _as_lines)),
    Reader("study", 3, _of_study("trials.jsonl", _loaded, _lines, _as_lines)),
    Reader("b0.yaml", 5, _of_study("b0.yaml", read_baseline, _loads, as_yaml)),
    Reader("subject", 5,
           _of_study("b0.yaml", lambda s: read_subject(str(s / "b0.yaml")), _loads, as_yaml)),
    Reader("coefficients", 3, _of_study("coefficients.yaml", read_coefficients, _loads, as_yaml)),
    Reader("references", 3, _of_study("references.yaml", read_reference_names, _loads, as_yaml)),
    Reader("family.csv", 3, _of_study("family/family.csv", read_family, None, as_json)),
    Reader("report's yaml", 3,
           _of_study("b0.yaml", lambda s: read_yaml(s / "b0.yaml"), _loads, as_yaml)),
    Reader("report's json", 3,
           _of_study("start.json", lambda s: read_json(s / "start.json"), json.loads, as_json)),
    Reader("report's csv", 3,
           _of_study("family/family.csv", lambda s: read_table(s / "family/family.csv"), None,
                     as_json)),
    Reader("journal", 3, _journal),
    Reader("archive", 2, _archive),
    Reader("npz", 5, _npz),
    Reader("npz to predict", 5, _npz_to_predict),
    Reader("images", 25, _images),
    Reader("labels", 10, _labels),
    Reader("data set", 1, _data_set),
    Reader("idx", 2, _idx),
    Reader("cache", 5, _cache),
    Reader("weights", 10, _weights),
    Reader("checkpoint", 5, _checkpoint),
    Reader("outcomes", 5, _outcomes),
    Reader("latency", 10, _latency),
    Reader("benchmark", 3, _benchmark),
)  # fmt: skip
"""All of them. A new reader is a line here."""


def input_of(made: Callable[[random.Random], Call], name: str, seed: int, number: int) -> Call:
    """The input of this number, always the same."""
    return made(random.Random(f"{seed} {name} {number}"))


def fault(call: Call) -> str | None:
    """What is wrong with what a call came to; None: nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except CompoundNasError as error:
            said = as_one_line(str(error))  # as a command prints it
            if not said.strip():
                return f"{type(error).__name__} without a word"
            if len(said) > MOST_WORDS:
                return f"a message of {len(said)} letters: {said[:100]}"
            return f"several lines: {said!r}" if len(said.splitlines()) > 1 else None
        except AssertionError as error:
            return f"AssertionError: {error}"
        except Exception as error:
            import traceback

            frames = traceback.extract_tb(error.__traceback__)
            own = [each for each in frames if "site-packages" not in each.filename]
            where = " < ".join(f"{Path(e.filename).name}:{e.lineno}" for e in reversed(own[-4:]))
            return f"{type(error).__name__}: {str(error)[:150]!r} at {where}"
    return None
