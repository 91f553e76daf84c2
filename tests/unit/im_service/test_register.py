"""A method is registered once, and what is registered is what a process answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from im_service import calls
from im_service.calls import Args, Caller, bind, members, method, pack
from im_service.errors import Code, ImError
from im_service.methods import METHODS
from im_service.models import WireMessage


class EchoArgs(Args):
    number: int = 0
    body: msgspec.Raw = msgspec.Raw(b"\xc0")


class EchoAnswer(msgspec.Struct, rename="camel"):
    number: int
    the_body: Any = None


class Line(msgspec.Struct, array_like=True):
    seq: int
    user: str


class Nested(msgspec.Struct):
    lines: list[Line]
    counts: dict[str, int]
    users: list[str]
    last: WireMessage | None
    inner: EchoAnswer
    next_seq: int | msgspec.UnsetType = msgspec.UNSET


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_register", {})


def echo_class() -> type:
    class Echo:
        @method("echo", Code.CONFLICT, result=EchoAnswer, server_only=True)
        async def echo(self, caller: Caller, args: EchoArgs) -> EchoAnswer:
            """Says it
            again."""
            return EchoAnswer(args.number)

    return Echo


def test_the_decorator_alone_registers_a_method(empty: None) -> None:
    echo = echo_class()
    (entry,) = calls.registered().values()
    assert (entry.name, entry.args, entry.errors, entry.doc) == (
        "echo", EchoArgs, (Code.CONFLICT,), "Says it again."
    )  # fmt: skip
    assert entry.server_only
    assert entry.alone
    assert (entry.answer, entry.result) == (EchoAnswer, "{number, theBody?}")
    service = echo()
    assert bind([entry], [object(), service])["echo"] == service.echo


def test_the_reference_shows_an_answer_to_its_innermost_member() -> None:
    assert members(Nested) == (
        "{lines: [[seq, user]], counts: {str: int}, users: [str], last: Message|nil,"
        " inner: {number, theBody?}, next_seq?}"
    )


def test_a_name_is_given_once(empty: None) -> None:
    echo_class()
    with pytest.raises(ValueError, match="two methods are called echo"):
        echo_class()


def test_a_method_without_its_service_is_not_left_unanswered(empty: None) -> None:
    echo_class()
    with pytest.raises(LookupError, match="no service has echo"):
        bind(calls.registered().values(), [object()])


def test_arguments_are_read_by_one_decoder_with_raw_members_as_msgpack(empty: None) -> None:
    echo_class()
    args = calls.registered()["echo"].read(pack({"number": 7, "body": {"text": "hi"}}))
    assert isinstance(args, EchoArgs)
    assert (args.number, msgspec.msgpack.decode(args.body)) == (7, {"text": "hi"})


@pytest.mark.parametrize(
    ("payload", "code"),
    [(pack({"number": "7"}), Code.INVALID), (pack({"nmber": 7}), Code.INVALID), (b"\xc1", Code.MALFORMED)],
)
def test_wrong_arguments_are_a_refusal(empty: None, payload: bytes, code: Code) -> None:
    echo_class()
    with pytest.raises(ImError) as refused:
        calls.registered()["echo"].read(payload)
    assert refused.value.code == code


@pytest.mark.parametrize("value", ["\ud800", 1 << 64, {"deep": [-(1 << 63) - 1]}])
def test_what_msgpack_cannot_carry_is_a_refusal(value: object) -> None:
    with pytest.raises(ImError) as refused:
        pack({"body": value})
    assert refused.value.code == Code.INVALID


def test_the_register_holds_every_method_in_order() -> None:
    assert list(METHODS) == sorted(METHODS)
    for name, entry in METHODS.items():
        assert entry.name == name
        assert issubclass(entry.args, Args)
