"""How the pages of this folder become a site: python -m sphinx -W -b html docs site."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

project = "compound-nas"
author = copyright = "The compound-nas authors"
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
html_theme = "furo"
html_title = f"compound-nas {release}"
exclude_patterns = ["conf.py"]
templates_path: list[str] = []

myst_heading_anchors = 3


default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True

ORDER = {
    "Start": ["tutorial", "how-to"],
    "Search": [
        "searching",
        "your-images",
        "spaces-and-budgets",
        "training",
        "scaling-out",
        "report",
    ],
    "Grow and use": ["scaling", "training-the-family", "using-a-network"],
    "Networks": ["blocks", "spelling"],
    "Reference": ["science", "measurements", "python", "api"],
}  # fmt: skip
"""The pages of the site, by the headings of its side bar."""


def contents() -> str:
    """The side bar, which a reader of the folder has as the table of README.md."""
    parts = []
    for heading, pages in ORDER.items():
        listed = "\n".join(pages)
        parts.append(f"```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{listed}\n```")
    return "\n\n".join(["", *parts, ""])


def add_contents(app: Any, name: str, source: list[str]) -> None:
    """Give the first page its side bar; what lies outside of docs/ is not of the site."""
    if name == "README":
        source[0] += contents()
    source[0] = re.sub(r"(?<!!)\[([^\]]*)\]\(\.\./([^)]*)\)", outside, source[0])


def outside(link: re.Match[str]) -> str:
    """A link to a file of the repository: the name of the file, to be found there."""
    text, path = " ".join(link[1].split()), link[2].partition("#")[0]
    return f"{text} (`{path}`)"


def show_examples(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Examples of docstrings stand indented below a blank line: they are code."""
    shown: list[str] = []
    for line in lines:
        begins = line.startswith("    ") and (not shown or not shown[-1].strip())
        earlier = next((each for each in reversed(shown) if each.strip()), "")
        if begins and not earlier.startswith((" ", ":", "..")):
            shown += [".. code-block:: python", ""]
        shown.append(line)
    lines[:] = shown


def setup(app: Any) -> None:
    """Have Sphinx call the functions above."""
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", show_examples, priority=600)
