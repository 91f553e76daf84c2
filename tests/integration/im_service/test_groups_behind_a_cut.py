"""Who is put out of a group, or comes into it, while their gateway is taken for dead: when it is back with
its connections and their topics, each hears the groups that they are in, and no other.
"""

from __future__ import annotations

from pathlib import Path

from frame.constants import CloseCode
from tests.support.im_two_processes import begin, two_processes
from tests.support.im_world import Person, World, open_world


def cut(world: World, person: Person) -> None:
    """Nothing reaches the connection; its sessions are over here."""
    world.downlink.connections.pop((person.session.node, person.session.conn))
    world.im.on_logout(person.session, CloseCode.INTERNAL)


async def heal(world: World, *people: Person) -> None:
    """The gateway repeats its topics and sessions."""
    for person in people:
        session = person.session
        world.downlink.connections[session.node, session.conn] = person.connection
        world.im.on_session(session, 1, person.connection.session_id)
    await world.im.settle()


async def test_who_was_put_out_meanwhile_hears_the_group_no_more_and_who_came_hears_it(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        ben, cat, dan = [await world.login(user) for user in ("ben", "cat", "dan")]
        await world.invoke("group.create", {"group": "x", "members": ["ann", "ben", "cat"]}, "ann")
        for person in (ben, cat, dan):
            cut(world, person)
        await world.im.settle()
        await world.invoke("group.kick", {"group": "x", "users": ["ben"]}, "ann")
        await world.invoke("group.leave", {"group": "x"}, "cat")
        await world.invoke("group.create", {"group": "y", "members": ["ann", "dan"]}, "ann")
        assert "g/x" in ben.connection.topics, "it heard nothing"
        await heal(world, ben, cat, dan)
        groups = [{t for t in p.connection.topics if t.startswith("g/")} for p in (ann, ben, cat, dan)]
        assert groups == [{"g/x", "g/y"}, set(), set(), {"g/y"}]


async def test_a_process_beyond_the_cut_looks_again_at_whom_it_serves(tmp_path: Path) -> None:
    """Its gateway was there for it all the time; the changes were made on the other side."""
    async with two_processes(tmp_path) as (world, other, there, _back):
        await world.login("ann")
        await world.invoke("group.create", {"group": "x", "members": ["ann", "ben"]}, "ann")
        ben, cat = (begin(other, world, user) for user in ("ben", "cat"))
        await other.settle()
        assert "g/x" in ben.topics
        kept = {c.session: c for c in (ben, cat)}
        for session in kept:
            del world.downlink.connections[session.node, session.conn]
        await world.invoke("group.kick", {"group": "x", "users": ["ben"]}, "ann")
        await world.invoke("group.invite", {"group": "x", "users": ["cat"]}, "ann")
        there.words.clear()  # lost
        for session, connection in kept.items():
            world.downlink.connections[session.node, session.conn] = connection
        await other.on_peer_change("all", "")
        await other.settle()
        assert ("g/x" in ben.topics, "g/x" in cat.topics) == (False, True)
