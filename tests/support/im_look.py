"""What a device shows against what the model says, and the devices of one user against each other."""

from __future__ import annotations

from tests.support.im_client import TOMBSTONE, DeviceClient
from tests.support.im_model import ModelConversation


def shows_the_same(client: DeviceClient, talk: ModelConversation) -> None:
    """The same messages in the same order, tombstones and quick comments too."""
    expected = talk.shows(client.user, client.device)
    shown = dict(client.screen.get(talk.name, {}))
    for seq in talk.untold(client.user) & shown.keys():
        shown.pop(seq)
        if seq in expected:
            shown[seq] = expected[seq]
    assert sorted(shown.items()) == list(expected.items()), (client.user, client.device, talk.name)
    member = talk.members.get(client.user)
    if member is None or not member.active:
        return
    for seq, text in expected.items():
        held = client.reactions.get((talk.name, seq), set())
        assert text == TOMBSTONE or held == talk.log[seq - 1].reactions, (client.user, talk.name, seq)


def holds_the_same(client: DeviceClient, talk: ModelConversation) -> None:
    """Membership, the own read watermark, and the peer's."""
    user, name = client.user, talk.name
    member = talk.members.get(user)
    if member is None:
        return
    assert client.active.get(name, member.active) == member.active, (user, client.device, name)
    if member.active:
        assert client.read.get(name, 0) == talk.read.get(user, 0), (user, client.device, name)
    if name.startswith("s/") and talk.log:
        peer = next(other for other in talk.members if other != user)
        heard, read = client.receipts.get(name, 0), talk.read.get(peer, 0)
        assert heard == read or (talk.parted and heard < read), (user, client.device, name)


async def counts_the_same(client: DeviceClient, talk: ModelConversation) -> None:
    """The receipts of the messages that this user sent to a group."""
    assert client.person is not None
    mine = [m for m in talk.log if m.receipt and m.sender == client.user and talk.visible(m, client.user)]
    if not mine or not talk.members[client.user].active:
        return
    found = await client.person.ok("receipt.counts", conversation=talk.name, seqs=[m.seq for m in mine])
    expected = [
        [m.seq, len(m.readers), len(talk.awaited(m) - m.readers)]
        for m in mine
        if not m.recalled and not m.blocked
    ]
    assert found["counts"] == expected, (client.user, talk.name)


async def compare(client: DeviceClient, talks: dict[str, ModelConversation], black: set[str]) -> None:
    """A live device, after it has taken what came, and the counts it asks for."""
    assert client.person is not None
    await client.take()
    for talk in talks.values():
        shows_the_same(client, talk)
        holds_the_same(client, talk)
        await counts_the_same(client, talk)
    assert client.black == black, (client.user, client.device)
    counts = (await client.person.ok("unread"))["conversations"]
    for name, talk in talks.items():
        member = talk.members.get(client.user)
        if member is not None and member.active:
            assert counts.get(name, 0) == talk.unread(client.user), (client.user, name)
