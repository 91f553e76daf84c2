"""`qianwan chat`, `qianwan demo`, `qianwan top`: commands that speak to a server from outside."""

from __future__ import annotations

from typing import Annotated

import typer

UrlOption = Annotated[str, typer.Option(help="HTTP address of the server", envvar="QIANWAN_URL")]
DEFAULT_URL = "http://127.0.0.1:7800"


def chat(
    user: Annotated[str, typer.Argument(help="Who you are")],
    peer: Annotated[str, typer.Argument(help="Whom you talk to: a user, or #room")],
    url: UrlOption = DEFAULT_URL,
    token: Annotated[str | None, typer.Option(help="Token; default: asked for with the API key")] = None,
    api_key: Annotated[str | None, typer.Option(help="API key", envvar="QIANWAN_API_KEY")] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", "-d", help="Data folder of a local server")
    ] = None,
) -> None:
    """Chat in the terminal. Without a token or API key the key files of the local data folder sign one."""
    from program.cli.chat import run_chat

    raise typer.Exit(run_chat(user, peer, url, token, api_key, data_dir))


def demo(
    messages: Annotated[int, typer.Option(min=0, help="Messages two users exchange")] = 1000,
    members: Annotated[int, typer.Option(min=1, help="Members of the chatroom")] = 1000,
    broadcasts: Annotated[int, typer.Option(min=0, help="Messages into the chatroom")] = 200,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data folder")] = False,
) -> None:
    """Start a real server, let real clients talk, and count every message. Exit code 1 if one is lost or
    doubled.
    """
    from program.demo.main import run_demo

    raise typer.Exit(run_demo(messages, members, broadcasts, keep))


def top(
    url: UrlOption = DEFAULT_URL,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between readings")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table and leave")] = False,
) -> None:
    """Where a gateway's time goes: a live table of its stages, read from /metrics."""
    from program.cli.top import run_top

    raise typer.Exit(run_top(url, interval, once))
