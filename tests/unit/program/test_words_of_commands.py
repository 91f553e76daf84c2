"""What a command makes of its words before it asks anybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from program.cli.commands import program_of

REFUSED = {
    ("conns", "--user", ""): "user is empty",
    ("trace", ""): "user is empty",
    ("nodes", ""): "node is empty",
    ("nodes", "--url", "ftp://x"): "ftp://x: the admin API is asked over http",
    ("keys", "rotate", "nosuch"): "rotate server, token or ticket",
    ("storm", "--end", "--new", "5"): "leave out what else is asked",
    ("nodes", "--api-key", "qwk_\n"): "--api-key is no key",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_word_that_means_nothing_is_refused_with_code_2(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QIANWAN_API_KEY", "qwk_" + "0" * 12)
    done = CliRunner().invoke(program_of(words[:1]), [*words, "--data-dir", str(tmp_path)])
    assert (done.exit_code, REFUSED[words] in done.stderr) == (2, True), done.output


def test_a_page_may_begin_at_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        program_of(["conns"]),
        ["conns", "--after", "", "--url", "127.0.0.1:9", "--api-key", "x", "--data-dir", str(tmp_path)],
    )
    assert done.exit_code == 3, done.output


def test_settings_that_are_good_are_told_as_json(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        program_of(["config"]), ["config", "check", "--json", "--data-dir", str(tmp_path)]
    )
    assert json.loads(done.stdout)["given"] == 1, done.output


def test_a_key_that_the_folder_does_not_know_may_be_the_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QIANWAN_ETCD__ENDPOINTS", '["http://127.0.0.1:9"]')
    monkeypatch.setenv("QIANWAN_BUS__KIND", "nats")
    assert (
        CliRunner()
        .invoke(program_of(["api-key"]), ["api-key", "create", "x", "--data-dir", str(tmp_path)])
        .exit_code
        == 0
    )
    done = CliRunner().invoke(
        program_of(["api-key"]), ["api-key", "revoke", "0" * 12, "--data-dir", str(tmp_path)]
    )
    assert (done.exit_code, "--cluster" in done.stderr) == (1, True), done.output
