"""`qianwan events`: endpoints that get the event copy, replays and dead letters."""

from __future__ import annotations

from typing import Annotated

import typer

from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, segment, show, show_gone, show_one
from program.cli.common import fail

app = typer.Typer(help="Endpoints that get the event copy.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the endpoint")]
UrlArgument = Annotated[
    str, typer.Argument(help="https://..., nats://host:4222/words or kafka://host:9092/topic")
]
KindsOption = Annotated[
    list[str] | None, typer.Option("--kind", help="message.* or a whole kind; several; default: all")
]
EnvOption = Annotated[str, typer.Option("--env", help="Events that name it; '*': all; default: none")]
FormatOption = Annotated[str, typer.Option("--format", help="qianwan or cloudevents")]
BatchOption = Annotated[int, typer.Option("--batch", help="Events of one request")]
LoginOption = Annotated[
    typer.FileText | None,
    typer.Option("--login-file", help="user:password of NATS or Kafka, in this file; -: on standard input"),
]
SecretOption = Annotated[
    typer.FileText | None,
    typer.Option(
        "--secret-file",
        help="Sign by your own (whsec_...), in this file; -: on standard input; default: made",
    ),
]
SECRET_MOST = 4_096
"""Characters of a file with a secret. Beyond: it is another file."""


def _at(name: str, *more: str) -> str:
    return "/".join((f"/endpoints/{segment(name)}", *more))


def _from(file: typer.FileText | None) -> str:
    """What no command line shows to others; "" where no file is named."""
    if file is None:
        return ""
    try:
        text = file.read(SECRET_MOST + 1)
    except ValueError:
        raise fail(f"{file.name} is no text", 2) from None
    if not text.strip() or len(text) > SECRET_MOST:
        raise fail(f"{file.name}: one line with what is secret", 2)
    return text.strip("\r\n")


@app.command("list")
@asks_admin
def list_endpoints(admin: Admin, as_json: JsonOption = False) -> None:
    """The endpoints, and how far each is behind."""
    columns = {
        "endpoint": "name", "url": "url", "state": "state", "why": "why", "kinds": "kinds", "env": "env",
        "behind": "lag_events", "seconds": "lag_seconds", "dead letters": "dead_letters",
    }  # fmt: skip
    show(admin.get("/endpoints"), as_json, "Endpoints", columns, "endpoints")


@app.command("show")
@asks_admin
def show_endpoint(admin: Admin, name: NameArgument, as_json: JsonOption = False) -> None:
    """One endpoint."""
    show_one(admin.get(_at(name)), as_json)


@app.command()
@asks_admin
def add(
    admin: Admin,
    name: NameArgument,
    target: UrlArgument,
    kind: KindsOption = None,
    env: EnvOption = "",
    form: FormatOption = "qianwan",
    batch: BatchOption = 100,
    ed25519: Annotated[bool, typer.Option("--ed25519", help="Sign so that a public key verifies")] = False,
    after: Annotated[str, typer.Option("--after", help="A cursor to begin at; default: now")] = "",
    since_ms: Annotated[
        int, typer.Option("--since-ms", help="A time to begin at, in milliseconds since 1970")
    ] = 0,
    secret: SecretOption = None,
    login: LoginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deliver events there; the secret is printed once."""
    body: Json = {
        "name": name, "url": target, "kinds": kind or [], "env": env, "format": form, "batch": batch,
        "signing": "ed25519" if ed25519 else "hmac", "after": after, "since_ms": since_ms,
        "secret": _from(secret), "login": _from(login),
    }  # fmt: skip
    show_one(admin.post("/endpoints", body), as_json)


@app.command()
@asks_admin
def change(
    admin: Admin,
    name: NameArgument,
    target: UrlArgument,
    kind: KindsOption = None,
    env: EnvOption = "",
    form: FormatOption = "qianwan",
    batch: BatchOption = 100,
    login: LoginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say anew where events go and which; secrets, the place in the log and, unless given, the login stay."""
    body: Json = {"url": target, "kinds": kind or [], "env": env, "format": form, "batch": batch}
    if login is not None:
        body["login"] = _from(login)
    show_one(admin.put(_at(name), body), as_json)


@app.command()
@asks_admin
def remove(admin: Admin, name: NameArgument, as_json: JsonOption = False) -> None:
    """Forget an endpoint, its place and its dead letters."""
    show_gone(admin.delete(_at(name)), as_json, f"There was no endpoint {name}")


@app.command()
@asks_admin
def pause(admin: Admin, name: NameArgument, as_json: JsonOption = False) -> None:
    """Deliver nothing; events wait in the log."""
    show_one(admin.post(_at(name, "pause"), {}), as_json)


@app.command()
@asks_admin
def resume(admin: Admin, name: NameArgument, as_json: JsonOption = False) -> None:
    """Deliver again, also where the program had disabled it."""
    show_one(admin.post(_at(name, "resume"), {}), as_json)


@app.command()
@asks_admin
def rotate(
    admin: Admin,
    name: NameArgument,
    overlap_s: Annotated[int, typer.Option("--overlap-s", help="The old one signs so long too")] = 86_400,
    ed25519: Annotated[bool, typer.Option("--ed25519", help="Sign so that a public key verifies")] = False,
    secret: SecretOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign by a new secret, which is printed once."""
    signing = "ed25519" if ed25519 else "hmac"
    body: Json = {"overlap_s": overlap_s, "signing": signing, "secret": _from(secret)}
    show_one(admin.post(_at(name, "rotate"), body), as_json)


@app.command("test")
@asks_admin
def try_endpoint(admin: Admin, name: NameArgument, as_json: JsonOption = False) -> None:
    """Give it one event now, and show what it answers. Exit code 1: it did not take it."""
    found = admin.post(_at(name, "test"), {})
    show_one(found, as_json)
    if found["verdict"] != "delivered":
        raise fail(f"not taken: {found['reason']}", 1)


@app.command()
@asks_admin
def deliveries(admin: Admin, name: NameArgument, as_json: JsonOption = False) -> None:
    """The latest requests; with --json what they said and were answered."""
    columns = {
        "at": "time_ms", "ms": "took_ms", "verdict": "verdict", "status": "status", "events": "events",
        "first": "first_event", "reason": "reason",
    }  # fmt: skip
    show(admin.get(_at(name, "deliveries")), as_json, "Deliveries", columns, "deliveries")


@app.command()
@asks_admin
def letters(
    admin: Admin,
    name: NameArgument,
    resend: Annotated[bool, typer.Option("--resend", help="Give them to it again, oldest first")] = False,
    as_json: JsonOption = False,
) -> None:
    """Dead letters: events that it did not take. Exit code 1: it does not take one that is given again."""
    if resend:
        found = admin.post(_at(name, "dead-letters", "resend"), {})
        show_one(found, as_json)
        if found["reason"]:
            raise fail(f"not taken: {found['reason']}", 1)
        return
    columns = {
        "event": "event_id", "kind": "kind", "subject": "subject", "reason": "reason", "at": "time_ms",
    }  # fmt: skip
    show(admin.get(_at(name, "dead-letters")), as_json, "Dead letters", columns, "letters")


@asks_admin
def replay(
    admin: Admin,
    name: NameArgument,
    after: Annotated[str, typer.Option("--after", help="A cursor")] = "",
    since_ms: Annotated[int, typer.Option("--since-ms", help="A time, in milliseconds since 1970")] = 0,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the one under way")] = False,
    as_json: JsonOption = False,
) -> None:
    """Deliver once more to an endpoint what lies behind a cursor or a time."""
    if stop:
        show_gone(admin.delete(_at(name, "replay"), ""), as_json, f"No replay to {name} was under way")
        return
    if not after and not since_ms:
        raise fail("say where it begins: --after or --since-ms", 2)
    body: Json = {name: value for name, value in (("after", after), ("since_ms", since_ms)) if value}
    show_one(admin.post(_at(name, "replay"), body), as_json)
