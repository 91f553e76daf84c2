"""Settings: a TOML file and `QIANWAN_*` environment, every key with its unit, default and reason."""

from control.settings.load import SettingsError, find_config, load_settings, sources
from control.settings.model import Settings

__all__ = ["Settings", "SettingsError", "find_config", "load_settings", "sources"]
