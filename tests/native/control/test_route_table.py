"""The compact routing table does what sets do, however its hashes collide and however it grows or shrinks."""

from __future__ import annotations

import random
import secrets

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from control.routing.compact import EXPECTED_TICKS, CompactRoutes, TopicSum

ALL = 0xFFFFFFFFFFFFFFFF
EIGHT_BITS = 0xF00000000000000F
NODES = (1, 2, 3, 255, 65535)
TOPICS = [f"u/{number}" for number in range(40)] + ["r/千万", "g/" + "x" * 120]
nodes, topics = st.sampled_from(NODES), st.sampled_from(TOPICS)


class Told:
    """What one live gateway said: topic -> (said by itself, since it began last)."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.marks: dict[str, tuple[bool, bool]] = {}
        self.due: dict[str, int] = {}
        self.repeating = False

    def told(self) -> set[str]:
        return {topic for topic, (told, _) in self.marks.items() if told}


class RoutesAreSets(RuleBasedStateMachine):
    mask = ALL

    def __init__(self) -> None:
        super().__init__()
        self.routes = CompactRoutes(mask=self.mask)
        self.model: dict[int, Told] = {}
        self.ticks = 0

    @rule(node=nodes, epoch=st.integers(1, 3))
    def live(self, node: int, epoch: int) -> None:
        self.routes.live(node, epoch)
        if node not in self.model or self.model[node].epoch != epoch:
            self.model[node] = Told(epoch)

    @rule(node=nodes)
    def expire(self, node: int) -> None:
        if (told := self.model.pop(node, None)) is not None:
            self.routes.expire(node, told.epoch)

    @rule(node=nodes, names=st.lists(topics, max_size=12))
    def announce(self, node: int, names: list[str]) -> None:
        if told := self.model.get(node):
            self.routes.announce(node, told.epoch, names)
            told.marks.update(dict.fromkeys(names, (True, True)))

    @rule(node=nodes, names=st.lists(topics, max_size=6))
    def withdraw(self, node: int, names: list[str]) -> None:
        if told := self.model.get(node):
            self.routes.withdraw(node, told.epoch, names)
            for name in names:
                told.marks.pop(name, None)

    @rule(node=nodes, name=topics)
    def expect(self, node: int, name: str) -> None:
        if told := self.model.get(node):
            self.routes.expect(node, told.epoch, name)
            if told.marks.get(name, (False, False))[1]:
                return
            told.marks[name] = (False, True)
            told.due[name] = self.ticks + EXPECTED_TICKS

    @rule(node=nodes)
    def begin(self, node: int) -> None:
        if told := self.model.get(node):
            self.routes.begin(node, told.epoch)
            told.marks = {name: (said, False) for name, (said, _) in told.marks.items()}
            told.repeating = True

    @rule(node=nodes)
    def end(self, node: int) -> None:
        if told := self.model.get(node):
            self.routes.end(node, told.epoch)
            if told.repeating:
                told.marks = {name: mark for name, mark in told.marks.items() if mark[1]}
            told.repeating = False

    @rule(node=nodes, name=topics)
    def a_dead_epoch_speaks(self, node: int, name: str) -> None:
        self.routes.announce(node, 99, [name])
        self.routes.expect(node, 99, name)
        self.routes.withdraw(node, 99, TOPICS)
        self.routes.begin(node, 99)
        self.routes.end(node, 99)
        assert self.routes.held(node, 99) is None

    @rule(ticks=st.integers(1, EXPECTED_TICKS))
    def time_passes(self, ticks: int) -> None:
        for _ in range(ticks):
            self.routes.tick()
        self.ticks += ticks
        while self.routes.work():
            pass
        for told in self.model.values():
            for name in [name for name, due in told.due.items() if due <= self.ticks]:
                del told.due[name]
                if told.repeating and name in told.marks:  # its end says what counts
                    told.due[name] = self.ticks + EXPECTED_TICKS
                    continue
                if not told.marks.get(name, (True, True))[0]:
                    del told.marks[name]

    @precondition(lambda self: self.model)
    @rule()
    def a_slice_of_work(self) -> None:
        self.routes.work()

    @invariant()
    def every_topic_has_its_gateways(self) -> None:
        for name in TOPICS:
            expected = {node for node, told in self.model.items() if name in told.marks}
            found = self.routes.gateways(name)
            assert (set(found), len(found)) == (expected, len(expected)), name
        assert self.routes.size() == sum(len(told.marks) for told in self.model.values())

    @invariant()
    def sums_are_those_of_the_gateways(self) -> None:
        for node, told in self.model.items():
            own = TopicSum(node, told.epoch)
            for name in told.told():
                own.add(name)
            held = self.routes.held(node, told.epoch)
            assert held == (None if told.repeating else (own.count, own.digest))


@pytest.mark.parametrize("mask", [ALL, EIGHT_BITS, 0], ids=["64 bits", "8 bits", "one hash for all"])
def test_it_does_what_sets_do(mask: int) -> None:
    machine = type("Machine", (RoutesAreSets,), {"mask": mask})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_of_two_topics_with_one_hash_one_is_withdrawn_and_the_other_still_routed() -> None:
    routes = CompactRoutes(mask=0)
    for node in (1, 2):
        routes.live(node, 10)
        routes.announce(node, 10, ["u/one", "u/other"])
    routes.withdraw(1, 10, ["u/one"])
    assert (routes.gateways("u/one"), set(routes.gateways("u/other"))) == ((2,), {1, 2})
    routes.withdraw(2, 10, ["u/one", "u/one"])
    assert (routes.gateways("u/one"), set(routes.gateways("u/other"))) == ((), {1, 2})


def test_it_grows_and_shrinks_with_what_it_holds() -> None:
    routes, many = CompactRoutes(), 200_000
    routes.live(1, 10)
    names = [f"u/user-{number}" for number in range(many)]
    routes.announce(1, 10, names)
    full = routes.stats()
    assert full["topics"] == full["entries"] == many
    assert full["bytes"] - CompactRoutes().stats()["bytes"] < 32 * many
    assert all(routes.gateways(name) == (1,) for name in names)
    routes.withdraw(1, 10, names[10:])
    assert [len(routes.gateways(name)) for name in names[:12]] == [1] * 10 + [0] * 2
    routes.expire(1, 10)
    while routes.work():
        pass
    empty = routes.stats()
    assert (empty["topics"], empty["entries"]) == (0, 0)
    assert empty["bytes"] < full["bytes"] / 2


@pytest.mark.parametrize("seed", range(3))
def test_lists_of_gateways_of_every_length(seed: int) -> None:
    """From one gateway to more than the buffer of a look-up holds, and back, in any order."""
    rng = random.Random(seed)
    print(f"seed {seed}")
    routes = CompactRoutes()
    gateways = rng.sample(range(1, 65536), 700)
    for node in gateways:
        routes.live(node, 10)
    held: dict[str, set[int]] = {f"r/{number}": set() for number in range(60)}
    for name, at in held.items():
        at.update(rng.sample(gateways, rng.choice((1, 2, 3, 4, 7, 8, 20, 255, 257, 700))))
        for node in at:
            routes.announce(node, 10, [name])
    for name, at in held.items():
        for node in rng.sample(sorted(at), rng.randrange(len(at) + 1)):
            routes.withdraw(node, 10, [name])
            at.remove(node)
        assert set(routes.gateways(name)) == at
    for node in gateways[:350]:
        routes.expire(node, 10)
    while routes.work():
        pass
    for name, at in held.items():
        assert set(routes.gateways(name)) == at - set(gateways[:350])
    assert routes.stats()["topics"] == sum(bool(at - set(gateways[:350])) for at in held.values())


@pytest.mark.parametrize("ends", [True, False])
def test_generations_come_again_and_nothing_with_them(ends: bool) -> None:
    routes = CompactRoutes()
    routes.live(1, 10)
    routes.announce(1, 10, ["u/once"])
    for round_ in range(40_000):
        routes.begin(1, 10)
        routes.announce(1, 10, [f"u/{round_ % 7}"])
        if ends:
            routes.end(1, 10)
            assert routes.gateways("u/once") == ()
            assert routes.size() == 1
    routes.begin(1, 10)
    assert routes.gateways("u/once") == (() if ends else (1,)), "what was not ended counts on"
    routes.end(1, 10)
    routes.expire(1, 10)
    routes.live(1, 11)
    assert routes.size() == 0
    assert not any(routes.gateways(f"u/{number}") for number in range(7))


def test_names_and_keys_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        CompactRoutes(b"short")
    for node in (0, 65536, -1):
        with pytest.raises(ValueError, match="no node id"):
            CompactRoutes().live(node, 1)
    routes = CompactRoutes(secrets.token_bytes(16))
    routes.live(1, 1)
    with pytest.raises(UnicodeEncodeError):
        routes.announce(1, 1, ["u/\ud800"])
    assert routes.size() == 0
