"""Numbered SQL files, one folder per engine, applied in order and never changed afterwards.

A number may be missing: two changes that are made side by side each take one, and come in either order. The
one that comes later is applied later, so neither may build on the other.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from im_service.storage.errors import SchemaError, SchemaTooNew

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class Migration(NamedTuple):
    version: int
    name: str
    checksum: str
    sql: str


def load(engine: str, folder: Path | None = None) -> list[Migration]:
    """Migrations of `sqlite` or `postgres`. SchemaError: none is there, the first is missing, a number
    is doubled."""
    found: list[Migration] = []
    folder = folder or Path(__file__).parent / engine
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise SchemaError(f"{path.name}: migrations are named 0001_what.sql")
        sql = path.read_text(encoding="utf-8")
        checksum = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(int(match[1]), path.name, checksum, sql))
    if not found:
        raise SchemaError(f"no migrations in {folder}: the installation is incomplete, install it again")
    numbers = [migration.version for migration in found]
    if numbers[0] != 1 or len(set(numbers)) != len(numbers):
        raise SchemaError(f"migrations of {engine} are not numbered from 1, each once")
    return found


def pending(known: list[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """What is left to apply, given version -> checksum of what the database has."""
    newest = max(applied, default=0)
    if applied.keys() - {migration.version for migration in known}:
        raise SchemaTooNew(
            f"the data has schema {newest}, this program knows {known[-1].version}: run the newer program, "
            "or restore a backup made before the upgrade"
        )
    for migration in known:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise SchemaError(f"{migration.name} was changed after it had been applied")
    return [migration for migration in known if migration.version not in applied]
