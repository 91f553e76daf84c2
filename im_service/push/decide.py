"""Which committed messages are pushed to which absent devices, and what the push says.

Nothing is pushed before the commit, and nothing here delays an acknowledgement: decisions that must read
(members, tokens, names, do-not-disturb, badges) are made by one worker behind a bounded queue; above it
pushes are dropped, counted. What waits here when the process dies is not pushed: the message is in the
store.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import UNSET

from frame.constants import MessageType
from im_service.accounts.profiles import ProfileInfo
from im_service.context import ServiceContext
from im_service.groups.model import info_of
from im_service.models import preferences, unpack_payload
from im_service.options import MAX_PUSH_TEXT, PUSH
from im_service.push.addresses import Addresses, parts
from im_service.push.away import Away
from im_service.push.ports import Push, PushPort
from im_service.push.rules import PushRules, read_rules
from im_service.push.texts import OF_TYPE, Catalogue, Texts, fill
from im_service.sending.judging import Judge
from im_service.sending.pending import Pending
from im_service.storage.errors import StoreError
from im_service.storage.records import PushToken, StoredMessage

BADGE_PAGES = 10
"""Of 1000 conversations each: whoever has more unread ones has a badge that nobody reads to the end."""
AT_ONCE = 16
"""Messages that are decided side by side, while each waits for the store."""
QUIET = (MessageType.NOTIFICATION, MessageType.CUSTOM)
"""Types whose push text has no name before it unless asked for."""
_log = logging.getLogger("qianwan.im")
_decode_profile = msgspec.msgpack.Decoder(ProfileInfo).decode


def counts(settings: bytes) -> bool:
    """Whether unread messages of a conversation stand on the badge."""
    return not preferences(settings).mute


class Receiver(msgspec.Struct, frozen=True):
    """Somebody who is told on these devices."""

    tokens: tuple[PushToken, ...]
    rules: PushRules
    forced: bool


class PushDecider:
    """Decides the pushes of committed messages."""

    def __init__(self, context: ServiceContext, port: PushPort, judge: Judge) -> None:
        limits = context.settings.push
        self.addresses = Addresses(context.store, limits.cached_users)
        self.texts = Catalogue(limits.texts, limits.default_locale)
        self._store = context.store
        self._clock = context.clock
        self._away = Away(context, limits.while_desktop)
        self._port = port
        self._judge = judge
        self._limits = limits
        self._waiting: OrderedDict[int, Pending] = OrderedDict()
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
            return
        if len(self._waiting) >= self._limits.waiting:
            self.dropped += 1
            return
        self._waiting[server_id] = entry
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
            await asyncio.gather(*(self._decided(entry, server_id) for server_id, entry in batch))

    async def _decided(self, entry: Pending, server_id: int) -> None:
        self._deciding[server_id] = True
        try:
            await self._decide(entry, server_id)
        except StoreError as error:
            self.dropped += 1
            _log.warning("push not decided: %s", error)
        except Exception:
            self.dropped += 1
            _log.exception("push not decided")
        finally:
            del self._deciding[server_id]

    async def _decide(self, entry: Pending, server_id: int) -> None:
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
                said.push(token, receiver, server_id, badges[user], self._clock.now_ms())
                for user, receiver in found.items()
                for token in receiver.tokens
            ]
            if not self._deciding[server_id]:
                return  # it was taken back meanwhile
            self._hand_over(server_id, pushes)

    def _hand_over(self, server_id: int, pushes: list[Push]) -> None:
        self._port.offer(pushes)
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
        self._waiting.pop(server_id, None)
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
        text = fill(texts["recalled"], name=name) if rules.preview else texts["recalled_hidden"]
        sender = message.sender if rules.preview else ""
        return Push(
            token, message.conversation, message.server_id, sender, "", text, "", badge, False, True, 0
        )

    def trial(self, token: PushToken) -> Push:
        """A push that says that it is a test."""
        text = self.texts.of(token.locale)["test"]
        return Push(token, "", 0, "", "", text, "", 0, False, False, 0)

    async def close(self) -> None:
        """Wait until every waiting push is decided."""
        if self._worker is not None:
            await self._worker
        while self._retold:
            await asyncio.gather(*self._retold)


class Wording:
    """What one message says, in every language."""

    def __init__(self, entry: Pending, texts: Catalogue, name: str, title: str) -> None:
        self._entry = entry
        self._texts = texts
        self._name = name
        self._title = title
        self._plain: dict[str, str] = {}

    def push(self, token: PushToken, receiver: Receiver, server_id: int, badge: int, now_ms: int) -> Push:
        entry, options = self._entry, self._entry.options.options
        force = options.forcePush
        forced = receiver.forced
        texts = self._texts.of(token.locale)
        title = self._title
        payload = "" if options.payload is UNSET else options.payload
        sender = entry.route.sender
        if not receiver.rules.preview:
            text, title, sender, payload = texts["hidden"], "", "", ""
        elif forced and force is not UNSET and force.content is not None:
            text = force.content
        else:
            text = self._text(token.locale, texts)
        life = entry.options.expire_ms
        return Push(
            token, entry.route.conversation, server_id, sender, title, text, payload, badge, forced, False,
            now_ms + life if life else 0,
        )  # fmt: skip

    def _text(self, locale: str, texts: Texts) -> str:
        """pushContent as it is; otherwise the text or a word for the type, with the sender's name unless not
        wanted."""
        if (known := self._plain.get(locale)) is not None:
            return known
        entry, options = self._entry, self._entry.options.options
        text = _words(entry, texts) if options.pushContent is UNSET else options.pushContent
        named = entry.type not in QUIET if options.needPushNick is UNSET else options.needPushNick
        if named:
            text = fill(texts["named"], name=self._name, text=text)
        self._plain[locale] = text = text[:MAX_PUSH_TEXT]
        return text


def _words(entry: Pending, texts: Mapping[str, str]) -> str:
    name = OF_TYPE.get(entry.type)
    if name is not None:
        return texts[name]
    body = msgspec.msgpack.decode(unpack_payload(entry.payload)[0])
    return str(body.get("text", "")) if isinstance(body, dict) else ""
