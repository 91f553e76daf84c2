"""Files of certificates may be empty, half written or foreign for a moment: that ends and harms nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from control.coordination.etcd.certificates import Tls, read
from control.coordination.etcd.errors import EtcdError
from control.settings.build import build
from control.settings.sections import EtcdSection
from tests.support.etcd_certificates import Certificates


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("other"))


class Files:
    def __init__(self, folder: Path) -> None:
        made = Certificates(folder)
        self.of = {"ca": made.ca, "cert": made.client.cert, "key": made.client.key}
        paths = {name: str(path) for name, path in self.of.items()}
        self.section: EtcdSection = build({"etcd": {"endpoints": ["https://localhost:1"], **paths}}).etcd


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "own")


BAD = {"empty": b"", "a newline": b"\n", "garbage": b"hello", "half": None, "gone": None}


def spoil(path: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if how == "half" else BAD[how] or b"")


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
@pytest.mark.parametrize("how", BAD)
def test_what_is_not_good_is_named_and_the_certificates_before_go_on(
    files: Files, name: str, how: str
) -> None:
    tls = Tls(files.section)
    before, stamp = tls.credentials(), tls.stamp()
    content = files.of[name].read_bytes()
    spoil(files.of[name], how)
    assert tls.stamp() != stamp, "a connection that failed looks again"
    assert tls.credentials() is before
    with pytest.raises(EtcdError, match=rf"etcd\.{name}: .*{files.of[name].name}"):
        Tls(files.section).credentials()
    stamp = tls.stamp()
    files.of[name].write_bytes(content)
    assert tls.stamp() != stamp
    assert tls.credentials() is not before


@pytest.mark.parametrize("name", ["cert", "key"])
def test_a_certificate_that_was_replaced_before_its_key_waits_for_it(
    files: Files, other: Certificates, name: str
) -> None:
    tls = Tls(files.section)
    before = tls.credentials()
    new = {"cert": other.client.cert, "key": other.client.key}
    files.of[name].write_bytes(new.pop(name).read_bytes())
    assert tls.credentials() is before
    with pytest.raises(EtcdError, match="is not the key of"):
        read(files.section)
    for late, path in new.items():
        files.of[late].write_bytes(path.read_bytes())
    assert tls.credentials() is not before


def test_a_process_with_an_empty_certificate_says_so_and_lives(files: Files) -> None:
    script = (
        "import asyncio, sys; from control.coordination.etcd.client import EtcdClient;"
        "from control.settings.build import build; from control.coordination.etcd.errors import EtcdError;"
        "ca, cert, key = sys.argv[1:]\n"
        "async def run():\n"
        "    section = {'endpoints': ['https://localhost:1'], 'ca': ca, 'cert': cert, 'key': key}\n"
        "    client = EtcdClient(build({'etcd': section}).etcd)\n"
        "    try: await client.get(b'a')\n"
        "    except EtcdError as error: print(error)\n"
        "asyncio.run(run())\n"
    )
    Tls(files.section).credentials()
    spoil(files.of["cert"], "empty")
    ran = subprocess.run(
        [sys.executable, "-c", script, *(str(files.of[name]) for name in ("ca", "cert", "key"))],
        capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": "."}, check=False,
    )  # fmt: skip
    assert (ran.returncode, "client.crt is empty" in ran.stdout) == (0, True), ran.stderr[-2000:]
