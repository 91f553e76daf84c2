"""Routes: a dead epoch receives nothing, and re-announcement makes the table exact."""

from __future__ import annotations

import random

import pytest

from control.routing.compact import EXPECTED_TICKS, CompactRoutes


def live(*nodes: int, epoch: int = 10) -> CompactRoutes:
    routes = CompactRoutes()
    for node in nodes:
        routes.live(node, epoch)
    return routes


def test_announce_and_withdraw() -> None:
    routes = live(1, 2)
    routes.announce(1, 10, ["r/a", "u/x"])
    routes.announce(2, 10, ["r/a"])
    assert sorted(routes.gateways("r/a")) == [1, 2]
    routes.withdraw(1, 10, ["r/a", "never"])
    assert routes.gateways("r/a") == (2,)
    assert routes.gateways("nowhere") == ()
    assert routes.size() == 2


@pytest.mark.parametrize("newer", [11, 9], ids=["a higher number", "a lower number"])
def test_a_new_epoch_starts_empty_and_the_old_one_is_not_heeded(newer: int) -> None:
    routes = live(1)
    routes.announce(1, 10, ["u/old"])
    routes.live(1, newer)
    routes.announce(1, newer, ["u/new"])
    assert routes.gateways("u/old") == ()
    routes.announce(1, 10, ["u/ghost"])
    routes.withdraw(1, 10, ["u/new"])
    routes.expire(1, 10)
    assert routes.gateways("u/ghost") == ()
    assert routes.gateways("u/new") == (1,)


def test_an_expired_epoch_is_not_heeded_until_it_is_known_to_live() -> None:
    routes = live(1)
    routes.announce(1, 10, ["u/x"])
    routes.expire(1, 10)
    routes.announce(1, 10, ["u/x"])
    assert routes.gateways("u/x") == ()
    assert routes.live(1, 10), "it had been expired"
    routes.announce(1, 10, ["u/y"])
    assert (routes.gateways("u/x"), routes.gateways("u/y")) == ((), (1,))
    assert not routes.live(1, 10)


def test_a_repetition_makes_it_exact_and_hides_nothing_until_its_end() -> None:
    routes = live(1)
    routes.announce(1, 10, ["a", "b"])
    routes.begin(1, 10)
    routes.announce(1, 10, ["b"])
    assert (routes.gateways("a"), routes.gateways("b")) == ((1,), (1,))
    routes.announce(1, 10, ["c", "d"])
    routes.withdraw(1, 10, ["d"])
    routes.end(1, 10)
    assert [routes.gateways(topic) for topic in "abcd"] == [(), (1,), (1,), ()]
    assert routes.size() == 2


def test_a_repetition_that_begins_again_is_another_one() -> None:
    routes = live(1)
    routes.announce(1, 10, ["a"])
    routes.begin(1, 10)
    routes.announce(1, 10, ["b"])
    routes.begin(1, 10)
    routes.announce(1, 10, ["c"])
    assert routes.size() == 3
    routes.end(1, 10)
    assert [routes.gateways(topic) for topic in "abc"] == [(), (), (1,)]


def test_what_was_expected_and_never_announced_is_forgotten() -> None:
    routes = live(1)
    routes.expect(1, 10, "u/came")
    routes.expect(1, 10, "u/never")
    assert (routes.gateways("u/never"), routes.held(1, 10)) == ((1,), (0, 0))
    routes.announce(1, 10, ["u/came"])
    for _ in range(EXPECTED_TICKS):
        assert routes.gateways("u/never") == (1,)
        routes.tick()
        while routes.work():
            pass
    assert (routes.gateways("u/came"), routes.gateways("u/never")) == ((1,), ())


def test_a_login_in_a_repetition_without_an_end_costs_nobody_what_was_told_before() -> None:
    routes = live(1)
    routes.announce(1, 10, ["u/bob"])
    routes.begin(1, 10)
    routes.expect(1, 10, "u/bob")
    routes.expect(1, 10, "u/never")

    def pass_time() -> None:
        for _ in range(2 * EXPECTED_TICKS):
            routes.tick()
            while routes.work():
                pass

    pass_time()
    assert routes.gateways("u/bob") == (1,)
    routes.announce(1, 10, ["u/bob"])
    routes.end(1, 10)
    pass_time()
    assert (routes.gateways("u/bob"), routes.gateways("u/never")) == ((1,), ())


@pytest.mark.parametrize("seed", range(5))
def test_both_views_agree_after_anything(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    routes = CompactRoutes()
    model: dict[int, tuple[int, set[str]]] = {}
    for _ in range(3000):
        node, topic = rng.randrange(1, 5), f"t{rng.randrange(20)}"
        epoch, topics = model.get(node, (1, set()))
        routes.live(node, epoch)
        action = rng.randrange(10)
        if action < 5:
            routes.announce(node, epoch, [topic])
            topics = topics | {topic}
        elif action < 8:
            routes.withdraw(node, epoch, [topic])
            topics = topics - {topic}
        elif action == 8:
            epoch, topics = rng.getrandbits(48), {topic}
            routes.live(node, epoch)
            routes.announce(node, epoch, [topic])
        else:
            routes.expire(node, epoch)
            epoch, topics = rng.getrandbits(48), set()
        model[node] = (epoch, topics)
        for name in (topic, "t0"):
            assert set(routes.gateways(name)) == {n for n, (_, held) in model.items() if name in held}
    assert routes.size() == sum(len(held) for _, held in model.values())
