"""`qianwan dict`: trained, published, used by the clients that connect next, withdrawn."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
import zstandard
from qianwan.connection.dial import Dialer, DialSettings
from qianwan.protocol.auth import Credentials
from qianwan.protocol.dictionaries import Dictionaries
from qianwan.transport import Address

from tests.support.chat_link import Owner, root_of
from tests.support.chat_world import eventually
from tests.support.server_process import ServerProcess, program

WORDS = "see you at the station tomorrow morning please bring some coffee and the tickets thanks"


async def test_a_dictionary_is_trained_published_used_and_withdrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, talk, trained = random.Random(5), tmp_path / "talk.jsonl", tmp_path / "qianwan.dict"
    talk.write_text(
        "\n".join(json.dumps(" ".join(chance.choices(WORDS.split(), k=9))) for _ in range(2000)), "utf-8"
    )
    done = program("dict", "train", str(talk), "--out", str(trained), "--json")
    assert done.returncode == 0, done.stderr
    id = json.loads(done.stdout)["id"]
    used: list[int] = []
    decompress = Dictionaries.decompress

    def counted(self: Dictionaries, packed: bytes, raw_len: int) -> bytes:
        used.append(zstandard.get_frame_parameters(packed).dict_id)
        return decompress(self, packed, raw_len)

    monkeypatch.setattr(Dictionaries, "decompress", counted)
    with ServerProcess(tmp_path / "data", {"gateway.loops": 1}, admin="127.0.0.1:0") as server:
        at = ("--data-dir", str(server.data_dir))
        missing = program("dict", "show", *at)
        assert (missing.returncode, "there is no dictionary" in missing.stderr) == (1, True)
        (tmp_path / "words").write_text(WORDS, "utf-8")
        for name, words in (
            ("words", "no trained zstd dictionary"), (talk.name, "at most"), ("none", "No such file")
        ):  # fmt: skip
            refused = program("dict", "publish", str(tmp_path / name), *at)
            assert (refused.returncode, words in refused.stderr) == (2, True)
        assert program("dict", "publish", str(trained), *at).returncode == 0
        assert json.loads(program("dict", "show", *at, "--json").stdout)["id"] == id
        host, port = server.gateway
        settings = DialSettings(addresses=(Address.parse(f"{host}:{port}"),), root_key=root_of(server))
        dialer = Dialer(settings, device="phone", rng=random.Random(0), clock=time.monotonic)
        token, owner = server.token("ann"), Owner()

        async def names_it() -> bool:
            link = await dialer.connect(owner, token)
            await link.login(Credentials(token, "phone"))
            link.ping()
            told = link._wire.dictionary == id
            if told:
                await eventually(held, "the dictionary came")
            link.close()
            return told

        async def held() -> bool:
            return id in dialer._dictionaries

        await eventually(names_it, "the gateway names the dictionary")
        link = await dialer.connect(owner, token)
        await link.login(Credentials(token, "phone"))
        link.ping()

        async def arrived() -> bool:
            body = {"sender": "ben", "target": "u/ann", "type": 0, "body": {"text": WORDS}}
            status, _ = server.post("/v1/messages", body)
            assert status == 200
            return bool(owner.messages) and id in used

        await eventually(arrived, "a message by the dictionary")
        assert program("dict", "withdraw", *at).returncode == 0
        link.close()
