"""Everything of one user, page by page, and nothing of anybody else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from frame.constants import RequestCode
from tests.support.everything import MARK, SETTINGS, live
from tests.support.im_world import World, open_world


async def exported(world: World, user: str, limit: int) -> list[tuple[str, dict[str, Any]]]:
    lines: list[tuple[str, dict[str, Any]]] = []
    page: dict[str, Any] = {"after": "", "more": True}
    while page["more"]:
        page = await world.invoke("account.export", {"user": user, "after": page["after"], "limit": limit})
        assert len(page["lines"]) <= limit
        lines += [(line["kind"], line["data"]) for line in page["lines"]]
    return lines


async def test_everything_comes_once_however_small_the_pages(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        await live(world)
        lines = await exported(world, "alice", 200)
        assert await exported(world, "alice", 1) == lines
        assert await exported(world, "alice", 7) == lines
        assert Counter(kind for kind, _ in lines) == {
            "account": 1, "profile": 1, "device": 1, "push_token": 1, "push_rules": 1, "relation": 1,
            "request": 2, "group": 3, "room_role": 1, "queue_entry": 1, "conversation": 4, "message": 8,
            "reaction": 1, "report": 1,
        }  # fmt: skip
        kinds: dict[str, list[dict[str, Any]]] = {}
        for kind, data in lines:
            kinds.setdefault(kind, []).append(data)
        said = sorted(str(each["body"]["text"]) for each in kinds["message"])
        assert said == sorted(
            [f"{MARK} {text}" for text in ("better", "in the room", "to all", "to me")]
            + [f"{MARK} said {n}" for n in (2, 3, 4, 5)]
        )
        (token,) = kinds["push_token"]
        assert token["token"] == "...oken"
        assert kinds["relation"][0]["alias"] == f"{MARK} alias"
        assert kinds["conversation"][0]["settings"]["ext"] == f"{MARK} pinned"
        assert kinds["profile"][0]["nick"] == f"{MARK} nick"
        assert "answer" not in repr(lines), "what others said is theirs"
        assert f"{MARK} of them" not in repr(lines), "and what they call somebody"
        msgspec.json.encode(lines)


async def test_after_the_erasure_hardly_anything_is_left_to_export(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        await live(world)
        await world.im.erasing.stop()
        await world.invoke("account.erase", {"user": "alice"})
        assert await world.im.erasing.work()
        lines = await exported(world, "alice", 200)
        assert {kind for kind, _ in lines} == {"account", "conversation"}
        assert all(data["settings"]["ext"] == "" for kind, data in lines if kind == "conversation")


async def test_bad_places_are_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.login("alice")
        for after in (
            "x",
            "device",
            "relation:x",
            "report:1",
            f"group:{1 << 63}",
            "group:-1",
            "message:a\0b",
        ):
            refused = await world.attempt("account.export", {"user": "alice", "after": after})
            assert refused == (0 if after == "device" else RequestCode.INVALID), after
        assert await world.attempt("account.export", {"user": "nobody"}) == RequestCode.NOT_FOUND
