"""The largest groups: how many members they take, and where receipts end."""

from __future__ import annotations

from pathlib import Path

from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_world import open_world
from tests.support.store_kit import count

ENGINES = ("sqlite",)
FREE = Rate(0)


async def test_a_group_takes_five_thousand_and_not_one_more(tmp_path: Path) -> None:
    settings = ImSettings(account_rate=FREE, call_rate=FREE)
    async with open_world(tmp_path, settings) as world:
        olga, last = await world.login("olga"), await world.login("m4998")
        assert (await olga.call("group.create", group="vast", limit=5001))[0] == 414
        await olga.ok("group.create", group="vast", limit=5000)
        names = [f"m{n:04}" for n in range(5000)]
        for start in range(0, 4999, 100):
            users = names[start : min(start + 100, 4999)]
            await world.invoke("group.invite", {"group": "vast", "users": users})
        info = await olga.ok("group.info", group="vast")
        assert (info["members"], info["limit"]) == (5000, 5000)
        assert await world.attempt("group.invite", {"group": "vast", "users": [names[4999]]}) == 801
        before = await count(world.store)
        await olga.said("g/vast", "all of you")
        assert last.connection.messages[-1][7] == {"text": "all of you"}
        assert await count(world.store) == before + 1
        assert (await world.unread("m0000"))["g/vast"] == 1


async def test_groups_above_five_hundred_keep_no_receipts(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(group_members=600)) as world:
        olga, reader = await world.login("olga"), await world.login("m0")
        names = [f"m{n}" for n in range(499)]
        await olga.forced("group.create", group="team", members=names)
        _, seq = await olga.said("g/team", "read?", options={"receipt": True})
        await reader.ok("receipt.report", conversation="g/team", seqs=[seq])
        found = await olga.ok("receipt.list", conversation="g/team", seq=seq)
        assert (found["read"], len(found["unread"])) == (["m0"], 498)
        await world.invoke("group.invite", {"group": "team", "users": ["one_more"]})
        assert (await olga.send("g/team", "read?", options={"receipt": True}))[0] == 414
