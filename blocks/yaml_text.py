"""YAML, read so that no text can harm: plain values alone, and no more than was written."""

from typing import Any, Final

import yaml

from blocks.errors import DAMAGED, one_line

MOST_NODES: Final = 1_000_000
"""Values that a text may stand for. Aliases of aliases are a few lines that stand for billions."""


def load_yaml(text: str | bytes) -> Any:
    """What a YAML text of one document holds: mappings, lists, numbers, text, dates.

    Raises:
        yaml.YAMLError: it is not YAML, or stands for more than `MOST_NODES` values.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except DAMAGED as error:  # PyYAML lets dates, numbers and depth be
        raise yaml.YAMLError(one_line(error) or type(error).__name__) from None


def _check_size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for."""
    if id(node) in known:
        if not known[id(node)]:
            raise yaml.YAMLError("a value holds itself")
        return known[id(node)]
    known[id(node)] = 0
    size = 1
    if isinstance(node, yaml.MappingNode):
        size += sum(_check_size(each, known) for pair in node.value for each in pair)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check_size(each, known) for each in node.value)
    if size > MOST_NODES:
        raise yaml.YAMLError(f"its aliases stand for more than {MOST_NODES:,} values")
    known[id(node)] = size
    return size
