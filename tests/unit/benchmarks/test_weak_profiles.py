"""The profiles are data: all are there, and a mistake in one is named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.weaknet.profiles import Line, load, rng_of
from benchmarks.weaknet.wire import Order


def test_all_profiles_are_there_with_their_faults() -> None:
    found = load()
    assert {f"P{n}" for n in range(13)} <= set(found)
    assert found["P0"].down == Line()
    assert found["P3"].round_trip_s == pytest.approx(0.84)
    assert found["P4"].up.queue_packets == 20
    assert found["P6b"].down.loss == 0.2
    assert found["P6b"].down.delay_ms == found["P6"].down.delay_ms
    assert found["P8"].down == found["P2"].down
    kinds = {key: profile.fault.kind for key, profile in found.items() if profile.fault}
    assert kinds == {"P8": "blackout", "P9": "address", "P11": "deaf", "P12": "restart"}
    assert found["P9"].then == "P2"
    assert found["P10"].nat_timeouts_s == (9, 6)


def test_the_wire_takes_the_lines_of_every_profile() -> None:
    for profile in load().values():
        order = Order("lines", None, profile.down, profile.up)
        assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order


def test_each_direction_of_each_phone_draws_for_itself() -> None:
    drawn = {rng_of(13, phone, way).random() for phone in range(50) for way in ("down", "up")}
    assert len(drawn) == 100
    assert rng_of(13, 7, "up").random() in drawn
    assert rng_of(14, 7, "up").random() not in drawn


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[A]\nname = "a"\nboth = { loss = 2 }', r"A: loss is a share"),
        ('[A]\nname = "a"\nspeed = 1', r"A: .*unknown field `speed`"),
        ('[A]\nname = "a"\nboth = { speed = 1 }', r"A: no such words of a line: speed"),
        ('[A]\nname = "a"\nlike = "B"', r"A: 'B'"),
        ('[A]\nname = "a"\nthen = "B"', r"A: B stands nowhere above"),
        ('[A]\nname = "a"\nfault = { kind = "x", every_s = 2, for_s = [1] }', r"A: a fault is one of"),
        ('[A]\nname = "a"\nfault = { kind = "deaf", every_s = 2, for_s = [2] }', r"A: a fault lasts"),
    ],
)
def test_a_mistake_in_a_profile_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        load(file)
