"""CALL methods: how they are declared, listed and dispatched.

A method is an async function of a service, marked with `@method(name, ...)`; its second parameter's Struct
is the argument map. `Calls.methods` lists all of them, from which the reference of calls is generated.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import pkgutil
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

import im_service
from frame.constants import FrameType
from im_service.errors import REFUSALS, UNDECODABLE, Code, ImError, rate_limited
from im_service.live.sessions import Sessions
from im_service.ports import Clock, Downlink, Session
from im_service.rates import Limiter, Rate
from im_service.storage.errors import StoreConflict, StoreError, StoreFull, StoreMissing

RETURN = int(FrameType.RETURN)
MAX_CALLS = 64
"""Calls of one session under way at once; more are answered 416."""
_log = logging.getLogger("qianwan.im")


MAX_SECONDS = 100 * 366 * 86_400
"""A century: longer durations say -1, for ever."""
Seconds = Annotated[int, Meta(ge=-1, le=MAX_SECONDS)]
"""A duration; -1 = for ever, 0 = ends now."""
Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Positive = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
"""What a store can hold."""


class Args(Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of argument maps: an unknown key is an error, so a misspelt one is noticed."""


def refuse_nul(args: Args) -> None:
    """Texts that stores keep as text hold no U+0000: not every engine can. 414."""
    for name in args.__struct_fields__:
        value = getattr(args, name)
        texts: Iterable[Any] = value if isinstance(value, list) else (value,)
        if isinstance(value, dict):
            texts = [*value, *value.values()]
        if any(isinstance(text, str) and "\x00" in text for text in texts):
            raise ImError(Code.INVALID, f"{name} holds U+0000")


class Caller(NamedTuple):
    """Who calls: a user on a device, or the application's server (acting for `user`, "" = for itself)."""

    user: str
    device: str = ""
    session: Session | None = None
    server: bool = False


SERVER = Caller("", "", None, True)

Handler = Callable[[Caller, Any], Awaitable[Any]]
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


class Method(NamedTuple):
    """One line of the reference: what it is called, takes, gives, and how it refuses."""

    name: str
    args: type[Args]
    result: str
    errors: tuple[Code, ...]
    doc: str
    server_only: bool
    alone: bool  # the application's server may call it without naming a user
    call: Handler


def method(
    name: str, *errors: Code, result: str = "{}", server_only: bool = False, alone: bool = False
) -> Callable[[F], F]:
    """Mark an async method `(self, caller, args: SomeArgs)` as the CALL method `name`."""

    def mark(function: F) -> F:
        function.__dict__["__call_method__"] = (name, errors, result, server_only, alone or server_only)
        return function

    return mark


def collect(services: Iterable[object]) -> dict[str, Method]:
    """All marked methods of these objects, by name. ValueError if a name appears twice."""
    found: dict[str, Method] = {}
    for service in services:
        for attribute in dir(type(service)):
            function = getattr(type(service), attribute)
            mark = getattr(function, "__call_method__", None)
            if mark is None:
                continue
            name, errors, result, server_only, alone = mark
            if name in found:
                raise ValueError(f"two methods are called {name}")
            args = typing.get_type_hints(function)["args"]
            doc = " ".join((function.__doc__ or "").split())
            found[name] = Method(
                name, args, result, errors, doc, server_only, alone, getattr(service, attribute)
            )
    return dict(sorted(found.items()))


class Calls:
    """Decodes, limits, runs and answers calls."""

    def __init__(
        self, services: Iterable[object], sessions: Sessions, clock: Clock, downlink: Downlink, rate: Rate
    ) -> None:
        self.methods: Mapping[str, Method] = collect(services)
        self._decoders = {n: msgspec.msgpack.Decoder(m.args).decode for n, m in self.methods.items()}
        self._sessions = sessions
        self._clock = clock
        self._downlink = downlink
        self._limiter = Limiter(rate)
        self._running: dict[Session, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def on_call(self, session: Session, request: int, name: str, payload: bytes) -> None:
        """Answer one CALL, now or later, exactly once."""
        try:
            entry, args = self._accept(session, name, payload)
        except ImError as error:
            self._downlink.reply(session, RETURN, request, error.code, error.payload())
            return
        self._running[session] = self._running.get(session, 0) + 1
        task = asyncio.get_running_loop().create_task(self._run(session, request, entry, args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, session: Session, name: str, payload: bytes) -> tuple[Method, Args]:
        entry = self.methods.get(name)
        if entry is None or entry.server_only:
            raise ImError(Code.NOT_FOUND, f"no such method: {name[:64]}")
        state = self._sessions.get(session) or self._sessions.stray(session)
        if not self._limiter.off and (wait := self._limiter.take(state.calls, self._clock.now_ms())):
            raise rate_limited(wait, "calls")
        if self._running.get(session, 0) >= MAX_CALLS:
            raise rate_limited(100, "calls under way")
        try:
            return entry, self._decoders[name](payload)
        except msgspec.ValidationError as error:
            raise ImError(Code.INVALID, f"{name}: {error}") from None
        except UNDECODABLE:
            raise ImError(Code.MALFORMED) from None

    async def _run(self, session: Session, request: int, entry: Method, args: Args) -> None:
        try:
            try:
                state = self._sessions.get(session)
                if state is not None and state.ready is not None:
                    await asyncio.shield(state.ready)
                result = await self._guarded(entry, Caller(session.user, session.device, session), args)
                code, payload = 0, msgspec.msgpack.encode(result)
            except ImError as error:
                code, payload = int(error.code), error.payload()
            except Exception:
                _log.exception("call %s failed", entry.name)
                code, payload = int(Code.INTERNAL), REFUSALS[Code.INTERNAL]
            self._downlink.reply(session, RETURN, request, code, payload)
        finally:
            left = self._running.get(session, 1) - 1
            if left:
                self._running[session] = left
            else:
                self._running.pop(session, None)

    async def invoke(self, name: str, args: Mapping[str, Any] | Args, caller: Caller = SERVER) -> Any:
        """Run a method for the application's server (or any caller). Raises ImError."""
        entry = self.methods.get(name)
        if entry is None or (entry.server_only and not caller.server):
            raise ImError(Code.NOT_FOUND, f"no such method: {name[:64]}")
        if not caller.user and not entry.alone:
            raise ImError(Code.INVALID, f"{name} needs a user to act for")
        if not isinstance(args, Args):
            try:
                args = msgspec.convert(args, entry.args)
            except msgspec.ValidationError as error:
                raise ImError(Code.INVALID, f"{name}: {error}") from None
        return await self._guarded(entry, caller, args)

    async def _guarded(self, entry: Method, caller: Caller, args: Args) -> Any:
        """Run a method; what the store refuses becomes a request code."""
        refuse_nul(args)
        try:
            return await entry.call(caller, args)
        except StoreMissing as error:
            raise ImError(Code.NOT_FOUND, str(error) or None) from None
        except StoreConflict as error:
            raise ImError(Code.CONFLICT, str(error) or None) from None
        except StoreFull as error:
            raise ImError(Code.CONFLICT, str(error) or "a limit is reached") from None
        except StoreError as error:
            _log.warning("store refused %s: %r", entry.name, error)
            raise ImError(Code.UNAVAILABLE) from None

    async def close(self) -> None:
        """Wait until the calls under way are answered."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass(frozen=True)
class Declared:
    """A CALL method as the message service declares it. `alone`: the server need not act for a user."""

    name: str
    args: type[msgspec.Struct]
    result: str
    errors: tuple[Code, ...]
    doc: str
    server_only: bool
    alone: bool


def declared_methods() -> dict[str, Declared]:
    """Every marked method of the message service, found in its classes; nothing is built."""
    found: dict[str, Declared] = {}
    for module_info in pkgutil.walk_packages(im_service.__path__, "im_service."):
        if ".storage" in module_info.name:
            continue
        module = importlib.import_module(module_info.name)
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                found.update(_of_class(kind))
    return dict(sorted(found.items()))


def _of_class(kind: type) -> dict[str, Declared]:
    found = {}
    for function in vars(kind).values():
        mark = getattr(function, "__call_method__", None)
        if mark is not None:
            name, errors, result, server_only, alone = mark
            args = typing.get_type_hints(function)["args"]
            doc = " ".join((function.__doc__ or "").split())
            found[name] = Declared(name, args, result, tuple(errors), doc, server_only, alone)
    return found


def _types(args: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(args)}


def with_raw(args: type[msgspec.Struct], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Members the method takes undecoded, encoded as it expects them."""
    types = _types(args)
    return {
        name: msgspec.Raw(msgspec.msgpack.encode(value)) if types.get(name) is msgspec.Raw else value
        for name, value in arguments.items()
    }
