"""Which committed messages are pushed to which absent devices, and what the push says.

Nothing is pushed before the commit, and nothing here delays an acknowledgement: decisions that must read
(members, tokens, names, do-not-disturb, badges) are made by one worker behind a bounded queue; above it
pushes are dropped, counted. What waits here or at a vendor when the process dies is read from the log by
whoever comes after it (outbox/succession.py), unless its receivers have read it meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from frame.constants import ROOM_PREFIX
from im_service.accounts.profiles import ProfileInfo
from im_service.context import ServiceContext
from im_service.errors import ImError
from im_service.groups.model import info_of
from im_service.models import preferences
from im_service.options import PUSH
from im_service.outbox.unfinished import Open, Unfinished
from im_service.push.addresses import Addresses, parts
from im_service.push.away import Away
from im_service.push.ports import Push, PushPort
from im_service.push.rules import PushRules, read_rules
from im_service.push.texts import Catalogue, fill
from im_service.push.wording import Receiver, Wording
from im_service.sending.judging import Judge
from im_service.sending.pending import Pending
from im_service.sending.read_back import ReadBack
from im_service.storage.errors import StoreError
from im_service.storage.event_records import LogRow
from im_service.storage.records import FILTERED, HELD, RECALLED, RECEIVER_NO_SENSE, PushToken, StoredMessage

BADGE_PAGES = 10
"""Of 1000 conversations each: whoever has more unread ones has a badge that nobody reads to the end."""
AT_ONCE = 16
"""Messages that are decided side by side, while each waits for the store."""
WAIT_MS = 5_000
"""After a start: gateways tell who is there, clients come back."""
_log = logging.getLogger("qianwan.im")
_decode_profile = msgspec.msgpack.Decoder(ProfileInfo).decode


def counts(settings: bytes) -> bool:
    """Whether unread messages of a conversation stand on the badge."""
    return not preferences(settings).mute


class PushDecider:
    """Decides the pushes of committed messages; follows commits (sending.pending.AfterCommit)."""

    name = "push"
    wait_ms = WAIT_MS

    def __init__(self, context: ServiceContext, port: PushPort, judge: Judge, back: ReadBack) -> None:
        limits = context.settings.push
        self.addresses = Addresses(context.store, limits.cached_users)
        self.texts = Catalogue(limits.texts, limits.default_locale)
        self._store = context.store
        self._clock = context.clock
        self._away = Away(context, limits.while_desktop)
        self._port = port
        self._judge = judge
        self._back = back
        self._limits = limits
        self.keep_ms = limits.max_age_ms
        self.unfinished = Unfinished()
        self._waiting: OrderedDict[int, tuple[Pending | LogRow, Open]] = OrderedDict()
        self._room = asyncio.Event()
        self._deciding: dict[int, bool] = {}  # server id -> still wanted
        self._sent: OrderedDict[int, tuple[PushToken, ...]] = OrderedDict()
        self._sent_count = 0
        self._worker: asyncio.Task[None] | None = None
        self._retold: set[asyncio.Task[None]] = set()
        self.dropped = 0

    def offer(self, entry: Pending, server_id: int, message: bytes) -> None:
        """One committed message. Synchronous and quick."""
        if not entry.bits & PUSH or entry.verdict or entry.route.room is not None:
            return
        peer = entry.route.peer
        if peer is not None and self._needless(peer):
            self.unfinished.passed()
        elif len(self._waiting) >= self._limits.waiting:
            self.dropped += 1
            self.unfinished.passed()
        else:
            self._wait(server_id, entry)

    async def take_up(self, row: LogRow) -> None:
        """A message whose process died (outbox.succession.Follower)."""
        if row.conversation.startswith(ROOM_PREFIX) or not row.bits & PUSH or _hidden(row):
            return
        while len(self._waiting) >= AT_ONCE:
            self._room.clear()
            await self._room.wait()
        if row.server_id not in self._waiting and row.server_id not in self._deciding:
            self._wait(row.server_id, row)

    def _wait(self, server_id: int, what: Pending | LogRow) -> None:
        self._waiting[server_id] = what, self.unfinished.begin()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())

    def _needless(self, peer: str) -> bool:
        """Known without a look into the store: they have no device, or are there."""
        known = self.addresses.peek(peer)
        if known is not None and not known.tokens:
            return True
        return self._away.surely_there(peer, None if known is None else read_rules(known.rules))

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popitem(last=False) for _ in range(min(len(self._waiting), AT_ONCE))]
            self._deciding.update((server_id, True) for server_id, _ in batch)
            await asyncio.gather(*(self._decided(server_id, *waited) for server_id, waited in batch))
            self._room.set()

    async def _decided(self, server_id: int, what: Pending | LogRow, begun: Open) -> None:
        try:
            entry = what if isinstance(what, Pending) else await self._still_wanted(what)
            if entry is not None:
                await self._decide(entry, server_id, begun)
        except StoreError as error:
            self.dropped += 1
            _log.warning("push not decided: %s", error)
        except Exception:
            self.dropped += 1
            _log.exception("push not decided")
        finally:
            del self._deciding[server_id]
            begun.done()

    async def _still_wanted(self, row: LogRow) -> Pending | None:
        """As the message is now, for those who have not read it."""
        now = self._clock.now_ms()
        for found in await self._store.find(row.conversation, [row.seq]):
            if _hidden(found) or 0 < found.expires_ms <= now:
                continue
            try:
                entry = await self._back.entry(found)
            except ImError:  # a group that ended
                continue
            unread: list[str] = []
            for part in parts([] if entry.verdict else await self._receivers(entry)):
                marks = await self._store.read_marks(row.conversation, part)
                unread += [user for user in part if marks.get(user, 0) < row.seq]
            if unread:
                entry.receivers = unread
                return entry
        return None

    async def _decide(self, entry: Pending, server_id: int, begun: Open) -> None:
        """One push per absent device whose user is not muted, or is forced."""
        force = entry.options.options.forcePush
        users = await self._receivers(entry)
        title = ""
        if (group := entry.route.group) is not None and group.record is not None:
            title = info_of(group.record).name
        for part in parts(users):
            forced = set() if force is UNSET else set(part if force.everybody else force.users)
            found = await self._reached(part, entry.route.conversation, forced, entry)
            if not found:
                continue
            badges = await self._store.badges(list(found), self._clock.now_ms(), counts, BADGE_PAGES)
            said = Wording(entry, self.texts, await self._name(entry.route.sender), title)
            pushes = [
                said.push(token, receiver, server_id, badges[user])
                for user, receiver in found.items()
                for token in receiver.tokens
            ]
            if not self._deciding[server_id]:
                return  # it was taken back meanwhile
            self._hand_over(server_id, pushes, begun)

    def _hand_over(self, server_id: int, pushes: list[Push], begun: Open) -> None:
        self._port.offer(pushes, begun.more())
        if not self._limits.recallable:
            return
        tokens = tuple(push.to for push in pushes)
        self._sent[server_id] = (*self._sent.pop(server_id, ()), *tokens)
        self._sent_count += len(tokens)
        while self._sent_count > self._limits.recallable:
            self._sent_count -= len(self._sent.popitem(last=False)[1])

    async def _receivers(self, entry: Pending) -> list[str]:
        route = entry.route
        if route.peer is not None:
            return [route.peer]
        if entry.receivers is not None:
            return list(entry.receivers)
        names = await self._judge.member_names(route.conversation[2:])
        return [user for user in names if user != route.sender]

    async def _reached(
        self, users: list[str], conversation: str, forced: set[str], entry: Pending
    ) -> dict[str, Receiver]:
        """Who of them is told, and where."""
        now = self._clock.now_ms()
        found: dict[str, Receiver] = {}
        for user, address in (await self.addresses.of(users)).items():
            rules = read_rules(address.rules)
            if address.tokens and rules.on and not rules.quiet(now):
                found[user] = Receiver(address.tokens, rules, user in forced)
        absent = await self._away.devices({user: each.rules for user, each in found.items()})
        for user in list(found):
            there = absent.get(user)
            left = () if there is None else tuple(t for t in found[user].tokens if t.device not in there)
            if left:
                found[user] = msgspec.structs.replace(found[user], tokens=left)
            else:
                del found[user]
        for user in await self._muted([u for u, each in found.items() if not each.forced], entry):
            del found[user]
        return found

    async def _muted(self, users: list[str], entry: Pending) -> list[str]:
        """Do-not-disturb of the conversation, or the sender on the receiver's mute list."""
        if not users:
            return []
        pair = entry.route.pair
        if pair is not None and pair.muted:
            return users
        settings = await self._store.inbox_settings(entry.route.conversation, users)
        return [user for user, said in settings.items() if preferences(said).mute]

    async def _name(self, user: str) -> str:
        profiles = await self._store.profiles([user])
        nick = _decode_profile(profiles[0].info).nick if profiles and profiles[0].info else ""
        return nick or user

    # -- what was taken back

    def recalled(self, message: StoredMessage) -> None:
        """What waits is not pushed any more; what was pushed is replaced on devices of those who are away."""
        server_id = message.server_id
        if (waited := self._waiting.pop(server_id, None)) is not None:
            waited[1].done()
        if server_id in self._deciding:
            self._deciding[server_id] = False
        cancelled = self._port.cancel(server_id)
        sent = self._sent.pop(server_id, ())
        self._sent_count -= len(sent)
        if left := [token for token in sent if token not in cancelled]:
            task = asyncio.get_running_loop().create_task(self._replace(message, left))
            self._retold.add(task)
            task.add_done_callback(self._retold.discard)

    async def _replace(self, message: StoredMessage, sent: Iterable[PushToken]) -> None:
        try:
            by_user: dict[str, list[PushToken]] = {}
            for token in sent:
                by_user.setdefault(token.user, []).append(token)
            name = await self._name(message.sender)
            for part in parts(list(by_user)):
                known = await self.addresses.of(part)
                rules = {user: read_rules(address.rules) for user, address in known.items()}
                absent = await self._away.devices(rules)
                users = [user for user in part if user in absent]
                badges = await self._store.badges(users, self._clock.now_ms(), counts, BADGE_PAGES)
                self._port.offer(
                    [
                        self._taken_back(message, token, name, rules[user], badges[user])
                        for user in users
                        for token in by_user[user]
                        if token in known[user].tokens and token.device not in absent[user]
                    ]
                )
        except StoreError as error:
            self.dropped += 1
            _log.warning("a pushed message that was taken back is not replaced: %s", error)
        except Exception:
            self.dropped += 1
            _log.exception("a pushed message that was taken back is not replaced")

    def _taken_back(
        self, message: StoredMessage, token: PushToken, name: str, rules: PushRules, badge: int
    ) -> Push:
        texts = self.texts.of(token.locale)
        text, conversation, sender = texts["recalled_hidden"], "", ""
        if rules.preview:
            text = fill(texts["recalled"], name=name)
            conversation, sender = message.conversation, message.sender
        return Push(token, conversation, message.server_id, sender, "", text, "", badge, False, True, 0)

    def trial(self, token: PushToken) -> Push:
        """A push that says that it is a test."""
        text = self.texts.of(token.locale)["test"]
        return Push(token, "", 0, "", "", text, "", 0, False, False, 0)

    async def drained(self) -> None:
        """Until vendors have what they take now; not for long."""
        await self._port.drained()

    async def close(self) -> None:
        """Wait until every waiting push is decided."""
        if self._worker is not None:
            await self._worker
        while self._retold:
            await asyncio.gather(*self._retold)


def _hidden(row: LogRow | StoredMessage) -> bool:
    """It was taken back, or nobody but its sender sees it."""
    return bool(row.flags & (RECALLED | FILTERED) or row.bits & (HELD | RECEIVER_NO_SENSE))
