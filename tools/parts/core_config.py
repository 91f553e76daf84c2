"""The limits of the core as members of its C struct, and how they get there: both from `CoreLimits`."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec

from gateway_core.config import CoreLimits
from tools.parts.made import Made


def make(root: Path) -> Made:
    members, fill = [], []
    for field in msgspec.structs.fields(CoreLimits):
        member = _member(field.name, field.type)
        if not member:
            continue
        fill.append(f"s.{member} = config.{field.name}")
        if "." not in member:  # else a part of the core has it in a struct of its own
            members.append(f"{'bint' if field.type is bool else 'uint32_t'} {member}")
    return Made(
        {},
        {
            "gateway_core/types.pxd": {"core-limits": "\n".join(members)},
            "gateway_core/engine/config.pyx": {"core-limits": "\n".join(fill)},
        },
    )


def _member(name: str, kind: object) -> str:
    """The member of Config that a limit is; "" for those that are no plain number, or that Python reads."""
    if kind is bool:
        return name
    if not hasattr(kind, "__metadata__") or get_args(kind)[0] is not int:
        return ""
    extra = get_args(kind)[1].extra or {}
    return str(extra.get("member", name))
