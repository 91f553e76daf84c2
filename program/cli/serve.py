"""`qianwan serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from program.cli.common import ConfigOption, DataDirOption, fail, refuse_files, settings_or_exit


def serve(
    role: Annotated[
        str | None, typer.Option(help="Roles of this process: gateway,im,control (default: all three)")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Address of the HTTP API")] = None,
    admin: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Address of the admin API")] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address of the client port")
    ] = None,
    advertise: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address of the client port that clients are told")
    ] = None,
    loops: Annotated[int | None, typer.Option(help="Loop threads of the gateway; 0: one per core")] = None,
    processes: Annotated[
        int | None, typer.Option(help="Gateway processes to fork; ports and node ids count up")
    ] = None,
    node_id: Annotated[int | None, typer.Option(help="Number of this process in its cluster, 1-255")] = None,
    bus: Annotated[str | None, typer.Option(metavar="URL", help="NATS server that joins the roles")] = None,
) -> None:
    """Run the server. SIGTERM drains it, a second signal ends the waiting, one more ends it unfinished."""
    overrides = {
        "server.roles": role.split(",") if role else None,
        "server.data_dir": data_dir,
        "server.node_id": node_id,
        "control.http": http,
        "control.admin": admin,
        "gateway.listen": listen,
        "gateway.advertise": advertise,
        "gateway.loops": loops,
        "gateway.processes": processes,
        "bus.kind": "nats" if bus else None,
        "bus.nats_url": bus,
    }
    settings = settings_or_exit(config, overrides)
    refuse_files(settings)
    from control.errors import StartError

    if settings.gateway.processes > 1:
        from control.workers.supervisor import run_workers as run
    else:
        from control.process.run import run
    try:
        code = run(settings)
    except StartError as error:
        raise fail(f"cannot start: {error}", 3) from None
    raise typer.Exit(code)
