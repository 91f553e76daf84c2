"""Profiles of networks, read from profiles.toml: the lines of each direction, and what befalls them."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import msgspec

from benchmarks.weaknet.shaping import Line

FILE = Path(__file__).with_name("profiles.toml")
FAULTS = frozenset({"blackout", "address", "deaf", "mute", "restart"})
"""Nothing passes; nothing passes and the address is another one; nothing towards the phone; nothing from it;
the server is killed and started again."""

LINE_WORDS = frozenset(one.name for one in fields(Line))


@dataclass(frozen=True, slots=True)
class Fault:
    """`for_s` is gone through in turn; the first begins `every_s` after the load."""

    kind: str
    every_s: float
    for_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"a fault is one of {', '.join(sorted(FAULTS))}, not {self.kind!r}")
        if not self.for_s or min(self.for_s) <= 0 or max(self.for_s) >= self.every_s:
            raise ValueError("a fault lasts for longer than nothing and less than `every_s`")


class Words(msgspec.Struct, forbid_unknown_fields=True):
    """What may stand in the file."""

    name: str
    like: str = ""
    then: str = ""
    both: dict[str, int | float] = {}
    down: dict[str, int | float] = {}
    up: dict[str, int | float] = {}
    fault: Fault | None = None
    bulk: bool = False
    nat_timeouts_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """`mtu` and headers are those of Ethernet, as everywhere."""

    key: str
    name: str
    down: Line
    up: Line
    seed: int
    fault: Fault | None = None
    then: str = ""
    bulk: bool = False
    nat_timeouts_s: tuple[float, ...] = ()

    @property
    def round_trip_s(self) -> float:
        """Of an empty packet on an empty line."""
        return (self.down.delay_ms + self.up.delay_ms) / 1000

    def with_seed(self, seed: int) -> Profile:
        return replace(self, seed=seed)


def rng_of(seed: int, phone: int, direction: str) -> random.Random:
    """Each direction of each phone's link draws for itself, so that one more phone changes nothing."""
    return random.Random(f"{seed} {phone} {direction}")


def load(path: Path = FILE) -> dict[str, Profile]:
    """Raises ValueError with the profile and the word that cannot be."""
    tree = tomllib.loads(path.read_text())
    seed = int(tree.pop("seed", 0))
    found: dict[str, Profile] = {}
    for key, body in tree.items():
        try:
            found[key] = _profile(key, msgspec.convert(body, Words), found, seed)
        except (TypeError, ValueError, KeyError, msgspec.ValidationError) as error:
            raise ValueError(f"{path.name}, {key}: {error}") from error
    return found


def _profile(key: str, words: Words, before: Mapping[str, Profile], seed: int) -> Profile:
    base = before[words.like] if words.like else None
    if words.then and words.then not in before:
        raise ValueError(f"{words.then} stands nowhere above")

    def line(way: str, own: Mapping[str, int | float]) -> Line:
        numbers = asdict(getattr(base, way)) if base else {}
        if unknown := {*words.both, *own} - LINE_WORDS:
            raise ValueError(f"no such words of a line: {', '.join(sorted(unknown))}")
        return msgspec.convert({**numbers, **words.both, **own}, Line)

    return Profile(
        key=key,
        name=words.name,
        down=line("down", words.down),
        up=line("up", words.up),
        seed=seed,
        fault=words.fault,
        then=words.then,
        bulk=words.bulk,
        nat_timeouts_s=words.nat_timeouts_s,
    )
