"""`qianwan events`: the durable copy of events for other systems."""

from __future__ import annotations

import typer

from program.cli.admin import endpoints, event_tail

app = typer.Typer(help="The copy of events for other systems.", no_args_is_help=True)
app.command()(event_tail.tail)
app.command()(event_tail.lag)
app.add_typer(endpoints.app, name="endpoints")
app.command()(endpoints.replay)
