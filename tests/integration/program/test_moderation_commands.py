"""`qianwan moderation`: a list is published and judges what clients send from then on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from qianwan import Client
from qianwan.errors import Forbidden
from typer.testing import CliRunner

from program.cli.admin.moderation import app
from program.cli.admin.policy import app as policies
from tests.support.sdk_client import take
from tests.support.server_process import ServerProcess


async def test_a_list_is_published_tried_obeyed_and_dropped(tmp_path: Path) -> None:
    words = tmp_path / "rude.txt"
    words.write_text("# a comment\n发票\n\nrude\n", "utf-8")
    with ServerProcess(tmp_path / "data", {"gateway.loops": 1}, admin="127.0.0.1:0") as server:

        def run(*asked: str) -> Result:
            return CliRunner().invoke(app, [*asked, "--data-dir", str(server.data_dir)])

        def answer(*asked: str) -> Any:
            done = run(*asked, "--json")
            assert done.exit_code == 0, done.output
            return json.loads(done.stdout)

        assert "pass" in run("test", "rude").stdout
        assert answer("publish", "rude", str(words), "--pinyin")["words"] == 2
        tried = answer("test", "so r.u.d.e fapiao")
        assert (tried["verdict"], tried["result"]) == ("mask", "so *.*.*.* ******")
        assert [(hit["word"], hit["text"], hit["start"]) for hit in tried["hits"]] == [
            ("rude", "r.u.d.e", 3),
            ("发票", "fapiao", 11),
        ]
        assert "r.u.d.e" in run("test", "so r.u.d.e").stdout
        (tmp_path / "again.json").write_text(run("show", "rude").stdout, "utf-8")
        assert run("publish", "Bad Name", str(words)).exit_code != 0
        (tmp_path / "bad.json").write_text('{"words": ["..."]}', "utf-8")
        bad = run("publish", "bad", str(tmp_path / "bad.json"))
        assert (bad.exit_code, "words[0]" in bad.stderr) == (2, True), bad.output
        async with (
            Client(server.url, token=server.token("ann")) as ann,
            Client(server.url, token=server.token("bob")) as bob,
        ):
            await ann.send("bob", "a rude word")
            assert await take(bob, 1) == ["a **** word"]
            answer("publish", "rude", str(tmp_path / "again.json"), "--action", "reject")

            async def refused() -> None:
                async with asyncio.timeout(10):
                    while True:
                        await ann.send("bob", "fa piao")

            with pytest.raises(Forbidden, match="not allowed"):
                await refused()
        assert answer("test", "fapiao")["result"] is None
        assert answer("lists")["lists"][0]["action"] == "reject"
        answer("drop", "rude")
        assert answer("lists")["lists"] == []
        nothing = [run("show", "rude"), run("drop", "rude")]
        assert [each.stdout for each in nothing] == ["", ""], "what is not there has no revision"
        assert [" ".join(each.stderr.split()) for each in nothing] == [
            "Not found: there is no list rude",
            "There was no list rude",
        ]
        retired = CliRunner().invoke(policies, ["retire", "nope", "--data-dir", str(server.data_dir)])
        assert (retired.exit_code, retired.stdout) == (1, "")
        assert retired.stderr == "No policy nope was published\n"
