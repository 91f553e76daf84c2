"""`qianwan api-key`: keys of one data folder, by its file; with `--cluster` those of all processes, by the
admin API.

A command that only reads makes nothing, so that a mistyped folder is an error and not a second server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from program.cli.admin.client import (
    Admin,
    AdminUrlOption,
    ApiKeyOption,
    Json,
    admin_of,
    asks_admin,
    segment,
    show,
    show_one,
)
from program.cli.common import ConfigOption, DataDirOption, fail, settings_or_exit
from program.cli.keys import JsonOption, audited, day, print_table, told

if TYPE_CHECKING:
    from control.keys.api_keys import ApiKeys

app = typer.Typer(help="API keys of app servers and operators.", no_args_is_help=True)

ScopeOption = Annotated[
    list[str] | None,
    typer.Option(help="tokens, messages, admin, read; default: all, or none beside a role"),
]
RoleOption = Annotated[
    list[str] | None,
    typer.Option(help="For the admin API: viewer, operator, policy-admin, security-admin; default: none"),
]
TtlOption = Annotated[int, typer.Option(min=0, help="Life in seconds, from now; 0: until revoked")]
ClusterOption = Annotated[
    bool,
    typer.Option(
        "--cluster",
        help="Keys that every process takes, through the admin API; default: those of this data folder",
    ),
]
KeyArgument = Annotated[str, typer.Argument(help="The id: the 12 characters after qwk_")]
NONE = "none"
COLUMNS = ("id", "name", "scopes", "roles", "created", "expires", "state")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for")],
    scope: ScopeOption = None,
    role: RoleOption = None,
    ttl: TtlOption = 0,
    cluster: ClusterOption = False,
    as_json: JsonOption = False,
    url: AdminUrlOption = None,
    api_key: ApiKeyOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make an API key and print it once; only its hash is kept."""
    scopes, roles = _rights(scope, role)
    if cluster:
        wanted: Json = {"name": name, "scopes": scopes, "roles": roles, "ttl_s": ttl}
        found = admin_of(url, api_key, config, data_dir).post("/api-keys", wanted)
        typer.echo(json.dumps(found, indent=1) if as_json else found["text"])
        return
    keys = _of_folder(config, data_dir, create=True)
    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    if settings.etcd.endpoints:
        typer.echo("a key of this data folder: --cluster makes one for all control processes", err=True)
    with told(), audited(settings, "api-key.create") as change:
        key, text = keys.create(name, tuple(scopes), ttl, tuple(roles))
        change.ids = {"key": key.id, "scopes": list(key.scopes), "roles": list(key.roles)}
    typer.echo(json.dumps({"id": key.id, "text": text}, indent=1) if as_json else text)


@app.command()
@asks_admin
def change(
    admin: Admin,
    key_id: KeyArgument,
    name: Annotated[str | None, typer.Option(help="Another name; default: it stays")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help=f"All it has then, or {NONE}; default: they stay")
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(help=f"All it has then, or {NONE}; default: they stay")
    ] = None,
    ttl: Annotated[
        int | None, typer.Option(min=0, help="Seconds from now; 0: until revoked; default: as it was")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a key of the cluster do other things, or end at another time; its secret stays."""
    path = f"/api-keys/{segment(key_id)}"
    found, revision = admin.read(path)
    rights = {
        what: found[what] if given is None else [word for word in given if word != NONE]
        for what, given in (("scopes", scope), ("roles", role))
    }
    ends = found["expires_at"]
    assert isinstance(ends, int)
    left = max(1, ends - int(time.time())) if ends else 0
    wanted: Json = {**rights, "name": name or found["name"], "ttl_s": left if ttl is None else ttl}
    show_one(admin.put(path, wanted, revision or "*"), as_json)


@app.command()
def generate() -> None:
    """Print a key that is kept nowhere, for auth.bootstrap_api_key of an automated installation."""
    from control.keys.api_keys import generate_key

    typer.echo(generate_key())


@app.command("list")
def list_keys(
    cluster: ClusterOption = False,
    as_json: JsonOption = False,
    url: AdminUrlOption = None,
    api_key: ApiKeyOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show the API keys: id, name, scopes, roles, state. Secrets are not kept and cannot be shown."""
    if cluster:
        _list_of_cluster(url, api_key, config, data_dir, as_json)
        return
    keys = _of_folder(config, data_dir)
    with told():
        found = keys.list()
    now = time.time()
    if as_json:
        shown = [
            {
                "id": key.id,
                "name": key.name,
                "scopes": key.scopes,
                "roles": key.roles,
                "usable": key.usable(now),
            }
            for key in found
        ]
        typer.echo(json.dumps(shown, indent=1))
        return
    rows: list[tuple[str, ...]] = [
        (
            key.id, key.name, " ".join(key.scopes), " ".join(key.roles), day(key.created_at),
            day(key.expires_at), key.over(now) or "usable",
        )
        for key in found
    ]  # fmt: skip
    print_table("API keys", COLUMNS, rows)


@app.command()
def revoke(
    key_id: KeyArgument,
    cluster: ClusterOption = False,
    as_json: JsonOption = False,
    url: AdminUrlOption = None,
    api_key: ApiKeyOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Revoke an API key for good; running processes refuse it within a second."""
    if cluster:
        admin = admin_of(url, api_key, config, data_dir)
        show_one(admin.delete(f"/api-keys/{segment(key_id)}"), as_json)
        return
    from control.keys.errors import ApiKeyError, KeyFileError

    keys = _of_folder(config, data_dir)
    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    elsewhere = " in this data folder: a key of the cluster is revoked with --cluster"
    try:
        with audited(settings, "api-key.revoke") as change:
            change.ids = {"key": key_id[:32]}
            key = keys.revoke(key_id)
    except (ApiKeyError, KeyFileError, OSError, ValueError) as error:
        wrong = elsewhere if settings.etcd.endpoints and isinstance(error, ApiKeyError) else ""
        raise fail(f"{error}{wrong}") from None
    typer.echo(
        json.dumps({"id": key.id, "name": key.name}, indent=1)
        if as_json
        else f"revoked {key.id} ({key.name})"
    )


def _rights(scope: list[str] | None, role: list[str] | None) -> tuple[list[str], list[str]]:
    """Every scope, where neither is named."""
    from control.keys.api_keys import SCOPES

    roles = list(role or ())
    return list(scope or (() if roles else SCOPES)), roles


def _list_of_cluster(
    url: str | None, api_key: str | None, config: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    admin = admin_of(url, api_key, config, data_dir)
    every: list[Mapping[str, object]] = []
    after: object = ""
    while True:
        page = admin.get("/api-keys", {"limit": 500, "after": after})
        listed, after = page["keys"], page["after"]
        assert isinstance(listed, list)
        every += [
            {
                **key,
                "created": day(key["created_at"]),
                "expires": day(key["expires_at"]),
                "state": "usable" if key["usable"] else "revoked" if key["revoked_at"] else "expired",
            }
            for key in listed
        ]
        if not after:
            break
    columns = {name: name for name in (*COLUMNS, "kept")}
    show({"keys": every}, as_json, "API keys", columns, "keys")


def _of_folder(config: Path | None, data_dir: Path | None, *, create: bool = False) -> ApiKeys:
    """The API keys of a folder that is there; `create` makes it, and says so."""
    from control.keys.data_folder import make_key_folder, prepare_data_folder
    from control.keys.keystore import api_keys

    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    folder = settings.server.data_dir
    with told():
        if not folder.is_dir():
            if not create:
                raise fail(f"there is no data folder {folder}")
            prepare_data_folder(folder)
            typer.echo(f"made the data folder {folder}", err=True)
        if create:
            make_key_folder(folder)
        return api_keys(settings)
