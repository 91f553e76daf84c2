"""What every scenario needs: the console, the command line that is recorded, and a fleet logged in to
servers.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console
from rich.status import Status

from benchmarks.figures import SUITES
from benchmarks.loadgen.fleet import Counters, Fleet, Shape
from benchmarks.servers import ServerPlan, Servers

CONNECT_WINDOW = 256  # logins under way in the whole fleet
CONNECT_TIMEOUT_S = 900.0


@dataclass(slots=True)
class Context:
    """One run of a command."""

    words: list[str]
    console: Console = field(default_factory=lambda: Console(stderr=True))
    quiet: bool = False
    _status: Status | None = None

    @property
    def command(self) -> str:
        """The command line as it can be typed again; where the JSON went does not belong to it."""
        kept = list(self.words)
        for option in ("--json", "--json-dir"):
            if option in kept:
                at = kept.index(option)
                del kept[at : at + 2]
        return shlex.join(["qianwan", "bench", *kept])

    def progress(self, what: str, seen: Counters) -> None:
        """Show one line that changes in place."""
        here = seen.get("live", 0) - seen.get("closed", 0)
        self.say(
            f"{what}: {here:,} connected, {seen.get('joined', 0):,} joined, {seen.get('sent', 0):,} sent, "
            f"{seen.get('arrived', 0):,} arrived"
        )

    def say(self, text: str) -> None:
        if self.quiet:
            return
        if self._status is None:
            self._status = self.console.status(text)
            self._status.start()
        self._status.update(text)

    def note(self, text: str) -> None:
        """Print one line that stays."""
        if not self.quiet:
            self.console.print(text, highlight=False)

    def done(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def suite_number(name: str) -> int:
    """The suite's number on the wire. Raises ValueError."""
    if name not in SUITES:
        raise ValueError(f"suite is one of {', '.join(SUITES)}")
    return SUITES[name]


@contextmanager
def stage(
    context: Context, plan: ServerPlan, shape: Shape, login: bool = True
) -> Iterator[tuple[Servers, Fleet]]:
    """Servers and a fleet that knows their addresses and keys; nothing is connected yet."""
    context.say(f"starting {plan.gateways} gateway process(es)")
    with Servers(plan) as servers:
        key_id, public = servers.server_key()
        ready = replace(
            shape,
            gateways=servers.gateways,
            key_id=key_id,
            server_key=public,
            mint=servers.mint() if login else None,
        )
        context.say("starting the generator")
        with Fleet(ready) as fleet:
            try:
                yield servers, fleet
            finally:
                context.done()


def summary(**pairs: object) -> dict[str, Any]:
    """Pairs without None, for optional keys of a figure."""
    return {key: value for key, value in pairs.items() if value is not None}
