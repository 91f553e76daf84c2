"""Recall, deletion, edit, reactions, receipts: what everybody shows afterwards, away or not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from frame.constants import FrameType
from im_service.ports import ERASES, NORMAL
from im_service.sending.hooks import Action, Draft, Verdict
from im_service.settings import DAY_MS, ImSettings
from tests.support.im_ports import ScriptedHook
from tests.support.im_world import open_world
from tests.support.store_kit import count

CHAT = "s/alice:bob"
MSG, EVENT = FrameType.MSG, FrameType.EVENT


async def test_a_recall_leaves_a_tombstone_everywhere_and_corrects_unread(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        desk = await world.login("alice", "desk", 4)
        _, seq = await alice.said("u/bob", "regret")
        await alice.said("u/bob", "fine")
        assert (await bob.ok("unread"))["total"] == 2
        assert (await alice.ok("recall", conversation=CHAT, seq=seq, text="sorry"))["changed"]
        assert (await bob.ok("unread"))["total"] == 1
        for person in (alice, bob, desk):
            notice = person.connection.messages[-1]
            assert (notice[6], notice[7]["event"], notice[7]["seq"]) == (5, "recall", seq)
            assert notice[7]["operator"] == "alice"
        shown = (await bob.ok("history", conversation=CHAT))["messages"]
        assert [(m[1], m[10] & 1) for m in shown] == [(2, 0), (1, 1)]
        assert "regret" not in str(shown)
        assert not (await alice.ok("recall", conversation=CHAT, seq=seq))["changed"]


async def test_a_device_that_was_away_learns_of_a_recall_in_order(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await bob.logout()
        server_id, _ = await alice.said("u/bob", "regret")
        await alice.ok("recall", conversation=CHAT, server_id=server_id)
        bob = await world.login("bob")
        got = (await bob.catch_up())[CHAT]
        assert [(m[1], m[10], m[6]) for m in got] == [(1, 1, 0), (2, 0, 5)]
        assert "regret" not in str(got)


async def test_the_window_closes_and_the_server_may_ignore_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        _, seq = await alice.said("u/bob", "too late")
        world.clock.advance(120_001)
        assert (await alice.call("recall", conversation=CHAT, seq=seq))[0] == 508
        assert (await alice.call("recall", conversation=CHAT, seq=seq, ignore_window=True))[0] == 403
        assert (await bob.call("recall", conversation=CHAT, seq=seq))[0] == 403
        eve = await world.login("eve")
        assert (await eve.call("recall", conversation=CHAT, seq=seq))[0] == 403
        assert (await alice.call("recall", conversation=CHAT, seq=99))[0] == 404
        assert (await world.invoke("recall", {"conversation": CHAT, "seq": seq}))["changed"]
        _, seq = await alice.said("u/bob", "much too late")
        world.clock.advance(8 * DAY_MS)
        args = {"conversation": CHAT, "seq": seq, "ignore_window": True}
        assert (await world.invoke("recall", args))["changed"]


async def test_in_groups_managers_recall_what_members_said(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        olga, bob, carl = [await world.login(name) for name in ("olga", "bob", "carl")]
        await olga.forced("group.create", group="team", members=["bob", "carl"])
        await olga.ok("group.role", group="team", users=["bob"], role="manager")
        _, by_olga = await olga.said("g/team", "from the owner")
        _, by_carl = await carl.said("g/team", "from a member")
        world.clock.advance(3 * DAY_MS)
        assert (await carl.call("recall", conversation="g/team", seq=by_olga))[0] == 403
        assert (await bob.call("recall", conversation="g/team", seq=by_olga))[0] == 403
        assert (await bob.ok("recall", conversation="g/team", seq=by_carl))["changed"]
        assert carl.connection.messages[-1][7]["operator"] == "bob"


async def test_a_one_sided_recall_leaves_the_sender_their_copy(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        _, seq = await alice.said("u/bob", "only mine")
        assert (await alice.ok("recall", conversation=CHAT, seq=seq, mode="receiver"))["changed"]
        assert bob.connection.messages[-1][7] == {"event": "delete", "seqs": [seq], "keeps": "alice"}
        assert (await bob.ok("history", conversation=CHAT))["messages"] == []
        assert [m[7] for m in (await alice.ok("history", conversation=CHAT))["messages"]] == [
            {"text": "only mine"}
        ]
        assert (await bob.ok("unread"))["total"] == 0


async def test_in_a_group_a_one_sided_recall_leaves_the_sender_their_copy(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        olga, bob, carl = [await world.login(name) for name in ("olga", "bob", "carl")]
        await olga.forced("group.create", group="team", members=["bob", "carl"])
        _, seq = await bob.said("g/team", "only mine", options={"receipt": True})
        where = {"conversation": "g/team", "seq": seq, "mode": "receiver"}
        assert (await carl.call("recall", **where))[0] == 403
        assert (await carl.ok("unread"))["total"] == 1
        assert (await bob.ok("recall", **where))["changed"]
        assert not (await bob.ok("recall", **where))["changed"]
        told = [m[7] for m in carl.connection.messages if m[7].get("event") == "delete"]
        assert told == [{"event": "delete", "seqs": [seq], "keeps": "bob"}]
        assert (await carl.ok("unread"))["total"] == 0
        for person, sees in ((olga, 0), (bob, 1), (carl, 0)):
            shown = (await person.ok("get", conversation="g/team", seqs=[seq]))["messages"]
            assert len(shown) == sees


async def test_a_silent_deletion_leaves_nothing_to_show(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        _, seq = await alice.said("u/bob", "never was")
        assert (await alice.call("recall", conversation=CHAT, seq=seq, mode="silent"))[0] == 403
        assert (await world.invoke("recall", {"conversation": CHAT, "seq": seq, "mode": "silent"}))["changed"]
        for person in (alice, bob):
            assert person.connection.messages[-1][7] == {"event": "delete", "seqs": [seq]}
            assert (await person.ok("history", conversation=CHAT))["messages"] == []
        assert (await bob.ok("unread"))["total"] == 0


async def test_a_deletion_for_me_is_mine_alone_on_all_my_devices(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        desk = await world.login("bob", "desk", 4)
        _, seq = await alice.said("u/bob", "away with it")
        assert (await bob.ok("delete", conversation=CHAT, seqs=[seq]))["deleted"] == 1
        assert (await bob.ok("delete", conversation=CHAT, seqs=[seq, seq + 1, 99]))["deleted"] == 0
        for person in (bob, desk):
            (told,) = [m for m in person.connection.messages if m[6] == 5]
            assert (told[1], told[4], told[7]) == (2, "bob", {"event": "delete", "seqs": [seq]})
        assert not [m for m in alice.connection.messages if m[6] == 5]
        (kept,) = (await alice.ok("pull", conversation=CHAT, from_seq=2))["messages"]
        assert (kept[7], kept[10]) == (None, 4)


async def test_the_notice_of_a_deletion_names_what_was_there_and_stays(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        for text in "ab":
            await alice.said("u/bob", text)
        await bob.ok("delete", conversation=CHAT, seqs=[2, 3, 4, 2])
        assert bob.connection.messages[-1][7] == {"event": "delete", "seqs": [2]}
        assert (await bob.ok("delete", conversation=CHAT, seqs=[3]))["deleted"] == 0
        await alice.ok("recall", conversation=CHAT, seq=1)
        assert (await bob.ok("delete", conversation=CHAT, seqs=[4]))["deleted"] == 0
        got = (await bob.catch_up())[CHAT]
        assert [(m[1], m[7]["event"]) for m in got if m[6] == 5] == [(3, "delete"), (4, "recall")]
        assert await count(world.store) == 4


async def test_an_edit_shows_everywhere_and_keeps_its_versions_for_the_server(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        _, seq = await alice.said("u/bob", "frist")
        assert (await bob.call("edit", conversation=CHAT, seq=seq, body={"text": "mine now"}))[0] == 403
        assert (await alice.call("edit", conversation=CHAT, seq=seq, body={"no": 1}))[0] == 414
        assert (await alice.ok("edit", conversation=CHAT, seq=seq, body={"text": "first"}))["version"] == 1
        assert bob.connection.notices("edited")[0]["body"] == {"text": "first"}
        got = (await bob.ok("get", conversation=CHAT, seqs=[seq]))["messages"]
        assert (got[0][7], got[0][10]) == ({"text": "first"}, 2)
        kept = await world.invoke("versions", {"conversation": CHAT, "seq": seq})
        assert len(kept["versions"]) == 1
        assert (await alice.call("versions", conversation=CHAT, seq=seq))[0] == 404
        await alice.ok("recall", conversation=CHAT, seq=seq)
        assert (await alice.call("edit", conversation=CHAT, seq=seq, body={"text": "again"}))[0] == 404
        assert (await world.invoke("versions", {"conversation": CHAT, "seq": seq}))["versions"] == []


async def test_reactions_are_one_per_kind_and_user(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        _, seq = await alice.said("u/bob", "nice?")
        assert (await bob.ok("react", conversation=CHAT, seq=seq, kind="+1"))["changed"]
        assert not (await bob.ok("react", conversation=CHAT, seq=seq, kind="+1"))["changed"]
        assert alice.connection.notices("reaction")[0]["kind"] == "+1"
        found = (await alice.ok("reactions", conversation=CHAT, seqs=[seq]))["reactions"]
        assert [r[:3] for r in found] == [[seq, "bob", "+1"]]
        assert (await bob.ok("react", conversation=CHAT, seq=seq, kind="+1", on=False))["changed"]
        assert (await alice.ok("reactions", conversation=CHAT, seqs=[seq]))["reactions"] == []


async def test_nobody_covers_a_message_with_reactions(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(reactions_per_user=3, reactions_per_message=4)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        _, seq = await alice.said("u/bob", "nice?")
        for kind in "abc":
            await bob.ok("react", conversation=CHAT, seq=seq, kind=kind)
        code, answer = await bob.call("react", conversation=CHAT, seq=seq, kind="d")
        assert (code, answer[0]) == (409, "a user has 3 reactions to a message at most")
        await alice.ok("react", conversation=CHAT, seq=seq, kind="a")
        assert (await alice.call("react", conversation=CHAT, seq=seq, kind="b"))[0] == 409
        assert len(alice.connection.notices("reaction")) == 3, "what was refused is told to nobody"
        await bob.ok("react", conversation=CHAT, seq=seq, kind="c", on=False)
        await bob.ok("react", conversation=CHAT, seq=seq, kind="d")


async def test_a_single_chats_receipt_only_moves_forward(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        desk = await world.login("bob", "desk", 4)
        for text in "abc":
            await alice.said("u/bob", text)
        await bob.ok("read", conversation=CHAT, seq=2)
        await bob.ok("read", conversation=CHAT, seq=1)
        assert [n["seq"] for n in alice.connection.notices("receipt")] == [2]
        assert [n["seq"] for n in desk.connection.notices("read")] == [2]
        assert (await alice.ok("receipts", conversations=[CHAT]))["receipts"] == {CHAT: 2}
        assert (await bob.ok("unread"))["conversations"] == {CHAT: 1}


async def test_group_receipts_count_those_who_were_there(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        olga, bob, carl = [await world.login(name) for name in ("olga", "bob", "carl")]
        await olga.forced("group.create", group="team", members=["bob", "carl"])
        _, asked = await olga.said("g/team", "read this", options={"receipt": True})
        _, plain = await olga.said("g/team", "or not")
        await bob.ok("receipt.report", conversation="g/team", seqs=[asked, plain])
        await bob.ok("receipt.report", conversation="g/team", seqs=[asked])
        counts = (await olga.ok("receipt.counts", conversation="g/team", seqs=[asked]))["counts"]
        assert counts == [[asked, 1, 1]]
        lists = await olga.ok("receipt.list", conversation="g/team", seq=asked)
        assert lists == {"read": ["bob"], "unread": ["carl"], "after": "carl", "more": False}
        assert (await carl.call("receipt.list", conversation="g/team", seq=asked))[0] == 403
        await world.im.receipts.flush()
        assert [n["read"] for n in olga.connection.notices("receipts")] == [1]
        code, _ = await olga.send("u/bob", options={"receipt": True})
        assert code == 414


async def test_notices_are_not_taken_back_by_those_they_speak_of(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        olga, bob = await world.login("olga"), await world.login("bob")
        await olga.ok("group.create", group="team", join="free")
        await bob.ok("group.join", group="team")
        for person in (olga, bob):
            assert (await person.call("recall", conversation="g/team", seq=2))[0] == 403
        _, seq = await bob.said("g/team", "oops")
        await bob.ok("recall", conversation="g/team", seq=seq)
        for method, args in [("recall", {}), ("react", {"kind": "+1"}), ("edit", {"body": {"text": "x"}})]:
            assert (await bob.call(method, conversation="g/team", seq=seq + 1, **args))[0] == 404


async def test_an_edit_passes_the_checks_and_hooks_of_a_send(tmp_path: Path) -> None:
    def decide(draft: Draft) -> Verdict:
        text = msgspec.msgpack.decode(draft.body)["text"]
        if text == "rude":
            return Verdict(Action.REPLACE, msgspec.msgpack.encode({"text": "***"}))
        if text == "forbidden":
            return Verdict(Action.REJECT, text="no")
        return Verdict(Action.SWALLOW) if text == "spam" else Verdict()

    def called_back(draft: Draft) -> Verdict:
        return Verdict(Action.REJECT, text="callback") if b"late" in draft.body else Verdict()

    hooks = {"moderation": ScriptedHook(decide), "callback": ScriptedHook(called_back)}
    async with open_world(tmp_path, **hooks) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        _, seq = await alice.said("u/bob", "nice", options={"antispam": {"policy": "mild"}})
        where = {"conversation": CHAT, "seq": seq}
        assert (await alice.ok("edit", **where, body={"text": "rude"}))["version"] == 1
        assert hooks["moderation"].drafts[-1].antispam == {"policy": "mild"}
        for text, answer in [("forbidden", "no"), ("too late", "callback")]:
            code, refused = await alice.call("edit", **where, body={"text": text})
            assert (code, refused[0]) == (403, answer)
        assert (await alice.ok("edit", **where, body={"text": "spam"}))["version"] == 2
        assert [n["body"]["text"] for n in bob.connection.notices("edited")] == ["***"]
        shown = (await bob.ok("get", conversation=CHAT, seqs=[seq]))["messages"]
        assert shown[0][7] == {"text": "***"}
        await world.invoke("account.mute", {"user": "alice", "single_s": -1})
        assert (await alice.call("edit", **where, body={"text": "muted"}))[0] == 423
        await world.invoke("account.mute", {"user": "alice", "single_s": 0})
        await bob.ok("relation.black", user="alice")
        assert (await alice.call("edit", **where, body={"text": "unwanted"}))[0] == 7101
        assert await world.invoke("edit", {**where, "body": msgspec.Raw(b"\x81\xa4text\xa4spam")})


@pytest.mark.parametrize("target", ["u/bob", "g/team"])
async def test_what_takes_back_is_marked_so_that_nothing_before_it_is_sent_again(
    tmp_path: Path, target: str
) -> None:
    async with open_world(tmp_path) as world:
        alice, published = await world.login("alice"), world.downlink.published
        await alice.forced("group.create", group="team", members=["bob"])
        talk = CHAT if target == "u/bob" else target

        async def marks(method: str, by: str = "", **arguments: object) -> set[tuple[int, int]]:
            """(frame type, priority) of what a call on a new message publishes."""
            _, seq = await alice.said(target, "regret")
            before = len(published)
            named = {"seq": {"seq": seq}, "seqs": {"seqs": [seq]}}.get(by, {})
            await alice.ok(method, conversation=talk, **named, **arguments)
            await world.settle()
            return {(type, priority) for _, type, _, priority, _ in published[before:]}

        for mode in ("both", "receiver"):
            assert await marks("recall", by="seq", mode=mode) == {(MSG, ERASES)}
        assert await marks("delete", by="seqs") == {(MSG, ERASES)}
        assert await marks("edit", by="seq", body={"text": "better"}) == {(MSG, ERASES), (EVENT, NORMAL)}
        assert (EVENT, ERASES) in await marks("conversation.clear", up_to_seq=1)
        assert await marks("react", by="seq", kind="+") == {(EVENT, NORMAL)}
        assert not {each[3] for each in published if each[1] == MSG} - {ERASES, NORMAL}
