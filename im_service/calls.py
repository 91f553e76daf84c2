"""CALL methods: how they are declared and dispatched.

A method is an async function of a service under `@method(name, ...)`; the Struct of its parameter `args` is
the argument map. The decorator registers it once; `im_service.methods.METHODS` is the whole register, which
the dispatch, the HTTP routes, OpenAPI and the reference of calls read.
"""

from __future__ import annotations

import asyncio
import logging
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Never, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, inspect

from frame.constants import FrameType
from im_service.errors import REFUSALS, UNDECODABLE, Code, ImError, rate_limited
from im_service.faults import told
from im_service.grammar import check_arguments
from im_service.ids import check_id
from im_service.live.sessions import Sessions
from im_service.live.users import SessionState
from im_service.pages import MAX_ANSWER
from im_service.ports import Clock, Downlink, Session
from im_service.rates import Limiter, Rate
from im_service.storage.engine import Commits, counted
from im_service.storage.errors import StoreConflict, StoreError, StoreFull, StoreMissing, StoreUnknown
from im_service.storage.records import FOREVER
from im_service.storage.shares import SERVER as FOR_SERVER
from im_service.storage.shares import Errand, asking, errand

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


def until_ms(now_ms: int, seconds: int) -> int:
    """When a duration from now ends: 0 for none, FOREVER for -1."""
    return FOREVER if seconds < 0 else now_ms + seconds * 1000 if seconds else 0


class Args(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of argument maps: an unknown key is an error, so a misspelt one is noticed. What was not given
    is not sent on either: a default may lie outside of what may be asked for."""


class NoArgs(Args):
    """Of a method that takes nothing."""


Nothing = dict[str, Never]
"""The answer of a method that has nothing to say: an empty map."""


class Caller(NamedTuple):
    """Who calls: a user on a device, or the application's server (acting for `user`, "" = for itself)."""

    user: str
    device: str = ""
    session: Session | None = None
    server: bool = False

    @property
    def sees_all(self) -> bool:
        """The application's server for itself; for a user it sees what that user does."""
        return self.server and not self.user


SERVER = Caller("", "", None, True)

Arguments = Args | Raw | Mapping[str, object]
"""Of a call inside the server: read already, a msgpack map as it came, or members by name."""

Handler = Callable[[Caller, Any], Awaitable[object]]
F = TypeVar("F", bound=Callable[..., Awaitable[object]])


@dataclass(frozen=True)
class Method:
    """One entry of the register: what a method is called, takes, gives, and how it refuses."""

    name: str
    args: type[Args]
    result: str  # the answer in a line of text
    answer: type[Struct] | None  # its members, where they are typed
    errors: tuple[Code, ...]
    doc: str
    server_only: bool
    alone: bool  # the application's server may call it without naming a user
    owner: tuple[str, str]  # module and class
    attribute: str
    decode: Callable[[bytes | Raw], Args]

    def read(self, payload: bytes | Raw) -> Args:
        """The arguments out of a msgpack map. 414 for what is out of its bounds, 400 for what is no map."""
        try:
            return self.decode(payload)
        except msgspec.ValidationError as error:
            raise ImError(Code.INVALID, f"{self.name}: {told(error, self.args)}") from None
        except UNDECODABLE:
            raise ImError(Code.MALFORMED) from None


_register: dict[str, Method] = {}


def method(
    name: str,
    *errors: Code,
    result: str | type[Struct] = "{}",
    server_only: bool = False,
    alone: bool = False,
) -> Callable[[F], F]:
    """Register an async method `(self, caller, args: SomeArgs)` as the CALL method `name`. `result`: the
    answer as text, or its Struct. ValueError if the name is taken.
    """

    def register(function: F) -> F:
        owner, _, attribute = function.__qualname__.rpartition(".")
        if name in _register:
            raise ValueError(f"two methods are called {name}")
        args = typing.get_type_hints(function)["args"]
        _register[name] = Method(
            name,
            args,
            result if isinstance(result, str) else members(result),
            None if isinstance(result, str) else result,
            errors,
            " ".join((function.__doc__ or "").split()),
            server_only,
            alone or server_only,
            (function.__module__, owner),
            attribute,
            msgspec.msgpack.Decoder(args).decode,
        )
        return function

    return register


def registered() -> dict[str, Method]:
    """The methods of all classes imported so far, in the order of their names."""
    return dict(sorted(_register.items()))


def members(kind: type[Struct]) -> str:
    """`{a, b?, c: [{d}]}`: the members of a Struct, and of those in it; `?` = may be absent."""
    return _shape(inspect.type_info(kind))


def _shape(kind: inspect.Type) -> str:
    """The shape of a type; a scalar is named by its type."""
    match kind:
        case inspect.StructType(fields=fields, array_like=array):
            inner = ", ".join(_member(field) for field in fields)
            return f"[{inner}]" if array else f"{{{inner}}}"
        case inspect.NamedTupleType(fields=fields):
            return f"[{', '.join(_member(field) for field in fields)}]"
        case inspect.ListType(item_type=item):
            return f"[{_shape(item)}]"
        case inspect.DictType(key_type=key, value_type=value):
            return f"{{{_shape(key)}: {_shape(value)}}}"
        case inspect.UnionType(types=types):
            (one,) = (each for each in types if not isinstance(each, inspect.NoneType))
            return f"{_shape(one)}|nil"
        case inspect.Metadata(type=inner_type, extra_json_schema=extra):
            return extra["title"] if extra else _shape(inner_type)
    return type(kind).__name__.removesuffix("Type").lower()


def _member(field: inspect.Field) -> str:
    name = field.encode_name if field.required else f"{field.encode_name}?"
    shape = _shape(field.type)
    if shape[0] in "[{" or shape[0].isupper():
        return f"{name}: {shape}"
    return f"{name}|nil" if shape.endswith("|nil") else name


def pack(arguments: Mapping[str, object]) -> bytes:
    """Arguments as msgpack. 414 for what msgpack cannot carry and JSON can."""
    try:
        return msgspec.msgpack.encode(arguments)
    except UnicodeEncodeError:
        raise ImError(Code.INVALID, "half of a surrogate pair") from None
    except OverflowError:
        raise ImError(Code.INVALID, "a number beyond 64 bits") from None
    except RecursionError:
        raise ImError(Code.INVALID, "nested without end") from None


def encode_answer(result: object) -> bytes:
    """A result as msgpack. 414 for what no frame takes: lists are cut before (pages.py), so this is one thing
    that is too long."""
    payload = msgspec.msgpack.encode(result)
    if len(payload) > MAX_ANSWER:
        raise ImError(Code.INVALID, f"the answer has {len(payload)} bytes, the most is {MAX_ANSWER}")
    return payload


def bind(methods: Iterable[Method], services: Iterable[object]) -> dict[str, Handler]:
    """Each method on the service that has it. LookupError for one whose class is not among them."""
    owners = {(type(service).__module__, type(service).__qualname__): service for service in services}
    if missing := [entry.name for entry in methods if entry.owner not in owners]:
        raise LookupError(f"no service has {', '.join(missing)}")
    return {entry.name: getattr(owners[entry.owner], entry.attribute) for entry in methods}


class Calls:
    """Decodes, limits, runs and answers calls."""

    def __init__(
        self,
        services: Iterable[object],
        sessions: Sessions,
        clock: Clock,
        downlink: Downlink,
        rate: Rate,
        admit: Callable[[SessionState, str, Args], Awaitable[object]],
        present: Callable[[str, Args, Caller], Awaitable[None]],
    ) -> None:
        self._admit = admit
        self._present = present
        self._methods = registered()
        self._handlers = bind(self._methods.values(), services)
        self._sessions = sessions
        self._clock = clock
        self._downlink = downlink
        self._limiter = Limiter(rate)
        self._running: dict[Session, int] = {}
        self._tasks: dict[asyncio.Task[None], int] = {}  # and the node that asked

    def set_rate(self, rate: Rate) -> None:
        """Of one device, from now on."""
        self._limiter.set(rate)

    def under_way(self, node: int) -> list[asyncio.Task[None]]:
        """Calls of connections of this node that are not answered."""
        return [task for task, asked_by in self._tasks.items() if asked_by == node]

    def on_call(self, session: Session, request: int, name: str, payload: bytes) -> None:
        """Answer one CALL, now or later, exactly once."""
        try:
            state = self._sessions.hear(session)
            entry, args = self._accept(state, name, payload)
        except ImError as error:
            self._downlink.reply(session, RETURN, request, error.code, error.payload())
            return
        except Exception:
            _log.exception("call %s failed", name[:64])
            self._downlink.reply(session, RETURN, request, Code.INTERNAL, REFUSALS[Code.INTERNAL])
            return
        self._running[session] = self._running.get(session, 0) + 1
        task = asyncio.get_running_loop().create_task(self._run(state, request, entry, args))
        self._tasks[task] = session.node
        task.add_done_callback(self._tasks.pop)

    def _accept(self, state: SessionState, name: str, payload: bytes) -> tuple[Method, Args]:
        entry = self._methods.get(name)
        if entry is None or entry.server_only:
            raise ImError(Code.NOT_FOUND, f"no such method: {name[:64]}")
        if not self._limiter.off and (wait := self._limiter.take(state.calls, self._clock.elapsed_ms())):
            raise rate_limited(wait, "calls")
        if self._running.get(state.session, 0) >= MAX_CALLS:
            raise rate_limited(100, "calls under way")
        args = entry.read(payload)
        check_arguments(args)
        return entry, args

    async def _run(self, state: SessionState, request: int, entry: Method, args: Args) -> None:
        session = state.session
        asking.set(session.user)
        errand.set(Errand(lambda: state.over))
        try:
            try:
                result: object = await self._admit(state, entry.name, args)
                if isinstance(result, Args):
                    result = await self._guarded(entry, Caller(*session[2:], session), result)
                code, payload = 0, encode_answer(result)
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

    async def invoke(self, name: str, args: Arguments, caller: Caller = SERVER) -> object:
        """Run a method for the application's server (or any caller). Raises ImError."""
        entry = self._methods.get(name)
        if entry is None or (entry.server_only and not caller.server):
            raise ImError(Code.NOT_FOUND, f"no such method: {name[:64]}")
        if not caller.user and not entry.alone:
            raise ImError(Code.INVALID, f"{name} needs a user to act for")
        if caller.user:
            check_id(caller.user, "user")
        asking.set(caller.user or FOR_SERVER)
        if not isinstance(args, Args):
            args = entry.read(args if isinstance(args, Raw) else pack(args))
        check_arguments(args)
        return await self._guarded(entry, caller, args)

    async def _guarded(self, entry: Method, caller: Caller, args: Args) -> object:
        """Run a method; what the store refuses becomes a request code."""
        with counted() as commits:
            return await self._mapped(entry, caller, args, commits)

    async def _mapped(self, entry: Method, caller: Caller, args: Args, commits: Commits) -> object:
        try:
            await self._present(entry.name, args, caller)
            return await self._handlers[entry.name](caller, args)
        except StoreMissing as error:
            raise ImError(Code.NOT_FOUND, str(error) or None) from None
        except StoreConflict as error:
            raise ImError(Code.CONFLICT, str(error) or None) from None
        except StoreFull as error:
            raise ImError(Code.CONFLICT, str(error) or "a limit is reached") from None
        except StoreUnknown as error:
            _log.warning("store lost %s: %s", entry.name, error)
            raise ImError(Code.TIMEOUT, "the store was lost meanwhile: the outcome is unknown") from None
        except StoreError as error:
            _log.warning("store refused %s: %s", entry.name, error)
            if commits.count:
                raise ImError(Code.TIMEOUT, "the store was lost in the middle: a part was done") from None
            raise ImError(Code.UNAVAILABLE) from None

    async def close(self) -> None:
        """Wait until the calls under way are answered."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
