"""Coming into a group and leaving it while connected: heard at once on every device, without asking."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chat_link import PlainLink
from tests.support.chat_world import eventually
from tests.support.server_process import ServerProcess

DEVICES = 6


SETTINGS = {"gateway.loops": 2, "im.service.group_consent": "free"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("groups"), SETTINGS) as running:
        yield running


def texts(link: PlainLink) -> list[str]:
    return [message.body["text"] for message in link.messages if message.type == 0]


async def say(link: PlainLink, text: str) -> int:
    return (await link.send("g/crew", text, text)).code


async def test_membership_reaches_every_device_at_once(server: ServerProcess) -> None:
    token = server.token("hub")
    devices = [await PlainLink.open(server, token, f"device{n}") for n in range(DEVICES)]
    owner = await PlainLink.open(server, server.token("owner"), "phone")
    for link in (*devices, owner):
        await link.call("time")

    async def everybody_heard(text: str) -> None:
        async def heard() -> bool:
            return all(texts(device)[-1:] == [text] for device in devices)

        await eventually(heard, f"heard {text}")

    code, _ = await owner.call("group.create", group="crew", members=["hub"])
    assert code == 0
    assert await say(owner, "welcome") == 0
    await everybody_heard("welcome")

    code, _ = await owner.call("group.kick", group="crew", users=["hub"])
    assert code == 0
    assert await say(owner, "among ourselves") == 0
    assert await say(devices[0], "let me in") == 802

    code, _ = await owner.call("group.invite", group="crew", users=["hub"])
    assert code == 0
    assert await say(owner, "welcome back") == 0
    await everybody_heard("welcome back")
    for device in devices:
        assert texts(device) == ["welcome", "welcome back"], "what was said without them"
        assert [m.seq for m in device.messages] == sorted({m.seq for m in device.messages}), "twice or moved"
        device.close()
    owner.close()
