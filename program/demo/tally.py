"""The account: what was sent, acknowledged, delivered, lost, doubled, by suite and transport."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from rich.table import Table

Suite = Literal["chachapoly", "aesgcm", "aegis128l"]
Transport = Literal["tcp", "ws"]
SUITES: tuple[Suite, ...] = ("chachapoly", "aesgcm", "aegis128l")
TRANSPORTS: tuple[Transport, ...] = ("tcp", "ws")
SHOWN = {"chachapoly": "ChaChaPoly", "aesgcm": "AES-GCM", "aegis128l": "AEGIS-128L"}
CARRIED = {"tcp": "native", "ws": "WebSocket"}


class Row(msgspec.Struct):
    """One line of the account. `expected` deliveries, of which `lost` never came; `doubled` came again."""

    scene: str
    suite: Suite
    transport: Transport
    clients: int
    sent: int = 0
    acked: int = 0
    expected: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    swapped: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.swapped) and self.sent == self.acked


def account(rows: Iterable[Row]) -> tuple[Table, bool]:
    """The closing table, and whether every message arrived exactly once and in order."""
    table = Table(title="Every message, counted", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for column in ("scene", "suite", "via"):
        table.add_column(column, no_wrap=True)
    numbers = ("clients", "sent", "acked", "delivered", "lost", "doubled", "swapped")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    total = dict.fromkeys(numbers, 0)
    clean = True
    for row in rows:
        clean = clean and row.clean
        style = None if row.clean else "bold red"
        shown = [f"{getattr(row, name):,}" for name in numbers]
        table.add_row(row.scene, SHOWN[row.suite], CARRIED[row.transport], *shown, style=style)
        for name in numbers:
            total[name] += getattr(row, name)
    table.add_section()
    table.add_row("total", "", "", *(f"{total[name]:,}" for name in numbers), style="bold")
    return table, clean
