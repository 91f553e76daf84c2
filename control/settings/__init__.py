"""Settings: a TOML file and `QIANWAN_*` environment, every key with its unit, default and reason."""

from control.settings.build import SettingsError
from control.settings.load import find_config, load, load_settings
from control.settings.model import Settings

__all__ = ["Settings", "SettingsError", "find_config", "load", "load_settings"]
