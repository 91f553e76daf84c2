"""The kernel settings: names that there are, each with its reason, and enough for what the program asks."""

from __future__ import annotations

import re
from pathlib import Path

from control.settings import Settings
from program.doctor.machine import KNOBS
from tests.support.deployment import DEPLOY

TEXT = (DEPLOY / "sysctl.conf").read_text()
SET = dict(re.findall(r"^([a-z]\S+) = (.+)$", TEXT, re.MULTILINE))
UNIT = (DEPLOY / "systemd" / "qianwan.service").read_text()


def test_every_name_is_one_of_the_kernel() -> None:
    assert len(SET) >= 10
    for name, value in SET.items():
        knob = Path("/proc/sys", *name.split("."))
        assert knob.exists(), name
        assert len(knob.read_text().split()) == len(value.split()), name


def test_every_block_begins_with_its_reason() -> None:
    for block in TEXT.split("\n\n"):
        assert block.startswith("#"), block


def test_the_doctor_has_nothing_to_say_about_them() -> None:
    for name, (least, _) in KNOBS.items():
        if (dotted := name.replace("/", ".")) in SET:
            assert int(SET[dotted].split()[0]) >= least, name
    assert int(SET["net.core.somaxconn"]) >= Settings().gateway.core.backlog
    (files,) = re.findall(r"^LimitNOFILE=(\d+)$", UNIT, re.MULTILINE)
    assert int(files) <= int(SET["fs.nr_open"])
