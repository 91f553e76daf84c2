"""Structured logs: JSON lines for machines, colours for people. Never a token, a key or a message body."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_METHODS = _LEVELS | {"warn": logging.WARNING}
_COMPONENT = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
REPEAT_S = 10.0
BURST, PER_S = 200, 1.0
"""Lines of one place in the code: so many at once, and a second in the long run. Whoever makes it speak,
be it a stranger, fills no disk."""
UNBOUND = frozenset({"audit"})
"""Components whose every line counts: only who has an API key makes them speak."""
_KINDS = 1000
_BRIEF = ("asyncpg", "nats")
"""Libraries whose errors are those of a network: a traceback through them tells nothing."""
_SECRETS = re.compile(
    r"(?P<key>qwk_[0-9a-f]{12}_)[\w-]+"  # API keys: their id may be told
    r"|(?P<token>eyJ[\w-]{5,}\.)[\w-]+\.[\w-]+"  # tokens: their header may
    r"|(?P<url>\w+://[^\s:/@]*:)[^\s@]+(?=@)"  # passwords in URLs
)

WAIT_MS = 50
"""For a reader that is slow; for one that stands still only once."""


class Lines:
    """Takes lines for a stream and never raises nor waits for long: a log that nobody reads, or whose disk is
    full, must not end what logs. What is not taken is lost and counted, and told when lines are taken again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._fd = _descriptor(stream)
        self._poll = select.poll()
        self._lock = threading.Lock()
        self._lost = 0
        self._stuck = False
        self._torn = False
        if self._fd is not None:
            self._poll.register(self._fd, select.POLLOUT)

    def write(self, text: str) -> None:
        if not text:
            return
        with self._lock:
            if not self._written(text.encode(errors="backslashreplace")):
                self._lost += text.count("\n") or 1
                return
            lost, self._lost = self._lost, 0
        if lost:
            get_logger("logs").warning("nobody took lines of this log: they are lost", lines=lost)

    def flush(self) -> None:
        """Every write is one already."""

    def _written(self, data: bytes) -> bool:
        """In pieces that a pipe takes whole where it takes one: a line of that size is never torn."""
        try:
            if self._fd is None:
                self._stream.write(data.decode())
                return True
            if self._torn:
                data = b"\n" + data
            left = memoryview(data)
            while left:
                if not self._poll.poll(0 if self._stuck else WAIT_MS):
                    self._stuck = True
                    return False
                left = left[os.write(self._fd, left[: select.PIPE_BUF]) :]
                self._stuck, self._torn = False, bool(left)
        except (OSError, ValueError):
            return False
        return True


class _Logger:
    """What structlog hands a finished line to. It is one write: workers share the file."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def msg(self, message: str) -> None:
        self._lines.write(message + "\n")

    debug = info = warning = error = critical = exception = msg


def _descriptor(stream: TextIO) -> int | None:
    """None for a stream in memory."""
    with suppress(OSError, ValueError):
        stream.flush()
        return stream.fileno()
    return None


class Levels:
    """A structlog processor: the lowest level that is written, of each component that has one of its own and
    of all others. Shared by all loggers, and changed while they speak.
    """

    def __init__(self) -> None:
        self._usual = logging.INFO
        self._own: dict[str, int] = {}

    def set(self, level: str, levels: str) -> int:
        """From now on. The lowest of all, below which nobody need ask."""
        self._usual = _LEVELS[level]
        self._own = {component: _LEVELS[own] for component, own in parse_levels(levels).items()}
        return min(self._usual, *self._own.values()) if self._own else self._usual

    def __call__(self, _: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if self._own:
            lowest = self._own.get(str(event.get("component")), self._usual)
            if _METHODS.get(method, logging.ERROR) < lowest:
                raise structlog.DropEvent
        return event


_levels = Levels()


def parse_levels(text: str) -> dict[str, str]:
    """Component -> level of `gateway=debug, keys=error`. Raises ValueError."""
    found: dict[str, str] = {}
    for word in filter(None, (each.strip() for each in text.split(","))):
        component, equals, level = (each.strip() for each in word.partition("="))
        if not equals or not _COMPONENT.fullmatch(component) or level not in _LEVELS:
            raise ValueError(f"{word!r} is not component=level, with a level of {', '.join(_LEVELS)}")
        found[component] = level
    return found


class Calm(logging.Filter):
    """Of lines that differ in their values alone one in REPEAT_S, with the number of those left out: in an
    outage every request says the same.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[object, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.name.split(".")[0] in _BRIEF:
            record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]!r}", ()
            record.exc_info = None
        elif record.levelno < logging.WARNING:
            return True
        kind = (record.name, record.levelno, record.msg, record.exc_info and record.exc_info[0])
        now = self._clock()
        shown, left_out = self._kinds.get(kind, (now - REPEAT_S, 0))
        if now - shown < REPEAT_S:
            self._kinds[kind] = shown, left_out + 1
            return False
        if len(self._kinds) >= _KINDS:
            self._kinds.clear()
        self._kinds[kind] = now, 0
        if left_out:
            record.repeated = left_out
        return True


class Bound:
    """A structlog processor: of the lines of our own that differ in their values alone BURST, and PER_S from
    then on; the next one that is shown says how many were left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[object, ...], tuple[float, float, int]] = {}  # -> (left, at, left out)

    def __call__(self, _: WrappedLogger, level: str, event: EventDict) -> EventDict:
        component = event.get("component")
        if component in UNBOUND:
            return event
        kind, now = (component, level, event["event"]), self._clock()
        with self._lock:
            left, at, left_out = self._kinds.get(kind, (BURST, now, 0))
            left = min(BURST, left + (now - at) * PER_S)
            if left < 1:
                self._kinds[kind] = left, now, left_out + 1
                raise structlog.DropEvent
            if len(self._kinds) >= _KINDS:
                self._kinds.clear()
            self._kinds[kind] = left - 1, now, 0
        if left_out:
            event["repeated"] = left_out
        return event


def setup_logs(
    level: str = "info",
    form: Literal["auto", "json", "console"] = "auto",
    node: str = "",
    levels: str = "",
) -> None:
    """Configure structlog and route the standard library's logs (uvicorn, nats) through it, to stderr.
    `levels`: of single components (`parse_levels`).
    """
    lines = Lines(sys.stderr)
    for_people = form == "console" or (form == "auto" and sys.stderr.isatty())

    def named(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Every line says whose it is, whatever thread it comes from; libraries' lines by their logger."""
        event.setdefault("component", str(event.pop("logger", "program")).removeprefix("qianwan."))
        event.setdefault("node", node)
        if repeated := getattr(event.get("_record"), "repeated", 0):
            event["repeated"] = repeated
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks without values of variables, for people too: those are bodies, keys and tokens.
    plain = structlog.dev.plain_traceback
    final: list[Processor] = [
        structlog.processors.format_exc_info,
        hide_secrets,
        *(
            [_on_one_line, structlog.dev.ConsoleRenderer(exception_formatter=plain)]
            if for_people
            else [structlog.processors.JSONRenderer(_json)]
        ),
    ]
    structlog.configure(
        processors=[_levels, Bound(), *shared, named, *final],
        wrapper_class=structlog.make_filtering_bound_logger(_levels.set(level, levels)),
        logger_factory=lambda *_: _Logger(lines),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, named],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
    )
    handler = logging.StreamHandler(lines)
    handler.setFormatter(formatter)
    handler.addFilter(Calm())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(_LEVELS[level], logging.WARNING))


def set_level(level: str, levels: str = "") -> None:
    """From now on, in every logger that is there."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_levels.set(level, levels)))
    logging.getLogger().setLevel(max(_LEVELS[level], logging.WARNING))


def get_logger(component: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `component`, the part of the program that speaks."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=component)
    return logger


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Secrets that stand in a text, an exception's for example, are left out (a structlog processor)."""
    for name, value in event.items():
        if isinstance(value, BaseException):
            value = str(value)
        if isinstance(value, str):
            event[name] = _SECRETS.sub(lambda found: f"{found[found.lastgroup or 0]}***", value)
    return event


def _json(event: EventDict, default: Callable[[object], object]) -> str:
    """A line of JSON that people read too: what they wrote stays as it is. Escaped is what commands a
    terminal, ends a line or turns it round."""
    line = json.dumps(event, ensure_ascii=False, default=default)
    return line if line.isprintable() else "".join(map(_shown, line))


def _shown(character: str) -> str:
    """Above 0xffff the escape of JSON is a pair of surrogates."""
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _on_one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What a client or an operator named is no command to the terminal, and no second line (a structlog
    processor); tracebacks keep theirs."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            kept = "\n" if name in ("exception", "stack") else ""
            event[name] = "".join(
                each if each.isprintable() or each in kept else each.encode("unicode_escape").decode()
                for each in value
            )
    return event
