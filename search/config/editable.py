"""A frozen dataclass as a configuration that YAML and overrides can still be merged into."""

from typing import Any

from omegaconf import DictConfig, OmegaConf


def editable(schema: Any) -> DictConfig:
    """A typed configuration of a dataclass, or of an object of one.

    OmegaConf makes a configuration of a frozen dataclass read-only, group by group; here none is.
    """
    config = OmegaConf.structured(schema)
    _thaw(config)
    assert isinstance(config, DictConfig)
    return config


def _thaw(config: Any) -> None:
    if not isinstance(config, DictConfig) or config._is_none() or config._is_missing():
        return
    OmegaConf.set_readonly(config, None)
    for key in config:
        if not OmegaConf.is_missing(config, key):
            _thaw(config._get_node(key))
