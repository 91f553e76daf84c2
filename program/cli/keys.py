"""`qianwan token`, `qianwan keys`: work on the key files of a data folder.

A command that only reads makes nothing, so that a mistyped folder is an error and not a second server.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from program.cli.common import ConfigOption, DataDirOption, console, fail, settings_or_exit

if TYPE_CHECKING:
    from control.audit.entry import Words
    from control.keys.keystore import KeyStore
    from control.settings import Settings

keys_app = typer.Typer(help="Server keys and token keys.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON")]


def token(
    user: Annotated[str, typer.Option(help="User the token is for")],
    device: Annotated[str | None, typer.Option(help="Restrict the token to this device")] = None,
    ttl: Annotated[int | None, typer.Option(help="Life in seconds; default auth.token_ttl_s")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Sign a token with the key files of the data folder and print it; the root key is on standard error."""
    from control.auth.tokens import unread_revocation

    store = _keystore(config, data_dir)
    auth = settings_or_exit(config, {"server.data_dir": data_dir}).auth
    ttl_s = ttl if ttl is not None else auth.token_ttl_s
    if not 1 <= ttl_s <= auth.token_max_ttl_s:
        raise fail(f"--ttl must be between 1 and {auth.token_max_ttl_s}")
    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    with told(), audited(settings, "token.create") as change:
        now = int(time.time())
        revocation = unread_revocation(now, settings.auth.clock_skew_s)
        signed = store.signer().sign(user, now, ttl_s, device, revocation=revocation)
        change.ids = {"user": user, "device": device or "", "ttl_s": ttl_s}
    typer.echo(f"root key: {store.root}", err=True)
    typer.echo(signed)


@keys_app.command("list")
def list_keys(
    config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Show the keys of the data folder: root, server keys, token keys, ticket keys."""
    keys = _keystore(config, data_dir).keys
    rows = [{"kind": "root", "id": keys.root.text, "not_before": 0, "not_after": 0}]
    rows += [
        {"kind": "server", "id": str(key.key_id), "not_before": key.not_before, "not_after": key.not_after}
        for key in keys.servers
    ]
    rows += [
        {"kind": "token", "id": key.kid, "not_before": key.not_before, "not_after": key.not_after}
        for key in keys.tokens
    ]
    rows += [
        {"kind": "ticket", "id": str(key.key_id), "not_before": key.not_before, "not_after": key.not_after}
        for key in keys.tickets
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    print_table(
        "Keys",
        ("kind", "id", "from", "until"),
        [(str(row["kind"]), str(row["id"]), day(row["not_before"]), day(row["not_after"])) for row in rows],
    )


@keys_app.command()
def rotate(
    kind: Annotated[str, typer.Argument(help="server, token or ticket")] = "server",
    overlap: Annotated[
        int | None, typer.Option(min=0, help="Seconds the old keys stay valid; 0: they end now")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a new key; older ones stay valid for the overlap. Running processes take it over by themselves."""
    from control.process.data_folder import holder

    if kind not in ("server", "token", "ticket"):
        raise fail("rotate server, token or ticket", 2)
    store = _keystore(config, data_dir)
    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    now, before = int(time.time()), store.keys
    with told(), audited(settings, f"keys.rotate-{kind}") as change:
        if kind == "server":
            fresh = before.rotate(now, 7 * 86400 if overlap is None else overlap)
            new = str(fresh.current(now).key_id)
            ended = {str(k.key_id) for k in before.servers} - {str(k.key_id) for k in fresh.servers}
        elif kind == "ticket":
            fresh = before.rotate_tickets(now, 86400 if overlap is None else overlap)
            new = str(fresh.opening(now)[0].key_id)
            ended = {str(k.key_id) for k in before.tickets} - {str(k.key_id) for k in fresh.tickets}
        else:
            kept_s = settings.auth.token_max_ttl_s if overlap is None else overlap
            fresh = before.rotate_tokens(now, kept_s)
            new = fresh.current_token(now).kid
            ended = {k.kid for k in before.tokens} - {k.kid for k in fresh.tokens}
        change.ids = {"key": new}
    if settings.auth.keys_secret.reveal() and holder(settings.server.data_dir) is None:
        typer.echo("no server runs on this folder: the cluster gets the key when one starts", err=True)
    gone = f"; ended: {' '.join(sorted(ended))}" if ended else ""
    typer.echo(f"new {kind} key {new}{gone}")


@keys_app.command("new-root")
def new_root(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Make a root key where it is lost and no backup has it: every client must then be given this one."""
    from control.keys.data_folder import KEY_FOLDER, make_key_folder
    from control.keys.server_keys import ServerKeys

    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    folder = settings.server.data_dir
    if not folder.is_dir():
        raise fail(f"there is no data folder {folder}: the first `qianwan serve` makes it and its root key")
    with told(), audited(settings, "keys.new-root"):
        make_key_folder(folder)
        typer.echo(ServerKeys.new_root(folder / KEY_FOLDER).text)


@contextmanager
def told() -> Iterator[None]:
    """What is wrong with the keys, in a line and exit code 1."""
    from control.keys.errors import ApiKeyError, KeyFileError

    try:
        yield
    except (ApiKeyError, KeyFileError, OSError, ValueError) as error:
        raise fail(str(error)) from None


@contextmanager
def audited(settings: Settings, what: str) -> Iterator[Words]:
    """A change of the data folder stands in its audit log, or is not made."""
    import getpass

    from control.audit.entry import BEGUN, Words
    from control.audit.log import AuditUnavailable
    from control.audit.trail import audited_command

    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = ""
    words = Words(what=what, via="cli", outcome=BEGUN, who=f"uid-{os.getuid()}", name=user)
    try:
        with audited_command(settings, words) as change:
            yield change
    except AuditUnavailable as error:
        raise fail(f"not done: {error}") from None


def _keystore(config: Path | None, data_dir: Path | None) -> KeyStore:
    from control.keys.keystore import KeyStore

    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    with told():
        return KeyStore(settings)


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)


def day(seconds: object) -> str:
    """As all commands show a time (admin/client.py)."""
    return (
        datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if isinstance(seconds, int) and seconds
        else ""
    )
