"""The account: what was sent, acknowledged, delivered, lost, doubled, by suite and transport."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rich.table import Table

SUITES = ("chachapoly", "aesgcm", "aegis128l")
TRANSPORTS = ("tcp", "ws")
SHOWN = {"chachapoly": "ChaCha20-Poly1305", "aesgcm": "AES-256-GCM", "aegis128l": "AEGIS-128L"}
CARRIED = {"tcp": "native", "ws": "WebSocket"}


class Row(msgspec.Struct):
    """One line of the account. `expected` deliveries, of which `lost` never came; `doubled` came again."""

    scene: str
    suite: str
    transport: str
    clients: int
    sent: int = 0
    acked: int = 0
    expected: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.reordered) and self.sent == self.acked


def account(rows: Iterable[Row]) -> tuple[Table, bool]:
    """The closing table, and whether every message arrived exactly once and in order."""
    table = Table(title="Every message, counted", title_justify="left")
    for column in ("scene", "suite", "transport"):
        table.add_column(column)
    numbers = ("clients", "sent", "acked", "delivered", "lost", "doubled", "reordered")
    for column in numbers:
        table.add_column(column, justify="right")
    total = Row("total", "", "", 0)
    clean = True
    for row in rows:
        clean = clean and row.clean
        style = None if row.clean else "bold red"
        shown = [f"{getattr(row, name):,}" for name in numbers]
        table.add_row(row.scene, SHOWN[row.suite], CARRIED[row.transport], *shown, style=style)
        for name in numbers:
            setattr(total, name, getattr(total, name) + getattr(row, name))
    table.add_section()
    table.add_row("total", "", "", *(f"{getattr(total, name):,}" for name in numbers), style="bold")
    return table, clean
