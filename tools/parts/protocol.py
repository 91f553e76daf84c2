"""What repeats frame/spec/protocol.toml: constants for C, Python and JavaScript, and the tables of
docs/PROTOCOL.md. Needs the standard library only, so that it runs before anything is built or installed.
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tools.parts.made import Made, markdown

SOURCE = "frame/spec/protocol.toml"
HEAD = f"GENERATED from {SOURCE} by tools/generate.py. Do not edit."
DOCS = "docs/PROTOCOL.md"

Spec = dict[str, dict[str, dict[str, Any]]]


class Group(NamedTuple):
    """One table of the specification and the names it gets in each language."""

    table: str
    prefix: str
    python: str
    flag: bool
    about: str


GROUPS = [
    Group("frames", "FRAME_", "FrameType", False, "Frame types."),
    Group("preamble_flags", "PREAMBLE_", "PreambleFlag", True, "Bits of the preamble's flags."),
    Group("patterns", "PATTERN_", "Pattern", False, "Handshake patterns."),
    Group("suites", "SUITE_", "Suite", False, "Cipher suites."),
    Group("rejects", "REJECT_", "Reject", False, "Codes of a REJECT in the place of handshake message 2."),
    Group(
        "flight_tlvs", "FLIGHT_", "FlightTlv", False, "TLV tags in the payload of message 1 behind a ticket."
    ),
    Group("resume_flags", "RESUMED_", "ResumeFlag", True, "Flags of RESUME_OK."),
    Group("resume_reasons", "RESUME_", "ResumeReason", False, "Reasons of a RESUME_FAIL."),
    Group("hello_tlvs", "TLV_", "HelloTlv", False, "TLV tags in the payload of handshake message 2."),
    Group("auth_kinds", "AUTH_", "AuthKind", False, "Kinds of AUTH."),
    Group("ping_states", "PING_", "PingState", True, "State bits of a PING."),
    Group("death_causes", "DEATH_", "DeathCause", False, "Why the last connection of a REPORT ended."),
    Group("platforms", "PLATFORM_", "Platform", False, "Platforms of a device."),
    Group("close_codes", "CLOSE_", "CloseCode", False, "Codes of CLOSE and GOAWAY, see CLOSE_RANGES."),
    Group("request_codes", "CODE_", "RequestCode", False, "Codes of SEND_ACK, RETURN and ERROR."),
    Group("event_kinds", "EVENT_", "EventKind", False, "Kinds of EVENT."),
    Group("room_shapes", "ROOM_", "RoomShape", True, "Shape bits of a message in EVENT ROOM_MESSAGES."),
    Group("message_types", "MESSAGE_", "MessageType", False, "Types of a message."),
    Group("message_flags", "MESSAGE_FLAG_", "MessageFlag", True, "Flag bits of a Message."),
]


def flat(spec: Spec) -> Iterable[tuple[str, list[tuple[str, int, str]]]]:
    """Every integer as (heading, [(C name, value, meaning)])."""
    yield "Limits", [(k, v["value"], limit_meaning(v)) for k, v in spec["limits"].items()]
    yield "First byte of a frame", [(k, v["id"], v["meaning"]) for k, v in spec["flags"].items()]
    for group in GROUPS:
        rows = spec[group.table].items()
        yield group.about.rstrip("."), [(group.prefix + k, v["id"], v["meaning"]) for k, v in rows]
    yield "Sizes of the suites, bytes", suite_sizes(spec)


def suite_sizes(spec: Spec) -> list[tuple[str, int, str]]:
    rows = [
        (f"{part.upper()}_{name}", suite[part], f"{part} bytes")
        for name, suite in spec["suites"].items()
        for part in ("tag", "key", "nonce")
    ]
    largest = max(suite["tag"] for suite in spec["suites"].values())
    return [*rows, ("TAG_MAX", largest, "the largest tag of any suite")]


def limit_meaning(limit: dict[str, Any]) -> str:
    return f"{limit['unit']}: {limit['meaning']}" if limit["unit"] else str(limit["meaning"])


def number(name: str, value: int) -> str:
    return f"0x{value:X}" if name.startswith("FLAG_") or name.endswith("_MASK") else str(value)


def commented(code: str, mark: str, comment: str) -> str:
    """`code  # comment`, or the comment on a line before when both are too long for one."""
    indent = code[: len(code) - len(code.lstrip())]
    line = f"{code}  {mark} {comment}"
    return line if len(line) <= 110 else f"{indent}{mark} {comment}\n{code}"


def cython(spec: Spec) -> str:
    out = [f'"""{HEAD}"""', ""]
    for heading, rows in flat(spec):
        out += ["", f"# {heading}", "cdef enum:"]
        out += [commented(f"    {k} = {number(k, value)}", "#", meaning) for k, value, meaning in rows]
    return "\n".join(out) + "\n"


def suites_pxd(spec: Spec) -> str:
    rows = [("SUITE_" + k, v["id"], v["meaning"]) for k, v in spec["suites"].items()]
    out = [f'"""{HEAD}"""', "", "# Cipher suites and their sizes in bytes", "cdef enum:"]
    out += [commented(f"    {name} = {v}", "#", meaning) for name, v, meaning in [*rows, *suite_sizes(spec)]]
    return "\n".join(out) + "\n"


def mark(spec: Spec) -> str:
    """One number over all names and values: modules built from different specifications differ in it."""
    rows = [(name, value) for _, group in flat(spec) for name, value, _ in group]
    texts = [(name, row["value"]) for name, row in spec["text"].items()]
    return f"0x{zlib.crc32(repr((rows, texts)).encode()):08X}"


def c_header(spec: Spec) -> str:
    out = [f"/* {HEAD} */", "#ifndef QW_CONSTANTS_H", "#define QW_CONSTANTS_H", ""]
    out += [f'#define QW_{name} "{row["value"]}"' for name, row in spec["text"].items()]
    out += ["", "/* over all names and values here; part of the layout mark */"]
    out += [f"#define QW_CONSTANTS_MARK {mark(spec)}u"]
    for heading, rows in flat(spec):
        out += ["", f"/* {heading} */", "enum {"]
        out += [f"    QW_{name} = {number(name, value)}," for name, value, _ in rows]
        out += ["};"]
    return "\n".join([*out, "", "#endif", ""])


def python(spec: Spec) -> str:
    out = [f'"""QW1 on the wire. {HEAD}"""', "", "from __future__ import annotations", ""]
    out += ["from enum import IntEnum, IntFlag", "from typing import Final", ""]
    for name, row in spec["text"].items():
        out.append(commented(f'{name}: Final = "{row["value"]}"', "#", row["meaning"]))
    out.append("")
    out += [commented(f"{k}: Final = {v['value']}", "#", limit_meaning(v)) for k, v in spec["limits"].items()]
    out.append("")
    for k, v in spec["flags"].items():
        out.append(commented(f"{k}: Final = {number(k, v['id'])}", "#", v["meaning"]))
    for group in GROUPS:
        base = "IntFlag" if group.flag else "IntEnum"
        out += ["", "", f"class {group.python}({base}):", f'    """{group.about}"""', ""]
        for k, v in spec[group.table].items():
            out.append(commented(f"    {k} = {v['id']}", "#", v["meaning"]))
    out += ["", "", "# (first, last, what a client does)", "CLOSE_RANGES: Final = ("]
    out += [f'    ({v["first"]}, {v["last"]}, "{k.lower()}"),' for k, v in spec["close_ranges"].items()]
    out += [")", ""]
    for title, field in (("TAG_BYTES", "tag"), ("KEY_BYTES", "key"), ("NONCE_BYTES", "nonce")):
        pairs = ", ".join(f"Suite.{k}: {v[field]}" for k, v in spec["suites"].items())
        out.append(f"{title}: Final[dict[int, int]] = {{{pairs}}}")
    out += ["NOISE_NAME: Final[dict[int, str]] = {"]
    out += [f'    Suite.{k}: "{v["noise"]}",' for k, v in spec["suites"].items()]
    out += ["}", "", "# over all names and values here; the C modules must have been built with the same"]
    return "\n".join([*out, f"CONSTANTS_MARK: Final = {mark(spec)}", ""])


def javascript(spec: Spec) -> str:
    out = [f"// {HEAD}", ""]
    out += [f'export const {name} = "{row["value"]}";' for name, row in spec["text"].items()]
    out += [f"export const {k} = {v['value']};" for k, v in spec["limits"].items()]
    out += [f"export const {k} = {number(k, v['id'])};" for k, v in spec["flags"].items()]
    for group in GROUPS:
        out += ["", f"/** {group.about} */", f"export const {group.python} = Object.freeze({{"]
        out += [commented(f"  {k}: {v['id']},", "//", v["meaning"]) for k, v in spec[group.table].items()]
        out += ["});"]
    out += ["", "/** [first, last, what a client does] */", "export const CLOSE_RANGES = Object.freeze(["]
    out += [f'  [{v["first"]}, {v["last"]}, "{k.lower()}"],' for k, v in spec["close_ranges"].items()]
    return "\n".join([*out, "]);", ""])


def simple(spec: Spec, table: str, head: str) -> str:
    rows = spec[table].items()
    return markdown([head, "name", "meaning"], [(v["id"], f"`{k}`", v["meaning"]) for k, v in rows])


def close_table(spec: Spec) -> str:
    ranges = [(f"{v['first']}-{v['last']}", "", f"**{v['meaning']}**") for v in spec["close_ranges"].values()]
    firsts = [v["first"] for v in spec["close_ranges"].values()]
    codes = [(v["id"], f"`{k}`", v["meaning"]) for k, v in spec["close_codes"].items()]
    rows: list[tuple[object, str, str]] = []
    for first, row in zip(firsts, ranges, strict=True):
        rows += [row, *(code for code in codes if code[0] // 1000 * 1000 == first)]
    return markdown(["code", "name", "meaning"], rows)


def suite_table(spec: Spec) -> str:
    rows = spec["suites"].items()
    return markdown(
        ["suite", "name", "handshake", "key", "nonce", "tag", "transport"],
        [
            (v["id"], f"`{k}`", f"`{v['noise']}`", v["key"], v["nonce"], v["tag"], v["meaning"])
            for k, v in rows
        ],
    )


def tables(spec: Spec) -> dict[str, str]:
    """The marked tables of docs/PROTOCOL.md, by name."""
    frames, limits = spec["frames"].items(), spec["limits"].items()
    return {
        "frames": markdown(
            ["type", "name", "direction", "body", "meaning"],
            [(v["id"], f"`{k}`", v["direction"], v["body"], v["meaning"]) for k, v in frames],
        ),
        "flags": markdown(
            ["value", "name", "meaning"],
            [(number(k, v["id"]), f"`{k}`", v["meaning"]) for k, v in spec["flags"].items()],
        ),
        "text": markdown(
            ["name", "text", "meaning"],
            [(f"`{k}`", f"`{v['value']}`", v["meaning"]) for k, v in spec["text"].items()],
        ),
        "limits": markdown(
            ["name", "value", "unit", "meaning"],
            [(f"`{k}`", v["value"], v["unit"], v["meaning"]) for k, v in limits],
        ),
        "suites": suite_table(spec),
        "close_codes": close_table(spec),
        "patterns": simple(spec, "patterns", "pattern"),
        "rejects": simple(spec, "rejects", "code"),
        "tlvs": simple(spec, "hello_tlvs", "tag"),
        "flight_tlvs": simple(spec, "flight_tlvs", "tag"),
        "resume_flags": simple(spec, "resume_flags", "value"),
        "resume_reasons": simple(spec, "resume_reasons", "reason"),
        "auth_kinds": simple(spec, "auth_kinds", "kind"),
        "preamble_flags": simple(spec, "preamble_flags", "value"),
        "ping_states": simple(spec, "ping_states", "value"),
        "death_causes": simple(spec, "death_causes", "value"),
        "request_codes": simple(spec, "request_codes", "code"),
        "platforms": simple(spec, "platforms", "platform"),
        "event_kinds": simple(spec, "event_kinds", "kind"),
        "room_shapes": simple(spec, "room_shapes", "value"),
        "message_types": simple(spec, "message_types", "type"),
        "message_flags": simple(spec, "message_flags", "value"),
    }


def problems(spec: Spec) -> list[str]:
    """What is wrong with the specification itself: numbers used twice, close codes outside of every range."""
    found = []
    for table, rows in spec.items():
        ids = [row["id"] for row in rows.values() if "id" in row]
        found += [f"[{table}] uses {i} twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
    spans = [(v["first"], v["last"]) for v in spec["close_ranges"].values()]
    for name, row in spec["close_codes"].items():
        if not any(first <= row["id"] <= last for first, last in spans):
            found.append(f"[close_codes] {name} is in no range")
    names = [name for _, rows in flat(spec) for name, _, _ in rows]
    return found + [f"{name} is made twice" for name in sorted({n for n in names if names.count(n) > 1})]


OUTPUTS: dict[str, Callable[[Spec], str]] = {
    "frame/constants.pxd": cython,
    "frame/constants.py": python,
    "frame/includes/constants.h": c_header,
    "crypto/suites.pxd": suites_pxd,
    "sdk/python/qianwan/constants.py": python,
    "sdk/web/constants.js": javascript,
}


def make(root: Path) -> Made:
    """Refuses a specification that contradicts itself."""
    spec: Spec = tomllib.loads((root / SOURCE).read_text(encoding="utf-8"))
    if wrong := problems(spec):
        raise SystemExit(f"{SOURCE}: " + "; ".join(wrong))
    return Made({name: write(spec) for name, write in OUTPUTS.items()}, {DOCS: tables(spec)})
