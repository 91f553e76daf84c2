"""How a command asks the admin API: where it is, with which key, and what people see of a refusal."""

from __future__ import annotations

import inspect
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import quote, urlencode

import typer

from program.cli.common import ConfigOption, DataDirOption, console, fail, settings_or_exit

TIMEOUT_S = 30.0
UNREACHABLE = 3
"""Exit code where nobody answers; 1 is a refusal, 2 a wrong word."""
WRONG_WORDS = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
ANY_REVISION, NOTHING_THERE = "*", '"0"'
TIMES = ("since", "until", "created_at", "made_at", "expires_at", "revoked_at", "time_ms")
LATEST_S = 1e11
MAY_BE_EMPTY = ("after", "text", "note")
"""Words where nothing has a meaning; any other that is given and empty is a variable that is not set."""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""To the server itself, never by a proxy of the environment: a key goes along."""

Json: TypeAlias = "dict[str, object]"

AdminUrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="Admin API, e.g. http://127.0.0.1:7809; default: of this machine's server",
        envvar="QIANWAN_ADMIN_URL",
    ),
]  # fmt: skip
ApiKeyOption = Annotated[
    str | None,
    typer.Option("--api-key", help="Default: the data folder's first-api-key", envvar="QIANWAN_API_KEY"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON")]


class Admin:
    """The admin API of one process. Every refusal ends the command with its reason."""

    def __init__(
        self,
        url: str | None,
        api_key: str | None,
        config: Path | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self._given = url, api_key, config, data_dir

    @cached_property
    def _place(self) -> tuple[str, str]:
        """(URL, key), looked up when the first thing is asked: a wrong word of the command is said before."""
        url, api_key, config, data_dir = self._given
        if url is None or api_key is None:
            settings = settings_or_exit(config, {"server.data_dir": data_dir})
            folder = settings.server.data_dir
            url = url or f"http://{_address(folder) or settings.control.admin}"
            api_key = api_key or _first_key(folder)
        if not (api_key.isascii() and api_key.isprintable()):
            raise fail("--api-key is no key of this product: they begin with qwk_", 2)
        url = url if "://" in url else f"http://{url}"
        if not url.startswith(("http://", "https://")):
            raise fail(f"{url}: the admin API is asked over http:// or https://", 2)
        return url.rstrip("/").removesuffix("/v1/admin") + "/v1/admin", api_key

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Json:
        return self._ask("GET", path, query)[0]

    def read(self, path: str) -> tuple[Json, str]:
        """What is there, and its ETag."""
        return self._ask("GET", path)

    def revision(self, path: str) -> str:
        """The ETag of what is there, that of nothing where it is not there."""
        return self.read(path)[1] or NOTHING_THERE

    def post(self, path: str, body: Mapping[str, object], revision: str = "") -> Json:
        """`revision`: of what it changes, where it changes a document."""
        headers = {"Idempotency-Key": secrets.token_hex(16)} | ({"If-Match": revision} if revision else {})
        return self._ask("POST", path, body=body, headers=headers)[0]

    def put(self, path: str, body: Mapping[str, object], revision: str = ANY_REVISION) -> Json:
        return self._ask("PUT", path, body=body, headers={"If-Match": revision})[0]

    def delete(self, path: str, revision: str = ANY_REVISION) -> Json:
        return self._ask("DELETE", path, headers={"If-Match": revision})[0]

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Json, str]:
        given = {name: value for name, value in (query or {}).items() if value not in (None, "", 0)}
        base, key = self._place
        url = base + path + (f"?{urlencode(given)}" if given else "")
        try:
            content = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:
            raise fail("nan and inf are no numbers here", 2) from None
        sent = {"X-API-Key": key, "Content-Type": "application/json", **(headers or {})}
        try:
            request = urllib.request.Request(url, content, sent, method=method)
            with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer), answer.headers.get("ETag") or ""
        except urllib.error.HTTPError as error:
            raise fail(_refusal(error), 2 if error.code in WRONG_WORDS else 1) from None
        except (OSError, ValueError) as error:
            raise fail(f"nobody answers at {base}: {error}", UNREACHABLE) from None


def admin_of(
    url: AdminUrlOption = None,
    api_key: ApiKeyOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> Admin:
    return Admin(url, api_key, config, data_dir)


def asks_admin(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose `admin` is the API that is meant; the options that say which stand behind its own."""
    given = inspect.signature(command, eval_str=True)
    make: Callable[..., Admin] = admin_of
    options = inspect.signature(make, eval_str=True).parameters

    def run(context: typer.Context, **words: object) -> None:
        _refuse_empty(context, words)
        meant = {name: words.pop(name) for name in options}
        command(admin=make(**meant), **words)

    own = [each for name, each in given.parameters.items() if name != "admin"]
    asked = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    shown = [asked, *own, *options.values()]
    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__annotations__ = {each.name: each.annotation for each in shown}
    vars(run)["__signature__"] = given.replace(parameters=shown)
    return run


def _refuse_empty(context: typer.Context, words: Mapping[str, object]) -> None:
    for name, word in words.items():
        if word == "" and name not in MAY_BE_EMPTY:
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise fail(f"{name} is empty: name one, or leave it out", 2)


def segment(text: str) -> str:
    """A word as one part of a path."""
    return quote(text, safe="")


def show(found: Json, as_json: bool, title: str, columns: Mapping[str, str], rows: str) -> None:
    """Print an answer: as it came, or as a table of the list `rows` in it. `columns`: heading -> member."""
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in columns:
        table.add_column(heading, overflow="fold")
    listed = found[rows]
    assert isinstance(listed, list)
    for item in listed:
        table.add_row(*(escape(_cell(member, item.get(member))) for member in columns.values()))
    console().print(table)


def show_one(found: Json, as_json: bool) -> None:
    """Print an answer that is one thing: as it came, or a line for each member."""
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        if isinstance(value, dict) and value:
            typer.echo(f"{name}:\n" + "\n".join(f"  {each}: {_cell(each, it)}" for each, it in value.items()))
        else:
            typer.echo(f"{name}: {_cell(name, value)}")


def show_gone(ended: Json, as_json: bool, nothing: str) -> None:
    """What was taken away; where nothing was there that is said in its place, with exit code 1."""
    if as_json or ended.get("revision"):
        show_one(ended, as_json)
    if not ended.get("revision"):
        typer.echo(nothing, err=True)
        raise typer.Exit(1)


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if name in TIMES and isinstance(value, int | float):
        return moment(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def moment(value: float) -> str:
    """A time as people read it and the audit log has it; "" for none. Times of sessions are in milliseconds,
    which no second of these centuries reaches."""
    seconds = value / 1000 if value > LATEST_S else value
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else ""


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        problem = json.load(error)
        later = error.headers.get("Retry-After")
        wait = f" (again in {later} s)" if later else ""
        if error.code == HTTPStatus.PRECONDITION_FAILED:
            return f"{problem['detail']}: somebody else changed it, read it again"
        return f"{problem['title']}: {problem['detail']}{wait}"
    except (ValueError, KeyError, TypeError):
        return f"refused with status {error.code}: is this the admin API?"


def _address(folder: Path) -> str | None:
    from control.process.data_folder import holder

    running = holder(folder)
    return running.addresses.get("admin") if running else None


def _first_key(folder: Path) -> str:
    from control.keys.data_folder import FIRST_KEY_FILE

    try:
        return (folder / FIRST_KEY_FILE).read_text("ascii").strip()
    except (OSError, ValueError):
        raise fail("give --api-key, or QIANWAN_API_KEY: a key with a role", 2) from None
