"""The body of a REPORT, which a client chooses: it is read as a whole or refused as unreadable, and what is
read chooses a row, a cell and a version and breaks none of them."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from control.policy import model, survival
from control.policy.model import NETS, UNREADABLE, Match, Report
from control.policy.survival import CELLS_MOST, Cells
from frame.constants import REPORT_MAX

WATCHED = (Path(model.__file__), Path(survival.__file__))
_decode = msgspec.msgpack.Decoder(Report).decode
_cells = Cells()
_rules = (
    Match(version="5.2"),
    Match(version="4..5.1", net=["4g"]),
    Match(carrier=["46000"], platform=["ios"]),
)


def one(data: bytes) -> str:
    """Says what became of it."""
    try:
        report = _decode(data[:REPORT_MAX])
    except UNREADABLE:
        return "unreadable"
    client = report.client(data[0])
    assert client.net in NETS
    assert all(len(word) <= model.WORD_BYTES for word in (client.carrier, client.region, client.version))
    assert hash(client) == hash(report.client(data[0]))
    assert 0 <= max(report.policy_rev, 0) & 0xFFFFFFFF < 1 << 32
    matched = [model.matches(rule, client) for rule in _rules]
    if report.last is not None:
        cell = _cells.of(client.net, client.carrier)
        cell.death(report.last.gap_ms / 1000)
        cell.censored(report.last.alive_ms / 1000)
        assert len(cell.died) <= len(survival.BOUNDS)
        assert len(cell.lived) <= len(survival.BOUNDS)
    assert len(_cells.by_name) <= CELLS_MOST + len(NETS) + 1
    assert msgspec.json.decode(msgspec.json.encode(client), type=model.Client) == client
    return f"{client.net} {matched} {report.last is not None} {math.isfinite(report.interval_s)}"
