"""Scene four: a phone is away. What its vendor would be told stands in the log of the server, which pushes by
its dry-run adapter."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import qianwan
from qianwan.models import image

TOLD_S = 20.0
POLL_S = 0.02
T = TypeVar("T")


async def away(url: str, api_key: str, token: Callable[[str], str], log: Path) -> list[str]:
    """Carol is sent a picture that is taken back later. -> what that phone would show, one after the other;
    less, where the log does not say so in time."""
    async with qianwan.Client(url, token=token("carol"), device_id="carol-1") as carol:
        await carol.push.register("apns", "phone-of-carol", locale="en")
    async with qianwan.Client(url, token=token("dave"), device_id="dave-1") as dave:
        await _in_time(lambda: _gone(url, api_key), bool)
        sent = await dave.send("carol", image("https://example.com/cat.jpg"))
        if await _in_time(lambda: _pushes(log), bool):
            await dave.recall("s/carol:dave", sent.seq)
        return await _in_time(lambda: _pushes(log), lambda found: len(found) > 1)


async def _in_time(look: Callable[[], T], enough: Callable[[T], bool]) -> T:
    """What `look` finds when it is enough, or the time is over."""
    for _ in range(int(TOLD_S / POLL_S)):
        if enough(found := await asyncio.to_thread(look)):
            return found
        await asyncio.sleep(POLL_S)
    return found


def _gone(url: str, api_key: str) -> bool:
    request = urllib.request.Request(f"{url}/v1/users/carol/devices", headers={"X-API-Key": api_key})
    with urllib.request.urlopen(request, timeout=TOLD_S) as answer:
        return not any(device["online"] for device in json.load(answer)["devices"])


def _pushes(log: Path) -> list[str]:
    lines = [line for line in log.read_text("utf-8").splitlines() if '"would push"' in line]
    told = [json.loads(line) for line in lines]
    return [f"{line['text']} (badge {line['badge']})" for line in told if line["user"] == "carol"]
