"""What a cluster says and holds for N users, G gateways and M im processes: arithmetic, and a simulation that
checks it.

The simulation places a sample of the users and their groups on gateways at random, announces their topics to
a real routing table, sends a sample of the messages through it and encodes what goes out with the real
structs. The arithmetic of docs/SCALE.md says the same in closed form; both stand side by side.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import msgspec

from benchmarks.machine import commit, machine
from control.node_ids import node_key
from control.routing.compact import CompactRoutes
from control.streams.operations import Announce, Down, Login, Publish, Up
from frame.constants import GROUP_PREFIX, USER_PREFIX, FrameType
from im_service.ports import Session

Json = dict[str, object]

EPOCH = (1 << 47) + 12345
"""As large as one that is drawn."""
ENVELOPE = 40
"""Bytes of a stream's envelope around a batch, about."""
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class ScaleOptions:
    users: int = 10_000_000
    gateways: int = 50
    ims: int = 10
    messages_per_user_hour: float = 12.0
    group_share: float = 0.3
    """of the messages that go to groups"""
    group_size: int = 50
    groups_per_user: float = 5.0
    online_share: float = 0.3
    """of the members of a group who are online, as of a user somebody writes to"""
    session_minutes: float = 30.0
    """between a login and its logout"""
    body: int = 120
    turn_ms: float = 1.0
    """an im process sends one batch to a gateway in this time, whatever is in it"""
    sample: int = 50_000
    seed: int = 7


def run_scale(options: ScaleOptions, command: str, tell: Callable[[str], None]) -> Json:
    tell("the arithmetic")
    counted = arithmetic(options, _sizes(options))
    tell(f"a simulation of {min(options.sample, options.users):,} users")
    simulated = simulate(options)
    return {
        "of": "the size of a cluster",
        "command": command,
        "options": asdict(options),
        "arithmetic": counted,
        "simulation": simulated,
        "machine": machine(),
        "commit": commit(),
    }


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes, measured on the real structs and the real table."""

    publish: float
    announce: float
    login: float
    topic: float


def _sizes(options: ScaleOptions) -> Sizes:
    """One operation in a batch of many, and one topic of a table of many."""
    many = 1000
    users = [f"user-{number:08}" for number in range(many)]
    publications = [
        Publish((f"{USER_PREFIX}{user}", int(FrameType.MSG), bytes(options.body), 1, 0)) for user in users
    ]
    node = node_key(3, EPOCH)
    logins = [
        Login(Session(node, (7 << 32) + at, user, "phone"), 6, 1 << 61) for at, user in enumerate(users)
    ]
    topics, empty = CompactRoutes(), CompactRoutes().stats()["bytes"]
    topics.live(1, EPOCH)
    topics.announce(1, EPOCH, [f"{USER_PREFIX}user-{number:08}" for number in range(100 * many)])
    return Sizes(
        publish=len(_encode(Down(list(publications)))) / many,
        announce=len(_encode(Up([Announce([f"{USER_PREFIX}{user}"]) for user in users]))) / many,
        login=len(_encode(Up(list(logins)))) / many,
        topic=(topics.stats()["bytes"] - empty) / (100 * many),
    )


def arithmetic(options: ScaleOptions, sizes: Sizes) -> Json:
    """The formulas of docs/SCALE.md."""
    users, gateways, ims = options.users, options.gateways, options.ims
    messages = users * options.messages_per_user_hour / 3600
    online = options.group_size * options.online_share
    groups = users * options.groups_per_user / online  # with somebody online
    spread = gateways * (1 - (1 - 1 / gateways) ** online)  # gateways of a group
    topics, entries = users + groups, users + groups * spread
    singles, in_groups = messages * (1 - options.group_share), messages * options.group_share
    publications = singles * (options.online_share + 1) + in_groups * spread  # also to the sender's devices
    changes = 2 * users / (60 * options.session_minutes)
    words = changes * (1 + options.groups_per_user * _last(options, online))
    batches = min(publications, ims * gateways * 1000 / options.turn_ms)
    up = changes / 2 * sizes.login + ims * words * sizes.announce
    return _rows(
        topics=topics,
        entries=entries,
        table=topics * sizes.topic + groups * _list(spread),
        messages=messages,
        publications=publications,
        batches=batches,
        down=publications * sizes.publish + batches * ENVELOPE,
        words=words,
        up=up,
        repeat=entries / gateways * sizes.announce,
        options=options,
    )


def _list(gateways: float) -> float:
    """Bytes of the list of a topic at so many gateways: a head and a mark of four bytes for each, in blocks
    of 16, 32, 64 ... (control/routing/table.pxd)."""
    doublings = max(0, math.ceil(math.log2((gateways + 1) / 4)))
    return 0.0 if gateways < 1.5 else 16.0 * float(1 << doublings)


def _last(options: ScaleOptions, online: float) -> float:
    """How probably nobody else of a group is at the gateway where a member comes or goes."""
    return float((1 - 1 / options.gateways) ** max(0.0, online - 1))


def simulate(options: ScaleOptions) -> Json:
    """A sample of users, scaled up to all of them."""
    rng = random.Random(options.seed)
    users = min(options.sample, options.users)
    scale = options.users / users
    at = [rng.randrange(1, options.gateways + 1) for _ in range(users)]
    online = max(1, round(options.group_size * options.online_share))
    groups = [
        rng.sample(range(users), min(online, users))
        for _ in range(round(users * options.groups_per_user / online))
    ]
    table, empty = CompactRoutes(), CompactRoutes().stats()["bytes"]
    for gateway in range(1, options.gateways + 1):
        table.live(gateway, EPOCH)
    for user, gateway in enumerate(at):
        table.announce(gateway, EPOCH, [f"{USER_PREFIX}user-{user:08}"])
    for number, members in enumerate(groups):
        for gateway in {at[member] for member in members}:
            table.announce(gateway, EPOCH, [f"{GROUP_PREFIX}group-{number}"])
    stats = table.stats()
    sent, publications, size = _send(options, rng, table, users, groups)
    messages = options.users * options.messages_per_user_hour / 3600
    per_message = publications / sent
    words, word_bytes, login_bytes = _churn(options, rng, at, groups)
    changes = 2 * options.users / (60 * options.session_minutes)
    batches = min(messages * per_message, options.ims * options.gateways * 1000 / options.turn_ms)
    return _rows(
        topics=stats["topics"] * scale,
        entries=stats["entries"] * scale,
        table=(stats["bytes"] - empty) * scale,
        messages=messages,
        publications=messages * per_message,
        batches=batches,
        down=messages * size / sent + batches * ENVELOPE,
        words=changes * words,
        up=changes / 2 * login_bytes + options.ims * changes * words * word_bytes,
        repeat=stats["entries"] * scale / options.gateways * word_bytes,
        options=options,
    )


def _send(
    options: ScaleOptions,
    rng: random.Random,
    table: CompactRoutes,
    users: int,
    groups: Sequence[Sequence[int]],
) -> tuple[int, int, int]:
    """(messages, publications they became, their bytes), through the real table and encoder."""
    sent, publications, size = 20_000, 0, 0
    for _ in range(sent):
        if groups and rng.random() < options.group_share:
            topics = [f"{GROUP_PREFIX}group-{rng.randrange(len(groups))}"]
        else:
            topics = [f"{USER_PREFIX}user-{rng.randrange(users):08}"]  # the sender's other devices
            if rng.random() < options.online_share:
                topics.append(f"{USER_PREFIX}user-{rng.randrange(users):08}")
        for topic in topics:
            operation = Publish((topic, int(FrameType.MSG), bytes(options.body), 1, 0))
            gateways = table.gateways(topic)
            publications += len(gateways)
            size += len(gateways) * len(_encode(operation))
    return sent, publications, size


def _churn(
    options: ScaleOptions, rng: random.Random, at: Sequence[int], groups: Sequence[Sequence[int]]
) -> tuple[float, float, float]:
    """(announcements and withdrawals of one login or logout, bytes of one, bytes of a Login)."""
    of_user: dict[int, list[int]] = {}
    for number, members in enumerate(groups):
        for member in members:
            of_user.setdefault(member, []).append(number)
    changed, words = 0, list[str]()
    for user in rng.sample(range(len(at)), min(5_000, len(at))):
        changed += 1
        words.append(f"{USER_PREFIX}user-{user:08}")
        for number in of_user.get(user, ()):
            if not any(at[other] == at[user] for other in groups[number] if other != user):
                words.append(f"{GROUP_PREFIX}group-{number}")
    said = len(words)
    sizes = _sizes(options)
    return said / changed, len(_encode(Up([Announce([word]) for word in words]))) / said, sizes.login


def _rows(
    *, topics: float, entries: float, table: float, messages: float, publications: float, batches: float,
    down: float, words: float, up: float, repeat: float, options: ScaleOptions,
) -> Json:  # fmt: skip
    gateways, ims = options.gateways, options.ims
    return {
        "topics": round(topics),
        "routes_of_an_im_process": round(entries),
        "table_of_an_im_process_mb": round(table / 1e6, 1),
        "messages_per_s": round(messages, 1),
        "publications_per_message": round(publications / messages, 3) if messages else 0.0,
        "publications_per_s": round(publications, 1),
        "batches_per_s": round(batches, 1),
        "batches_per_s_of_a_gateway": round(batches / gateways, 1),
        "bus_down_mb_per_s": round(down / 1e6, 3),
        "down_mb_per_s_of_a_gateway": round(down / gateways / 1e6, 3),
        "topic_words_per_s_of_an_im_process": round(words, 1),
        "bus_up_mb_per_s": round(up / 1e6, 3),
        "up_mb_per_s_of_an_im_process": round(up / ims / 1e6, 3),
        "gateway_repeats_all_mb": round(repeat / 1e6, 2),
    }
