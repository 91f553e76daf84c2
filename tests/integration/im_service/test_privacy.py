"""What is said about a message reaches those who may see it, and nobody else: live and in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.im_world import Person, World, open_world

TEAM = "g/team"
SECRET = "secret"


async def team(world: World, **modes: Any) -> dict[str, Person]:
    people = {name: await world.login(name) for name in ("olga", "bob", "carl", "dora", "nina")}
    members = ["bob", "carl", "dora"]
    await people["olga"].forced("group.create", group="team", members=members, join="free", **modes)
    return people


def heard(person: Person, since: int = 0) -> str:
    """Everything that came live about messages."""
    live = [m for m in person.connection.messages if m[6] == 5 and m[7]["event"] in ("recall", "edit")]
    return str(live[since:]) + str([e for e in person.connection.events if e[0] == 2])


async def told(person: Person) -> list[str]:
    """Events in the log as this user pulls it."""
    page = await person.ok("pull", conversation=TEAM, from_seq=1, limit=200)
    return [m[7]["event"] for m in page["messages"] if m[6] == 5 and not m[10] & 4]


AIMS = [
    ({"ids": ["bob"]}, {"bob"}, set()),
    ({"ids": ["bob"], "newJoinersSee": True}, {"bob"}, {"nina"}),
    ({"ids": ["carl", "dora", "olga"], "inclusive": False}, {"bob"}, set()),
    ({"ids": ["carl", "dora", "olga"], "inclusive": False, "newJoinersSee": True}, {"bob"}, {"nina"}),
]


@pytest.mark.parametrize(("target", "meant", "later"), AIMS)
async def test_only_the_meant_learn_of_edits_reactions_and_recalls(
    tmp_path: Path, target: dict[str, Any], meant: set[str], later: set[str]
) -> None:
    async with open_world(tmp_path) as world:
        people = await team(world)
        carl, bob = people["carl"], people["bob"]
        target = {**target, "ids": [name for name in target["ids"] if name != "carl"]}
        _, seq = await carl.said(TEAM, "to few", options={"target": target, "receipt": True})
        await people["nina"].ok("group.join", group="team")
        await carl.ok("edit", conversation=TEAM, seq=seq, body={"text": SECRET})
        await bob.ok("react", conversation=TEAM, seq=seq, kind="+1")
        await bob.ok("receipt.report", conversation=TEAM, seqs=[seq])
        assert "edited" in heard(bob)
        assert SECRET in heard(bob)
        sees = {"carl", *meant, *later}
        for name, person in people.items():
            assert (SECRET in heard(person)) == (name in sees), name
            assert ("reaction" in heard(person)) == (name in sees - {"bob"}), name
            assert ("edit" in await told(person)) == (name in sees), name
            found = (await person.ok("reactions", conversation=TEAM, seqs=[seq]))["reactions"]
            counts = (await person.ok("receipt.counts", conversation=TEAM, seqs=[seq]))["counts"]
            assert bool(found) == bool(counts) == (name in sees), name
            if name not in sees:
                calls: list[tuple[str, dict[str, Any]]] = [
                    ("react", {"kind": "+1"}), ("recall", {}), ("receipt.list", {}),
                    ("edit", {"body": {"text": "x"}}),
                ]  # fmt: skip
                for call, args in calls:
                    assert (await person.call(call, conversation=TEAM, seq=seq, **args))[0] == 404
        await carl.ok("recall", conversation=TEAM, seq=seq, text="sorry")
        for name, person in people.items():
            assert ("sorry" in heard(person)) == (name in sees), name
            assert ("recall" in await told(person)) == (name in sees), name


async def test_newcomers_of_a_group_without_history_learn_nothing_of_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        people = await team(world, history=False)
        bob, nina = people["bob"], people["nina"]
        _, seq = await bob.said(TEAM, "before")
        await nina.ok("group.join", group="team")
        await bob.ok("edit", conversation=TEAM, seq=seq, body={"text": SECRET})
        await bob.ok("recall", conversation=TEAM, seq=seq)
        assert SECRET in heard(people["carl"])
        assert {"edit", "recall"} <= set(await told(people["carl"]))
        assert "edit" not in heard(nina)
        assert "recall" not in heard(nina)
        assert not {"edit", "recall"} & set(await told(nina))
        assert (await nina.call("react", conversation=TEAM, seq=seq, kind="+1"))[0] == 404


async def test_what_stays_with_the_sender_is_not_told_to_the_group(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        people = await team(world)
        bob = people["bob"]
        desk = await world.login("bob", "desk", 4)
        _, seq = await bob.said(TEAM, "mine", options={"receiverNoSense": True})
        await bob.ok("edit", conversation=TEAM, seq=seq, body={"text": SECRET})
        assert SECRET in heard(desk)
        assert not any(SECRET in heard(people[name]) for name in ("olga", "carl", "dora"))
        _, seq = await bob.said(TEAM, "not on my desk", options={"sendersync": False})
        await bob.ok("edit", conversation=TEAM, seq=seq, body={"text": "elsewhere"})
        assert "elsewhere" in heard(people["carl"])
        assert "elsewhere" not in heard(desk)


async def test_everybody_hears_through_the_group_with_one_publication(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        people = await team(world)
        _, seq = await people["bob"].said(TEAM, "for all")
        world.downlink.published.clear()
        await people["bob"].ok("recall", conversation=TEAM, seq=seq)
        assert [topic for topic, *_ in world.downlink.published] == [TEAM]
