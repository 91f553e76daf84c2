"""`qianwan events`: the durable copy of events for other systems."""

from __future__ import annotations

import typer

from program.cli.admin import event_tail

app = typer.Typer(help="The copy of events for other systems.", no_args_is_help=True)
app.command()(event_tail.tail)
app.command()(event_tail.lag)
