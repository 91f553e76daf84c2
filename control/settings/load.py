"""Reading settings: command line over environment over TOML file over defaults, and where each value came
from.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource, PydanticBaseSettingsSource
from pydantic_settings import SettingsError as SourceError

from control.settings.model import Settings

CONFIG_ENV = "QIANWAN_CONFIG"
# Read by the build, the client commands and the tests: they are no settings of the server.
FOREIGN_ENV = frozenset({CONFIG_ENV, "QIANWAN_BUILD", "QIANWAN_API_KEY", "QIANWAN_URL"})


class SettingsError(Exception):
    """Settings that cannot be used; `lines` says which key, where it came from and why, one problem a
    line.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def find_config(explicit: Path | None = None) -> Path | None:
    """The settings file: `--config`, else $QIANWAN_CONFIG, else ./qianwan.toml if it is there, else none."""
    if explicit is not None:
        return explicit
    if named := os.environ.get(CONFIG_ENV):
        return Path(named)
    local = Path("qianwan.toml")
    return local if local.is_file() else None


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Build Settings. `overrides` maps dotted keys ("server.data_dir") to values of the command line.

    Raises SettingsError; an unknown key in the file or in the environment is an error.
    """
    if problems := _unknown_environment():
        raise SettingsError(problems)
    tree: dict[str, Any] = {}
    layers = _layers(config, overrides or {})
    for layer in layers.values():
        _merge(tree, layer)
    try:
        return _Merged.of(tree)
    except ValidationError as error:
        where = _provenance(layers)
        raise SettingsError([_explain(dict(item), where) for item in error.errors()]) from None


def sources(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Dotted key -> where its value comes from ("default", the file's name, "environment", "command
    line").
    """
    named = _provenance(_layers(config, overrides or {}))
    return {key: named.get(key, "default") for key, _ in walk(Settings.model_construct())}


def walk(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a settings tree as (dotted key, value); secrets stay masked."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from walk(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "********" if isinstance(value, SecretStr) else value


class _Merged(Settings):
    """Settings built from one merged tree: the layers were read before, so the environment is not read
    again.
    """

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[Any],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def of(cls, tree: dict[str, Any]) -> Settings:
        return cls(**tree)


def _layers(config: Path | None, overrides: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Source name -> nested values, weakest first."""
    layers: dict[str, dict[str, Any]] = {}
    if config is not None:
        try:
            layers[str(config)] = tomllib.loads(config.read_text("utf-8"))
        except OSError as error:
            raise SettingsError([f"cannot read {config}: {error.strerror}"]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError([f"{config} is not TOML: {error}"]) from None
    try:
        layers["environment"] = EnvSettingsSource(Settings)()
    except SourceError as error:
        raise SettingsError([f"environment: {error} (lists and maps are written as JSON)"]) from None
    cli: dict[str, Any] = {}
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        cli.setdefault(section, {})[name] = value
    layers["command line"] = cli
    return layers


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _provenance(layers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {
        f"{section}.{name}": source
        for source, layer in layers.items()
        for section, values in layer.items()
        if isinstance(values, Mapping)
        for name in values
    }


def _unknown_environment() -> list[str]:
    known = {f"QIANWAN_{key.replace('.', '__').upper()}" for key, _ in walk(Settings.model_construct())}
    sections = {f"QIANWAN_{name.upper()}" for name in Settings.model_fields}
    return [
        f"environment: {name} is no setting (known ones look like QIANWAN_GATEWAY__LISTEN)"
        for name in sorted(os.environ)
        if name.startswith("QIANWAN_") and name not in known | sections | FOREIGN_ENV
    ]


def _explain(item: dict[str, Any], where: Mapping[str, str]) -> str:
    parts = [str(part) for part in item["loc"]]
    key = ".".join(parts) or "settings"
    source = where.get(".".join(parts[:2]), "")
    reason = (
        "unknown key" if item["type"] == "extra_forbidden" else str(item["msg"]).removeprefix("Value error, ")
    )
    return f"{key}: {reason}" + (f" (from {source})" if source else "")
