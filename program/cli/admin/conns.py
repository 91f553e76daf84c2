"""`qianwan conns`, `kick`, `trace`: one user's connections, an end for one, and what a user sends."""

from __future__ import annotations

from typing import Annotated

import typer

from program.cli.admin.client import Admin, JsonOption, asks_admin, segment, show, show_gone, show_one

COLUMNS = {
    "id": "id", "user": "user", "device": "device", "node": "node", "address": "address", "since": "since",
    "idle s": "idle_s", "queued": "queued_bytes", "suite": "suite", "flags": "flags",
}  # fmt: skip


@asks_admin
def conns(
    admin: Admin,
    user: Annotated[str, typer.Option(help="Of this user")] = "",
    device: Annotated[str, typer.Option(help="Of this device")] = "",
    address: Annotated[str, typer.Option(help="From this address, or network as CIDR")] = "",
    node: Annotated[str, typer.Option(help="At this gateway")] = "",
    topic: Annotated[str, typer.Option(help="In this topic, as r/room or g/group")] = "",
    conn: Annotated[str, typer.Option("--id", help="This one alone")] = "",
    after: Annotated[str, typer.Option(help="Go on behind a page")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    as_json: JsonOption = False,
) -> None:
    """Find connections, on all gateways."""
    if conn:
        show_one(admin.get(f"/conns/{segment(conn)}"), as_json)
        return
    query = {
        "user": user, "device": device, "address": address, "node": node, "topic": topic, "after": after,
        "limit": limit,
    }  # fmt: skip
    found = admin.get("/conns", query)
    show(found, as_json, "Connections", COLUMNS, "conns")
    if not as_json and found["after"]:
        typer.echo(f"more: --after {found['after']}")
    silent = found["silent"]
    if not as_json and isinstance(silent, list) and silent:
        typer.secho(f"no answer from {', '.join(silent)}", fg=typer.colors.YELLOW, err=True)


@asks_admin
def kick(
    admin: Admin,
    conn: Annotated[str, typer.Argument(help="Id of a connection, as `qianwan conns` shows it")],
    text: Annotated[str, typer.Option(help="The client is told")] = "",
    as_json: JsonOption = False,
) -> None:
    """End one connection."""
    show_one(admin.post(f"/conns/{segment(conn)}/kick", {"text": text}), as_json)


@asks_admin
def trace(
    admin: Admin,
    user: Annotated[str, typer.Argument(help="Whose frames are logged: kinds and sizes, never a body")] = "",
    seconds: Annotated[int, typer.Option("--for", min=1, help="Seconds")] = 600,
    end: Annotated[bool, typer.Option("--end", help="End it now")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let every gateway log one user's frames for a while; without a user: show who is traced."""
    if not user:
        columns = {"user": "user", "until": "until", "by": "by"}
        show(admin.get("/traces"), as_json, "Traces", columns, "traces")
    elif end:
        show_gone(admin.delete(f"/traces/{segment(user)}"), as_json, f"{user} was not traced")
    else:
        show_one(admin.put(f"/traces/{segment(user)}", {"for_s": seconds}), as_json)
