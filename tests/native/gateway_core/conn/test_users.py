"""The index of users against a dictionary, growing and shrinking; the filter never forgets who is here."""

from __future__ import annotations

import random

from tests.native.gateway_core.faces.conn import Crowd


def test_the_index_finds_every_device_of_every_user() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    crowd, model = Crowd(cap=1 << 16), {}
    everyone: list[tuple[bytes, int]] = []
    for step in range(20_000):
        if everyone and rng.random() < (0.2 if step < 12_000 else 0.8):
            i = rng.randrange(len(everyone))
            everyone[i], everyone[-1] = everyone[-1], everyone[i]
            user, conn = everyone.pop()
            crowd.logout(conn)
            model[user].remove(conn)
        else:
            user = b"user-%d" % rng.randrange(4_000)
            conn = crowd.login(user)
            model.setdefault(user, []).append(conn)
            everyone.append((user, conn))
        if step % 500 == 0:
            for user, conns in model.items():
                found = crowd.devices(user)
                assert sorted(found) == sorted(conns), f"seed {seed}"
                assert crowd.may_hold(user) or not conns, f"seed {seed}"
    assert crowd.index_size()[1] == sum(1 for conns in model.values() if conns)
    for user, conns in model.items():
        assert sorted(crowd.devices(user)) == sorted(conns)


def test_first_and_last_device_are_announced() -> None:
    crowd = Crowd()
    phone, laptop = crowd.login(b"ann"), crowd.login(b"ann")
    assert crowd.announced() == [(b"u/ann", True)]
    crowd.logout(phone)
    assert crowd.announced() == []
    crowd.logout(laptop)
    assert crowd.announced() == [(b"u/ann", False)]


def test_names_that_begin_alike_are_told_apart() -> None:
    crowd = Crowd()
    names = [b"a", b"aa", b"aaaaaaaa", b"aaaaaaaa" * 8, b"aaaaaaaab", b"b" * 64]
    conns = {name: crowd.login(name) for name in names}
    assert {name: crowd.devices(name) for name in names} == {name: [conn] for name, conn in conns.items()}
    assert crowd.devices(b"aaa") == []


def test_the_filter_is_empty_when_all_have_left() -> None:
    crowd = Crowd()
    conns = [crowd.login(b"user-%d" % n) for n in range(500)]
    for conn in conns:
        crowd.logout(conn)
    assert not any(crowd.may_hold(b"user-%d" % n) for n in range(500))
