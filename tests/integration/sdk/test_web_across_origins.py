"""A page in a real browser asks the LBS of another origin: CORS, WebCrypto, localStorage as they are."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.lbs_server import Lbs
from tests.support.scripted_gateway import KeyRing
from tests.support.server_process import ServerProcess
from tests.support.tree import ROOT

PAGE = """<!doctype html><script type="module">
import { Places } from "/lbs.js";
const told = TOLD;
const tried = async (settings, asked) => {
  try { return await new Places({ device: "tab-1", ...settings }).find(asked); }
  catch (error) { return `${error.constructor.name}: ${(error.causes ?? []).map(String)}`; }
};
const found = {
  real: await tried({ urls: [told.real] }, { user: "alice" }),
  kept: localStorage.getItem("qianwan.lbs") !== null,
};
found.away = await tried({ urls: [told.dead], root: told.root });
found.backup = await tried({ urls: [told.dead, told.real], root: told.root, storage: null });
found.lying = await tried({ urls: [told.lying], root: told.root, storage: null });
found.closed = await tried({ urls: [told.closed], root: told.root, storage: null });
const raw = await fetch(told.real + "/v1/lbs?device=d", { headers: { "If-None-Match": '"x"' } });
found.etag = raw.headers.get("etag");
found.origin = location.origin;
await fetch("/found", { method: "POST", body: JSON.stringify(found) });
</script>"""


class Site:
    """Serves the page, from an origin of its own, and takes what it found."""

    def __init__(self, told: dict[str, str]) -> None:
        self.found: queue.Queue[dict[str, Any]] = queue.Queue()
        site = self
        files = {"/lbs.js": ROOT / "sdk/web/lbs.js", "/constants.js": ROOT / "sdk/web/constants.js"}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if path := files.get(self.path):
                    self._say(path.read_bytes(), "text/javascript")
                else:
                    self._say(PAGE.replace("TOLD", json.dumps(told)).encode(), "text/html")

            def do_POST(self) -> None:
                site.found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._say(b"", "text/plain")

            def _say(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Nothing on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def browser(url: str, profile: Path) -> Iterator[None]:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--disable-background-networking", "--no-first-run", f"--user-data-dir={profile}"]
    command += ["--remote-debugging-port=0", url]
    with (
        (profile.parent / "chromium.log").open("wb") as log,
        subprocess.Popen(command, stderr=log) as running,
    ):
        try:
            yield
        finally:
            running.terminate()


@pytest.fixture
def lying() -> Iterator[Lbs]:
    running = Lbs()
    running.point_to(KeyRing(), 6666)
    yield running
    running.stop()


def test_a_page_of_another_origin_finds_its_gateway(
    server: ServerProcess, lying: Lbs, tmp_path: Path
) -> None:
    root = json.loads(server.get("/v1/lbs")[1])["root"]
    own = ServerProcess(tmp_path / "closed", settings={"control.lbs.origins": ["https://other.example"]})
    with own as closed:
        told = {"real": server.url, "dead": "http://127.0.0.1:1", "lying": lying.url, "root": root}
        site = Site({**told, "closed": closed.url})
        try:
            with browser(site.url, tmp_path / "profile"):
                found = site.found.get(timeout=60)
        finally:
            site.stop()
    assert found["origin"] == site.url != server.url
    assert found["real"] == [f"ws://127.0.0.1:{server.gateway_port}/qw1"]
    assert found["kept"] is True
    assert found["away"] == found["backup"] == found["real"]
    assert "not signed by the pinned root" in found["lying"]
    assert found["closed"].startswith("NoPlace: TypeError"), "the browser keeps a foreign page out"
    assert found["etag"]
