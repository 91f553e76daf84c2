"""`qianwan lbs`: why a client is sent where it is sent, and what a lost or an added node would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from control.lbs.simulate import DEVICES_MAX, LbsNodes, Simulation, known, simulate
from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, show
from program.cli.admin.lbs_picture import picture
from program.cli.common import fail

app = typer.Typer(help="Where clients are sent, and why.", no_args_is_help=True)

TransportOption = Annotated[Literal["tcp", "ws"], typer.Option(help="What the client speaks")]
NodesOption = Annotated[
    Path | None, typer.Option(help="File of nodes, as --print-nodes prints it; default: the cluster's")
]
ZoneOption = Annotated[str, typer.Option(help="Zone of the client")]
IspOption = Annotated[str, typer.Option(help="Carrier of the client")]
NODES = {
    "node": "node", "because": "why", "zone": "zone", "isp": "isp", "connections": "connections",
    "capacity": "capacity", "free": "free", "answered": "answered",
}  # fmt: skip
SPREAD = {
    "node": "node", "fair": "fair", "now": "now", "one lost": "without", "one added": "with_added",
    "connections": "connections", "when all have come": "filled", "capacity": "capacity",
}  # fmt: skip
SOURCES = {"source": "source", "zone": "zone", "isp": "isp", "network": "network"}
ADDRESSES = {"address": "host", "port": "port", "transport": "transport", "path": "path", "node": "node"}


@app.command("explain")
@asks_admin
def explain(
    admin: Admin,
    user: Annotated[str, typer.Option(help="User id")] = "",
    device: Annotated[str, typer.Option(help="Device id")] = "",
    address: Annotated[str, typer.Option(help="Address of the client")] = "",
    transport: TransportOption = "tcp",
    zone: ZoneOption = "",
    isp: IspOption = "",
    network: Annotated[str, typer.Option(help="Network type of the client")] = "",
    as_json: JsonOption = False,
) -> None:
    """Say how the answer for a client comes about: who knows where it is, the nodes in the order to try, and
    which were left out and why.
    """
    asked = {"user": user, "device": device, "address": address, "transport": transport}
    found = admin.get("/lbs/explain", {**asked, "zone": zone, "isp": isp, "network": network})
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    where = [f"{name} {found[name]}" for name in ("zone", "isp", "network") if found[name]]
    near = found["near"]
    typer.echo(f"the client: {', '.join(where) or 'nobody knows where it is'}")
    if isinstance(near, list) and near:
        typer.echo(f"near its zone: {', '.join(near)}")
    if found["sources"]:
        show(
            found,
            False,
            "What each source knows of it; the first one that says something counts",
            SOURCES,
            "sources",
        )
    show(found, False, "Gateways in the order to try", NODES, "nodes")
    left_out = found["left_out"]
    if isinstance(left_out, dict):
        for node, reason in left_out.items():
            typer.echo(f"left out: {node} {reason}")
    show(found, False, "Answered", ADDRESSES, "gateways")


@app.command("simulate")
@asks_admin
def simulated(
    admin: Admin,
    devices: Annotated[int, typer.Option(min=100, max=DEVICES_MAX, help="Devices that ask")] = 10_000,
    nodes: Annotated[
        Path | None, typer.Option(help="File of nodes, as `--print-nodes` writes it; default: the cluster's")
    ] = None,
    lose: Annotated[
        str, typer.Option(help="Node that is lost. Default: the one most devices are sent to")
    ] = "",
    html: Annotated[Path | None, typer.Option(help="Write the picture there, a page by itself")] = None,
    print_nodes: Annotated[
        bool, typer.Option("--print-nodes", help="Print the nodes as a file to change")
    ] = False,
    transport: TransportOption = "tcp",
    zone: ZoneOption = "",
    isp: IspOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show how devices spread over the nodes, and who moves when one is lost and when one is added."""
    if nodes is not None:
        told = _read(nodes)
    else:
        told = msgspec.convert(admin.get("/lbs/nodes"), LbsNodes)
    if print_nodes:
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=1).decode())
        return
    try:
        found = simulate(
            known(told.nodes), devices, zone=zone, isp=isp, near=told.near, transport=transport, lose=lose
        )
    except ValueError as error:
        raise fail(str(error)) from None
    if html is not None:
        html.write_text(picture(found), "utf-8")
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
        return
    _show(found)
    if html is not None:
        typer.echo(f"the picture: {html}")


def _read(path: Path) -> LbsNodes:
    try:
        return msgspec.json.decode(path.read_bytes(), type=LbsNodes)
    except OSError as error:
        raise fail(f"{path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise fail(f"{path}: {error}") from None


def _show(found: Simulation) -> None:
    rows: list[object] = []
    for one in found.nodes:
        row = msgspec.structs.asdict(one)
        for name in ("fair", "now", "without", "with_added"):
            row[name] = f"{100 * row[name]:.1f} %"
        rows.append(row)
    table: Json = {"nodes": rows}
    show(
        table,
        False,
        f"{found.devices} devices; {found.lost} is lost, {found.added} is added",
        SPREAD,
        "nodes",
    )
    for what, moved, others in (
        (f"{found.lost} lost", found.moved_by_loss, found.others_moved_by_loss),
        (f"{found.added} added", found.moved_by_addition, found.others_moved_by_addition),
    ):
        typer.echo(f"{what}: {100 * moved:.1f} % of the devices move, {100 * others:.1f} % that need not")
