"""Logs tell what happened and never a secret: no values of variables, no key, token or password in a text."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from control.logs import BURST, Bound, Calm, get_logger, set_level, setup_logs
from control.settings import SettingsError
from control.settings.build import build

Form = Literal["console", "json"]
METHODS = ("debug", "info", "warning", "error")
KEY = "qwk_0123456789ab_" + "s" * 43
TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
BODY = "the body of a message"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SECRETS = ("s" * 43, "eyJzdWIi", "hunter2", BODY)


@pytest.fixture(params=["console", "json"])
def form(request: pytest.FixtureRequest) -> Iterator[Form]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield request.param
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = before


def test_every_line_says_when_what_and_whose_from_every_thread(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logs("info", "json", "node-7")
    get_logger("gateway").info("ours")
    thread = threading.Thread(target=lambda: get_logger("store").warning("from a thread"))
    thread.start()
    thread.join()
    logging.getLogger("qianwan.im").warning("the service's")
    logging.getLogger("uvicorn.error").error("a library's")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["component"] for line in lines] == ["gateway", "store", "im", "uvicorn.error"]
    for line in lines:
        assert {"event", "level", "timestamp"} <= set(line)
        assert line["node"] == "node-7"


def test_what_others_named_is_no_command_to_a_terminal(
    capsys: pytest.CaptureFixture[str], form: Form
) -> None:
    setup_logs("info", form)
    get_logger("gateway").info("a login", device="d\x1b]0;owned\x07\x9b31m\u202e\nsecond line")
    logging.getLogger("qianwan.im").warning("of %s", "a\x1b[2Jb")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line in lines:
        plain = COLOUR.sub("", line)
        assert plain.isprintable(), plain


def test_what_people_wrote_stays_readable_and_machines_read_every_character_back(
    form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_logs("info", form)
    get_logger("push").info("would push", text="alice: [图片] é 👍")
    shown = COLOUR.sub("", capsys.readouterr().err)
    assert "alice: [图片] é 👍" in shown
    setup_logs("info", "json")
    odd = '图\x00\x1b\x7f\x85\xa0\u2028\u202e\ud800\ufeff\U000e0041"\\\n'
    get_logger("push").info("would push", text=odd)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert json.loads(line)["text"] == odd


def test_components_have_levels_of_their_own_while_they_speak(
    form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_logs("info", form, levels="etcd=debug, keys = error")
    loggers = {name: get_logger(name) for name in ("etcd", "keys", "bus")}

    def speak() -> set[str]:
        for name, logger in loggers.items():
            for method in ("debug", "info", "warning", "error"):
                getattr(logger, method)(f"{name}-{method}")
        shown = capsys.readouterr().err
        return {f"{name}-{method}" for name in loggers for method in METHODS if f"{name}-{method}" in shown}

    usual = {"bus-info", "bus-warning", "bus-error"}
    assert speak() == usual | {"keys-error"} | {f"etcd-{method}" for method in METHODS}
    set_level("warning", "bus=info")
    assert speak() == usual | {f"{name}-{how}" for name in ("etcd", "keys") for how in ("warning", "error")}
    set_level("error")
    assert speak() == {"bus-error", "etcd-error", "keys-error"}


@pytest.mark.parametrize("text", ["etcd", "etcd=loud", "=debug", "a b=info", "etcd=debug;keys=info"])
def test_levels_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="component=level"):
        build({"log": {"levels": text}})


def fail(api_key: str, body: str) -> None:
    held = [api_key, body]
    raise ValueError(f"nothing of {len(held)} worked with {api_key} and {TOKEN}")


@pytest.mark.parametrize("library", [False, True], ids=["ours", "library"])
def test_a_traceback_shows_where_and_no_secret(
    form: Form, library: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    setup_logs("info", form)
    try:
        fail(KEY, BODY)
    except ValueError:
        if library:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        else:
            get_logger("test").exception("it failed", url="nats://user:hunter2@10.0.0.5:4222")
    shown = capsys.readouterr().err
    assert "in fail" in shown
    assert "qwk_0123456789ab_***" in shown, "its id may be told"
    for secret in SECRETS:
        assert secret not in shown
    if form == "json":
        assert "nothing of 2 worked" in json.loads(shown)["exception"]


def test_an_exception_as_a_value_is_told_by_its_words(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    setup_logs("info", form)
    get_logger("test").warning("refused", error=OSError(f"postgresql://qw:hunter2@db/x {KEY}"))
    shown = capsys.readouterr().err
    assert "postgresql://qw:***@db/x" in shown
    assert not any(secret in shown for secret in SECRETS)


def test_an_outage_says_the_same_once_in_ten_seconds_and_how_often(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup_logs("info", "json")
    now = 100.0
    (handler,) = logging.getLogger().handlers
    handler.filters[:] = [Calm(lambda: now)]
    log = logging.getLogger("qianwan.im")
    for second in range(25):
        now = 100.0 + second
        for request in range(4):
            log.warning("messages were not stored: %s", f"no connection, request {request}")
        log.warning("something else") if second == 5 else None
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"].split(":")[0] for line in lines] == [
        "messages were not stored",
        "something else",
        *["messages were not stored"] * 2,
    ]
    assert [line.get("repeated") for line in lines] == [None, None, 39, 39]


def test_a_library_of_the_network_shows_its_error_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup_logs("info", "json")
    try:
        raise ConnectionResetError("the database went away")
    except ConnectionResetError:
        logging.getLogger("asyncpg.pool").exception("Failed to restore the pool connection")
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line["component"] == "asyncpg.pool"
    assert line["event"].endswith("ConnectionResetError('the database went away')")
    assert "exception" not in line


def test_whoever_makes_a_place_speak_fills_no_disk(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand refused logins a second, as anybody can have them; others' lines are shown all the same."""
    setup_logs("info", "json")
    now = 100.0
    levels, _, *rest = structlog.get_config()["processors"]
    structlog.configure(processors=[levels, Bound(lambda: now), *rest])
    log = get_logger("gateway")
    for number in range(60_000):
        now = 100.0 + number / 1000
        log.info("login refused", peer=f"10.0.0.{number % 256}")
    log.info("another line")
    for _ in range(BURST + 10):
        get_logger("audit").info("administration")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    refused = [line for line in lines if line["event"] == "login refused"]
    assert BURST + 58 <= len(refused) <= BURST + 60
    assert refused[-1]["repeated"] == pytest.approx(999, abs=1), "it is told what was left out"
    assert [line["event"] for line in lines].count("another line") == 1
    assert [line["event"] for line in lines].count("administration") == BURST + 10


def lines_of(pipe: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in os.read(pipe, 1 << 20).splitlines() if line.startswith(b"{")]


@pytest.mark.parametrize("form", ["json"], indirect=True)
def test_a_log_that_nobody_takes_holds_nothing_up_and_says_later_what_is_lost(
    form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that stands still, for example a log collector."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        setup_logs("info", form)
        for number in range(4_000):
            get_logger("test").info(f"nobody reads {number}")
        logging.getLogger("library").warning("nobody reads")
        taken = lines_of(reader)
        get_logger("test").info("read again")
        told = lines_of(reader)
        os.close(reader)
    assert [line["event"] for line in told] == ["read again", "nobody took lines of this log: they are lost"]
    assert len(taken) + int(str(told[1]["lines"])) == 4_001
    assert told[1]["level"] == "warning"


@pytest.mark.parametrize("form", ["json"], indirect=True)
def test_a_log_that_takes_no_line_any_more_ends_nothing(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader has gone, or its disk is full."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone, open("/dev/full", "w") as full:
        for stream in (gone, full):
            monkeypatch.setattr(sys, "stderr", stream)
            setup_logs("info", form)
            get_logger("test").info("to nobody")
            logging.getLogger("library").warning("to nobody")
