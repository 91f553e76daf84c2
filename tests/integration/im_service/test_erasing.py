"""Erasing an account: nothing of what was theirs is left, and nobody else misses anything."""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from frame.constants import CloseCode, RequestCode
from im_service.accounts.erasing_words import KEPT
from tests.integration.im_service.test_kill import backends_gone
from tests.support.everything import MARK, SETTINGS, found, live
from tests.support.im_world import Person, World, open_world, until
from tests.support.store_kit import last_seq

FILTERED = 4
ROOT = Path(__file__).resolve().parents[3]


async def erased(world: World, user: str = "alice") -> dict[str, Any]:
    """Its end, as the application's server sees it."""
    done = world.im.erasing.done
    await world.invoke("account.erase", {"user": user})
    await until(lambda: world.im.erasing.done > done)
    answer: dict[str, Any] = await world.invoke("account.erasure", {"user": user})
    assert answer["state"] == "erased"
    return answer


async def history(world: World, conversation: str) -> list[list[Any]]:
    page = await world.invoke("history", {"conversation": conversation, "reverse": False})
    return list(page["messages"])


async def test_nothing_of_theirs_is_left_in_any_table(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        alice, bob = await live(world)
        assert await found(tmp_path), "there was something to be found"
        receipt = await erased(world)
        assert alice.connection.closed == CloseCode.ACCOUNT_DISABLED
        assert bob.connection.closed is None
        await world.settle()
        assert await found(tmp_path) == []
        assert receipt["kept"] == KEPT
        counts = receipt["erased"]
        assert counts.pop("events") > 5
        assert counts == {
            "conversations": 4, "deletions": 1, "devices": 1, "friends": 1, "groups": 3, "messages": 9,
            "notices": 5, "owned_rooms": 1, "profiles": 1, "push_rules": 1, "push_tokens": 1,
            "queue_entries": 1, "reactions": 1, "receipts": 1, "relations_of_others": 1, "reports": 1,
            "requests": 3, "room_roles": 1,
        }  # fmt: skip


async def test_what_others_said_stays_and_their_history_has_no_gap(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        _, bob = await live(world)
        await erased(world)
        late = await world.login("bob", "tablet")
        talk = (await late.ok("pull", conversation="s/alice:bob", from_seq=1, limit=200))["messages"]
        assert MARK not in repr(talk)
        assert [message[1] for message in talk] == list(range(1, len(talk) + 1))
        said = [message for message in talk if message[6] == 0 and not message[10] & FILTERED]
        assert [message[7]["text"] for message in said] == [f"answer {n}" for n in range(6)]
        gone = [1, 3, 5, 7, 9, 11]
        there = {message[1]: message[10] & FILTERED for message in talk}
        assert all(there[seq] for seq in gone), "placeholders where they spoke"
        notice = bob.connection.messages[-1]
        deletes = [m for m in bob.connection.messages if m[6] == 5 and m[7].get("event") == "delete"]
        told = {seq for m in deletes if m[0] == "s/alice:bob" for seq in m[7]["seqs"]}
        assert set(gone) <= told, ("who is there hears of it", notice)
        room = await history(world, "r/hall")
        assert [message[7]["text"] for message in room if not message[10] & FILTERED] == ["hello"]


async def test_groups_are_told_and_go_on_with_another_owner(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        _, bob = await live(world)
        await erased(world)
        owned = await world.invoke("group.info", {"group": "owned"})
        assert (owned["owner"], owned["members"]) == ("bob", 2)
        assert await world.attempt("group.info", {"group": "alone"}) == RequestCode.GROUP_NOT_FOUND
        events = [(m[0], m[7]["event"]) for m in bob.connection.messages if m[6] == 5]
        assert ("g/team", "group.kick") in events
        assert ("g/owned", "group.transfer") in events
        assert (await world.invoke("room.info", {"room": "own"}))["owner"] == "@system"
        relations = (await bob.ok("relations"))["relations"]
        row = next(relation for relation in relations if relation["user"] == "alice")
        assert (row["friend"], row["alias"]) == (False, "")


async def test_what_was_not_read_is_not_read_after_an_erasure(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        talk = "s/alice:bob"
        await bob.said("u/alice", "one")
        await alice.ok("read", conversation=talk, seq=1)
        await bob.said("u/alice", "two")
        assert (await bob.ok("receipts", conversations=[talk]))["receipts"] == {talk: 1}
        receipt = await erased(world)
        assert receipt["erased"]["conversations"] == 1
        assert (await bob.ok("receipts", conversations=[talk]))["receipts"] == {talk: 1}


async def test_an_id_that_was_erased_is_given_to_nobody_again(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        _, bob = await live(world)
        await world.im.erasing.stop()
        await world.invoke("account.erase", {"user": "alice"})
        assert await world.attempt("account.create", {"user": "alice"}) == RequestCode.CONFLICT
        assert await world.attempt("account.restore", {"user": "alice"}) == RequestCode.CONFLICT
        world.im.erasing.start()
        first = await erased(world)
        assert await world.attempt("account.create", {"user": "alice"}) == RequestCode.CONFLICT
        assert await world.attempt("account.restore", {"user": "alice"}) == RequestCode.CONFLICT
        brought = await world.invoke("account.import", {"accounts": [{"user": "alice"}, {"user": "new"}]})
        assert [line["outcome"] for line in brought["results"]] == ["closed", "created"]
        assert (await world.login("alice", "new")).connection.closed == CloseCode.ACCOUNT_DISABLED
        assert (await bob.send("u/alice"))[0] == RequestCode.NOT_FOUND
        assert [d.device for d in await world.store.devices("alice")] == []
        again = await world.invoke("account.erase", {"user": "alice"})
        assert (again["id"], again["state"]) == (first["id"], "erased"), "there is nothing more to erase"
        listed = await world.invoke("account.erasures", {})
        assert [each["user"] for each in listed["erasures"]] == ["alice"]


async def test_who_is_made_keeps_the_profile_that_they_have(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        alice = await world.login("alice")
        await alice.ok("profile.set", nick="Al", sign="mine")
        made = await world.invoke("account.create", {"user": "alice", "nick": "Another"})
        assert made["created_ms"] > 0
        assert (await alice.ok("profile.get", users=["alice"]))["profiles"][0]["nick"] == "Al"


async def test_the_event_says_what_the_receipt_says(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        await alice.said("u/bob", "x")
        receipt = await erased(world)
        (event,) = [each for each in await world.copies() if each.kind == "account.erased"]
        assert (event.subject, event.data["sha256"]) == ("u/alice", receipt["sha256"])
        signed = {key: value for key, value in event.data.items() if key != "sha256"}
        assert hashlib.sha256(msgspec.json.encode(signed)).hexdigest() == receipt["sha256"]
        assert await world.attempt("account.erase", {"user": "nobody"}) == RequestCode.NOT_FOUND
        assert (await world.invoke("account.erase", {"user": "alice"}))["id"] == receipt["id"]
        assert await world.attempt("account.erasure", {"user": "bob"}) == RequestCode.NOT_FOUND
        gone = [each.data for each in await world.copies() if each.kind == "message.single"]
        assert [(data["seq"], data.get("erased")) for data in gone] == [(1, True)]


async def test_a_large_account_goes_page_by_page_while_others_talk(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        for start in range(0, 450, 50):
            part = range(start, start + 50)
            await asyncio.gather(*(alice.said("u/bob", f"{MARK} {n}") for n in part))
        await world.invoke("account.erase", {"user": "alice"})
        carl: Person = await world.login("carl")
        await carl.said("u/bob", "meanwhile")
        await until(lambda: world.im.erasing.done == 1)
        receipt = await world.invoke("account.erasure", {"user": "alice"})
        assert (receipt["erased"]["messages"], world.im.erasing.pages >= 26) == (450, True)
        assert await found(tmp_path) == []
        assert bob.connection.closed is None


async def one_life(folder: Path, pages: int) -> None:
    """A process that erases, killed after so many pages."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.erase_victim", str(folder),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    while True:
        line = await process.stdout.readline()
        assert line.strip(), (await errors).decode()
        if int(line) >= pages:
            break
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await backends_gone(folder)


async def test_kill_in_the_middle_of_an_erasure_leaves_nothing_undone_and_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    rng = random.Random(seed := random.randrange(1 << 20))
    print(f"seed {seed}")
    async with open_world(tmp_path, SETTINGS) as world:
        await live(world)
        alice = await world.login("alice")
        for start in range(0, 400, 50):
            part = range(start, start + 50)
            await asyncio.gather(*(alice.said(f"u/{('bob', 'carl')[n % 2]}", f"{MARK} {n}") for n in part))
        await world.im.erasing.stop()
        await world.invoke("account.erase", {"user": "alice"})
    for _ in range(3):
        await one_life(tmp_path, rng.randrange(1, 5))
    async with open_world(tmp_path, SETTINGS) as world:
        receipt: dict[str, Any] = {}
        while receipt.get("state") != "erased":
            await asyncio.sleep(0.001)
            receipt = await world.invoke("account.erasure", {"user": "alice"})
        assert (receipt["erased"]["messages"], receipt["erased"]["groups"]) == (409, 3)
        assert (receipt["erased"]["notices"], receipt["erased"]["devices"]) == (5, 2)
        assert await found(tmp_path) == []
        (event,) = [each for each in await world.copies() if each.kind == "account.erased"]
        assert event.data["erased"] == receipt["erased"]
        for other in ("bob", "carl"):
            person = await world.login(other, "late")
            last = await last_seq(world.store, f"s/alice:{other}")
            seqs: list[int] = []
            while not seqs or seqs[-1] < last:
                page = await person.ok(
                    "pull", conversation=f"s/alice:{other}", from_seq=len(seqs) + 1, limit=200
                )
                seqs += [message[1] for message in page["messages"]]
            assert seqs == list(range(1, last + 1))
