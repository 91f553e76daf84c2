"""Where devices are pushed to, as they, their users and the application's server say."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from frame.constants import CloseCode
from im_service.calls import Args, Caller, NoArgs, Nothing, method
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.ids import check_id
from im_service.models import encode
from im_service.ports import Session
from im_service.push.decide import PushDecider
from im_service.push.ports import PushPort
from im_service.push.rules import DAY_MINUTES, read_rules, zone_of
from im_service.storage.errors import StoreError
from im_service.storage.records import PushToken

ENDED = (CloseCode.KICKED, CloseCode.ACCOUNT_DISABLED)
SHOWN = 8
"""Characters of a token that are shown: whoever has all of it can push."""
TOLD_AT_ONCE, MAX_TOLD = 500, 100_000
"""Of tokens that are over: in one transaction, and while the store is away."""
AGAIN_S = 1.0
_log = logging.getLogger("qianwan.im")

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
Minute = Annotated[int, Meta(ge=0, lt=DAY_MINUTES)]
DeviceText = Annotated[str, Meta(max_length=64)]


class RegisterArgs(Args):
    vendor: Name
    token: Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[!-~]+$")]
    app: Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z0-9_.-]*$")] = ""
    locale: Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z0-9_-]*$")] = ""
    device: DeviceText = ""


class DeviceArgs(Args):
    device: DeviceText = ""


class RulesArgs(Args):
    on: bool | None = None
    preview: bool | None = None
    desktop: bool | None = None
    quiet_from: Minute | None = None
    quiet_to: Minute | None = None
    zone: Annotated[str, Meta(max_length=64)] | None = None


class TestArgs(Args):
    user: str


class Registered(Struct):
    """`known`: there is a way to this vendor for this app."""

    known: bool


class TokenLine(Struct):
    """`token`: its first characters."""

    device: str
    vendor: str
    app: str
    locale: str
    token: str
    time_ms: int
    known: bool


class PushView(Struct):
    """`desktop` nil: as the server's settings say."""

    devices: list[TokenLine]
    on: bool
    preview: bool
    desktop: bool | None
    quiet_from: int
    quiet_to: int
    zone: str


class Tried(Struct):
    device: str
    vendor: str
    app: str
    outcome: str


class Trial(Struct):
    """`outcome`: "sent", or what the vendor said against it."""

    devices: list[Tried]


class PushTokens:
    """Tokens and rules of users."""

    def __init__(self, context: ServiceContext, port: PushPort, decider: PushDecider) -> None:
        self._store = context.store
        self._clock = context.clock
        self._peers = context.peers
        self._limits = context.settings.push
        self._port = port
        self._decider = decider
        self._gone: list[PushToken] = []
        self._logged_out: list[tuple[str, str]] = []
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @method("push.register", Code.INVALID, result=Registered)
    async def register(self, caller: Caller, args: RegisterArgs) -> Registered:
        """Push to this device through a vendor while it is away. Say it after each login, and whenever the
        vendor gives another token: whoever had this token before has it no more. `app`: the topic of APNs,
        the project of FCM. The server names the device."""
        device = check_id(args.device if caller.server else caller.device, "device")
        if not caller.server and args.device not in ("", caller.device):
            raise ImError(Code.INVALID, "a device speaks for itself")
        now = self._clock.now_ms()
        token = PushToken(caller.user, device, args.vendor, args.app, args.token, args.locale, now)
        self._changed(await self._store.set_push_token(token, self._limits.tokens_per_user))
        return Registered(self._port.takes(args.vendor, args.app))

    @method("push.unregister", Code.INVALID)
    async def unregister(self, caller: Caller, args: DeviceArgs) -> Nothing:
        """Push to this device no more, as before it logs out; or to another one of mine."""
        device = check_id(args.device or caller.device, "device")
        self._changed(await self._store.drop_push_devices([(caller.user, device)]))
        return {}

    @method("push.get", result=PushView)
    async def get(self, caller: Caller, args: NoArgs) -> PushView:
        """My devices that are pushed to, and my rules."""
        address = (await self._store.push_addresses([caller.user]))[caller.user]
        lines = [
            TokenLine(t.device, t.vendor, t.app, t.locale, t.token[:SHOWN], t.time_ms,
                      self._port.takes(t.vendor, t.app))
            for t in address.tokens
        ]  # fmt: skip
        return PushView(lines, **msgspec.structs.asdict(read_rules(address.rules)))

    @method("push.set", Code.INVALID, result=PushView)
    async def set_rules(self, caller: Caller, args: RulesArgs) -> PushView:
        """My rules, for all devices; absent keys stay. `on`: at all. `preview`: with what was said and by
        whom. `desktop`: to phones while I am online on desktops and browsers only. `quiet_from`, `quiet_to`:
        minutes of the day in `zone` (IANA; empty: UTC) between which nothing is pushed, named together; the
        same twice: none."""
        if (args.quiet_from is None) != (args.quiet_to is None):
            raise ImError(Code.INVALID, "quiet_from and quiet_to are named together")
        if args.zone and zone_of(args.zone) is None:
            raise ImError(Code.INVALID, f"no time zone is called {args.zone}")
        asked = {name: value for name, value in msgspec.structs.asdict(args).items() if value is not None}

        def change(rules: bytes) -> bytes:
            return encode(msgspec.structs.replace(read_rules(rules), **asked))

        await self._store.set_push_rules(caller.user, change)
        self._changed([caller.user])
        return await self.get(caller, NoArgs())

    @method("push.test", Code.NOT_FOUND, result=Trial, server_only=True)
    async def test(self, caller: Caller, args: TestArgs) -> Trial:
        """Push a test to every device of a user, online or not, whatever their rules say."""
        user = check_id(args.user, "user")
        tokens = (await self._store.push_addresses([user]))[user].tokens
        if not tokens:
            raise ImError(Code.NOT_FOUND, "the user has no device that is pushed to")
        outcomes = await asyncio.gather(*(self._port.test(self._decider.trial(token)) for token in tokens))
        return Trial(
            [Tried(t.device, t.vendor, t.app, said) for t, said in zip(tokens, outcomes, strict=True)]
        )

    def _changed(self, users: list[str]) -> None:
        for user in users:
            self._decider.addresses.forget(user)
            self._peers.changed("push", user)

    # -- what vendors and logouts say

    def gone(self, token: PushToken) -> None:
        """The vendor knows the token no more."""
        self._gone.append(token)
        self._tell()

    def logged_out(self, session: Session, code: int) -> None:
        """A session is over."""
        forget = self._limits.forget_at
        if (code in ENDED and forget != "never") or (code == CloseCode.NORMAL and forget == "closed"):
            self._logged_out.append((session.user, session.device))
            self._tell()

    def _tell(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._forget())

    async def _forget(self) -> None:
        """Until the store has it, or the process ends: then the vendor tells it again, or the next login."""
        while self._gone or self._logged_out:
            gone, self._gone = self._gone[:TOLD_AT_ONCE], self._gone[TOLD_AT_ONCE:]
            out, self._logged_out = self._logged_out[:TOLD_AT_ONCE], self._logged_out[TOLD_AT_ONCE:]
            try:
                if gone:
                    self._changed(await self._store.drop_push_tokens(gone))
                    gone = []
                if out:
                    self._changed(await self._store.drop_push_devices(out))
            except StoreError as error:
                _log.warning("tokens of devices are not forgotten yet: %s", error)
                if self._stopping.is_set():
                    return
                self._gone = [*gone, *self._gone][:MAX_TOLD]
                self._logged_out = [*out, *self._logged_out][:MAX_TOLD]
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_S):
                        await self._stopping.wait()
            except Exception:
                _log.exception("tokens of devices are not forgotten")

    def stop(self) -> None:
        """The process ends: what the store does not take now is left."""
        self._stopping.set()

    async def close(self) -> None:
        """Wait until what was told is in the store."""
        if self._task is not None:
            await self._task
