"""Reading settings: command line over environment over TOML file over defaults, and where each value came
from.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from control.settings.build import SettingsError, checked
from control.settings.environment import CONFIG_ENV, flat, from_environment, merge, put
from control.settings.keys import types
from control.settings.model import Settings


class Loaded(NamedTuple):
    """Settings and where each key's value comes from: "default", the file's name, a variable, or "command
    line".
    """

    settings: Settings
    sources: dict[str, str]


def find_config(explicit: Path | None = None) -> Path | None:
    """The settings file: `--config`, else $QIANWAN_CONFIG, else ./qianwan.toml if it is there, else none."""
    if explicit is not None:
        return explicit
    if named := os.environ.get(CONFIG_ENV):
        return Path(named)
    local = Path("qianwan.toml")
    return local if local.is_file() else None


def load(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Read and check everything. `overrides` maps dotted keys ("server.data_dir") to values of the command
    line. Raises SettingsError with all that is wrong, in every layer.
    """
    tree: dict[str, Any] = {}
    given: dict[str, str] = {}
    if config is not None:
        tree = _read(config)
        given = dict.fromkeys(flat(tree), str(config))
    values, variables, problems = from_environment()
    merge(tree, values)
    given |= variables
    for key, value in (overrides or {}).items():
        put(tree, key, value)
        given[key] = "command line"
    settings, wrong = checked(tree, given)
    if problems := [*problems, *wrong]:
        raise SettingsError(problems)
    return Loaded(settings, {key: given.get(key, "default") for key in types()})


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings alone. Raises SettingsError."""
    return load(config, overrides).settings


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text("utf-8"))
    except OSError as error:
        raise SettingsError([f"cannot read {config}: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"{config} is not TOML: {error}"]) from None
