"""The lines of weak networks: the same seed does the same, and each does what its numbers say."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from benchmarks.weaknet.shaping import Counts, Line, Shaper
from benchmarks.weaknet.wire import LinkCounts, Order, Wire

SIZE = 125  # bytes: 1,000 bits


def outcome(line: Line, *, packets: int = 20_000, every_s: float = 0.01, seed: int = 1) -> list[float | None]:
    """Seconds that each of these packets took; None: lost."""
    shaper = Shaper(line, random.Random(seed))
    taken: list[float | None] = []
    for n in range(packets):
        out = shaper.take(n * every_s, SIZE)
        taken.append(out[0] - n * every_s if out else None)
    assert shaper.counts.packets == packets
    assert shaper.counts.lost == taken.count(None)
    return taken


def test_the_same_seed_does_the_same_and_another_does_not() -> None:
    line = Line(delay_ms=100, jitter_ms=20, loss=0.05)
    assert outcome(line, packets=500, seed=7) == outcome(line, packets=500, seed=7)
    assert outcome(line, packets=500, seed=7) != outcome(line, packets=500, seed=8)


@pytest.mark.parametrize("share", [0.0, 0.005, 0.1, 0.2])
def test_as_much_is_lost_as_is_said(share: float) -> None:
    taken = outcome(Line(loss=share))
    assert taken.count(None) / len(taken) == pytest.approx(share, abs=0.01)


def test_delay_and_jitter_stay_in_their_bounds_and_packets_in_their_order() -> None:
    line = Line(delay_ms=100, jitter_ms=20)
    slow = [took for took in outcome(line, packets=2000, every_s=0.1) if took is not None]
    assert min(slow) == pytest.approx(0.08, abs=0.002)
    assert max(slow) == pytest.approx(0.12, abs=0.002)
    assert sum(slow) / len(slow) == pytest.approx(0.1, abs=0.002)
    shaper = Shaper(line, random.Random(1))
    out = [shaper.take(n / 1000, SIZE)[0] for n in range(2000)]
    assert out == sorted(out)


def test_a_rate_spaces_packets_and_a_full_queue_takes_no_more() -> None:
    shaper = Shaper(Line(rate_kbit=10, queue_packets=20), random.Random(1))
    out = [shaper.take(0.0, SIZE) for _ in range(30)]
    assert [at[0] for at in out[:20]] == pytest.approx([0.1 * (n + 1) for n in range(20)])
    assert out[20:] == [()] * 10
    assert shaper.counts.overflowed == 10
    assert shaper.take(1.05, SIZE), "ten have left, so there is room"


def test_a_queue_bounded_by_time_holds_two_seconds() -> None:
    shaper = Shaper(Line(rate_kbit=100, queue_ms=2000), random.Random(1))
    out = [shaper.take(0.0, SIZE) for _ in range(400)]
    last = max(at[0] for at in out if at)
    assert last == pytest.approx(2.0, abs=0.02)
    assert shaper.counts.overflowed == 400 - sum(map(bool, out))


def test_losses_of_a_burst_stand_together() -> None:
    """The share of Gilbert-Elliott, its bad times as long as said, and no loss outside of them."""
    line = Line(burst_loss=0.3, burst_ms=1000, burst_every_ms=15_000)
    taken = outcome(line, packets=200_000)
    share = taken.count(None) / len(taken)
    assert share == pytest.approx(0.3 * 1000 / 15_000, rel=0.15)
    lost = [n * 0.01 for n, took in enumerate(taken) if took is None]
    gaps = [later - earlier for earlier, later in pairwise(lost)]
    bursts = 1 + sum(gap > 0.5 for gap in gaps)  # 50 packets that pass: 0.7 ** 50 within a bad time
    assert bursts == pytest.approx(2000 / 15, rel=0.25)
    assert len(lost) / bursts == pytest.approx(30, rel=0.2)


def test_reordered_packets_are_passed_by_later_ones() -> None:
    shaper = Shaper(Line(delay_ms=50, reorder=0.1, reorder_ms=30), random.Random(1))
    out = [shaper.take(n / 100, SIZE)[0] for n in range(5000)]
    passed = sum(earlier > later for earlier, later in pairwise(out))
    assert passed / len(out) == pytest.approx(0.1, abs=0.02)


def test_doubled_packets_come_twice() -> None:
    shaper = Shaper(Line(duplicate=0.1), random.Random(1))
    twice = sum(len(shaper.take(n / 100, SIZE)) == 2 for n in range(5000))
    assert twice / 5000 == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    "words",
    [{"loss": 1.1}, {"delay_ms": -1}, {"rate_kbit": -1}, {"burst_ms": 10, "burst_every_ms": 10}],
)
def test_a_line_that_cannot_be_is_refused(words: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"share|below 0|less often"):
        Line(**words)


# the wire


def packet(phone: int, port: int, *, up: bool, flags: int = 0x10) -> bytes:
    """IPv4 and TCP headers of a packet between the phone of this number and the server."""
    server, client = bytes((10, 98, phone >> 8, phone & 255)), bytes((10, 97, 0, 2))
    ports = (port, 7000) if up else (7000, port)
    head = bytes((0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0)) + (client + server if up else server + client)
    return head + b"".join(p.to_bytes(2, "big") for p in ports) + bytes(9) + bytes((flags,)) + bytes(6)


def passes(wire: Wire, data: bytes, *, up: bool) -> bool:
    wire.take(0.0, data, up)
    return wire.due(1.0) is not None


def test_a_cut_is_for_connections_of_before_and_of_that_phone() -> None:
    wire = Wire(1, Line(), Line())
    for phone in (1, 2):
        assert passes(wire, packet(phone, 5000, up=True, flags=2), up=True)
    wire.obey(Order("cut", 1))
    for up in (True, False):
        assert not passes(wire, packet(1, 5000, up=up), up=up)
        assert passes(wire, packet(2, 5000, up=up), up=up)
        assert passes(wire, packet(1, 5001, up=up), up=up)
    assert passes(wire, packet(1, 5000, up=True, flags=2), up=True), "the port, used anew"
    assert passes(wire, packet(1, 5000, up=False), up=False)


def test_a_gate_is_shut_in_the_directions_said_and_counts_what_was_sent() -> None:
    wire = Wire(1, Line(), Line())
    wire.obey(Order("gate", None, False, True))
    assert passes(wire, packet(300, 5000, up=True), up=True)
    assert not passes(wire, packet(300, 5000, up=False), up=False)
    wire.obey(Order("gate", 300, True, True))
    assert passes(wire, packet(300, 5000, up=False), up=False)
    counts = wire.obey(Order("counts"))[300]
    assert counts == LinkCounts(Counts(2, 80, 1), Counts(1, 40))


def test_packets_come_out_when_their_time_is_there_also_after_the_lines_changed() -> None:
    wire = Wire(1, Line(delay_ms=500), Line())
    wire.take(1.0, packet(1, 5000, up=False), False)
    wire.obey(Order("lines", None, Line(delay_ms=100), Line()))
    wire.take(1.0, packet(2, 5000, up=False), False)
    assert wire.due(1.05) is None
    assert wire.wait_s(1.05) == pytest.approx(0.05)
    assert wire.due(1.2) == (False, packet(2, 5000, up=False))
    assert wire.due(1.49) is None
    assert wire.due(1.5) == (False, packet(1, 5000, up=False))


def test_what_is_no_packet_is_dropped_and_what_is_no_order_refused() -> None:
    wire = Wire(1, Line(), Line())
    for junk in (b"", bytes(60), packet(1, 5000, up=True)[:19]):
        assert not passes(wire, junk, up=True)
    with pytest.raises(ValueError, match="no such order"):
        wire.obey(Order("dance"))
