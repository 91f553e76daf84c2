"""The schema of events (docs/events.schema.json), and the page of their kinds with an example of each."""

from __future__ import annotations

import json
from pathlib import Path

from im_service.outbox.kinds.catalogue import ID, KINDS, EventKind, Json, document
from tools.parts.made import Made, markdown

SCHEMA, EXAMPLES, PAGE = "docs/events.schema.json", "docs/events.examples.json", "docs/EVENT-KINDS.md"
HEAD = f"""# Kinds of events

What [the durable copy](EVENTS.md) tells, by kind. `GET /v1/events/schema` and
[events.schema.json](events.schema.json) say the same to programs: JSON Schema, draft 2020-12,
`{ID}`. In `data` a `?` stands behind what may be missing. *record* is what `im.service.copy.record` must
name; empty: it is always there.
"""
NOTICES = "Of a notice `data` also has `conversation`, `seq`, `server_id`, `time_ms`, `from` and `target?`"


def make(root: Path) -> Made:
    schema = document()
    examples = {each["kind"]: each for each in json.loads((root / EXAMPLES).read_text(encoding="utf-8"))}
    page = "\n".join([
        "<!-- written by tools/generate.py -->",
        HEAD,
        f"{NOTICES}; what is listed lies in `notice`.\n",
        markdown(["kind", "what", "subject", "record", "data"], (_row(k, schema) for k in KINDS.values())),
        "\n## Examples\n",
        "One of each, as pull gives it; [events.examples.json](events.examples.json) has them as a file.\n",
        "```json",
        *(json.dumps(examples[name], ensure_ascii=False) for name in KINDS if name in examples),
        "```\n",
    ])  # fmt: skip
    text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    return Made({SCHEMA: text, PAGE: page}, {"docs/EVENTS.md": {"recorded-kinds": _recorded()}})


def _recorded() -> str:
    by_record: dict[str, list[str]] = {}
    for kind in KINDS.values():
        if kind.record:
            by_record.setdefault(kind.record, []).append(f"`{kind.name}`")
    by_record["unkept"] = [
        "`message.*` of messages that no view keeps (`onlineOnly`, chatrooms without history)"
    ]
    return markdown(
        ["record", "kinds"], ((f"`{name}`", ", ".join(kinds)) for name, kinds in by_record.items())
    )


def _row(kind: EventKind, schema: Json) -> tuple[str, str, str, str, str]:
    shape = schema["$defs"][kind.name]
    shape = shape["anyOf"][0] if "anyOf" in shape else shape
    if kind.notice is not None:
        shape = shape["properties"]["notice"]
    subject = kind.subject if kind.subject.startswith("the ") else f"`{kind.subject}`"
    return f"`{kind.name}`", kind.text, subject, f"`{kind.record}`" if kind.record else "", members(shape)


def members(shape: Json) -> str:
    required = shape.get("required", ())
    return ", ".join(
        f"`{name}{'' if name in required else '?'}` {typed(member)}"
        for name, member in sorted(shape["properties"].items(), key=lambda one: one[0] not in required)
    )


def typed(member: Json) -> str:
    if "anyOf" in member:
        return " or ".join(typed(each) for each in member["anyOf"])
    if member.get("type") == "array":
        return f"list[{typed(member['items'])}]"
    return str(member.get("type", "any"))
