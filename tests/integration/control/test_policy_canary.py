"""A bad policy, sent to a canary of live clients, is taken back by itself; the log says why."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from program.cli.commands import program_of
from tests.support.policy_phones import Phones, canary_story
from tests.support.tree import ROOT

COUNT = int(os.environ.get("QIANWAN_TEST_PHONES", "48"))
"""`make faults` takes 2,000, and a tenth of them for the canary."""


@pytest.fixture(scope="module")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phones]:
    with Phones.beside_a_server(tmp_path_factory.mktemp("server"), count=COUNT) as made:
        yield made


def test_a_bad_policy_is_taken_back_by_itself_and_drops_nobody(phones: Phones) -> None:
    story = canary_story(phones, share=25.0 if COUNT < 1000 else 10.0, within_s=30.0)
    print(f"{story.canaries} canaries of {COUNT}, taken back after {story.back_s:.1f} s for {story.breach}")
    assert story.canaries >= 4
    assert story.dropped == 0
    assert story.back_s < 30
    assert story.revisions == {1}, "everybody goes by the version before again"
    assert [what for who, what in story.trail if who == "policy-guard"] == ["policies.rollback"]
    published = [what for who, what in story.trail if who != "policy-guard"]
    assert published.count("policies.publish") == 4, "two were begun and done"
    assert story.breach in ("deaths", "lost", "reconnects"), "whichever is seen first"


def test_the_page_leads_from_a_symptom_to_a_roll_out(
    phones: Phones, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of docs/WEAK-NETWORK.md, one after another, for clients whose NAT forgets after 5 min."""
    page = (ROOT / "docs" / "WEAK-NETWORK.md").read_text()
    shown = page.partition("### From a symptom to a roll-out")[2].partition("```\n")[2].partition("```")[0]
    commands = [shlex.split(line)[1:] for line in shown.splitlines()]
    assert len(commands) == 10
    phones.publish(240.0, 100.0)
    for number, phone in enumerate(phones.all * 2):
        phone.client.close()
        died = number % 5 == 0
        gap = 330_000 if died else 200_000 + 1_000 * number
        phone.connect({"cause": int(died), "gap_ms": gap, "lived_ms": gap, "alive_ms": gap})
        phone.beat()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QIANWAN_ADMIN_URL", phones.server.admin_url)
    monkeypatch.setenv("QIANWAN_API_KEY", phones.key)
    said: list[str] = []
    for words in commands:
        done = CliRunner().invoke(program_of(words[:1]), words)
        assert done.exit_code == 0, f"{words}: {done.output}"
        said.append(done.output)
    held = phones.ask("GET", "/policies/mobile")
    for phone in phones.all:
        phone.beat()
    assert "alive" in said[1]
    assert (tmp_path / "before.svg").read_text().startswith("<svg")
    assert (tmp_path / "before.png").read_bytes().startswith(b"\x89PNG")
    assert "less" in said[2]
    interval = held["current"]["policy"]["constants"]["ping_interval_s"]
    assert 240 < interval < 300, "found from the curve: below the NAT's, above what it was"
    assert {phone.interval_s for phone in phones.all} == {interval}
    assert held["history"][-1]["what"] == "promote"
    assert "policies.canary" in said[9]
