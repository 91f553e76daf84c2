"""An LBS that answers what the test wants: true, lying, old, slow, empty, or not at all."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.support.scripted_gateway import KeyRing

HEAD = b"QWLB\x01"


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sealed(keys: KeyRing, content: dict[str, object], head: bytes = HEAD) -> str:
    """Signed by this root, as the page says."""
    body = head + json.dumps(content).encode()
    return b64url(body + keys.root.sign(body))


class Lbs:
    """`told` are members of what is signed, in place of true ones; `extra` stands beside it, unsigned. `keys`
    None: 503.
    """

    def __init__(self) -> None:
        self.keys: KeyRing | None = None
        self.ports: tuple[int, ...] = ()
        self.told: dict[str, object] = {}
        self.extra: dict[str, object] = {}
        self.age_s = 0.0
        self.signs = True
        self.silent = threading.Event()
        self.silent.set()  # not silent
        self.asked: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(self.path)
                owner.silent.wait(30)
                body = json.dumps(owner.answer(dict(parse_qsl(urlsplit(self.path).query)))).encode()
                self.send_response(200 if owner.keys else 503)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Nothing on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def point_to(self, keys: KeyRing, *ports: int, **told: object) -> None:
        self.keys, self.ports, self.told = keys, ports, told

    def answer(self, question: dict[str, str]) -> dict[str, object]:
        if self.keys is None:
            return {}
        content: dict[str, object] = {
            "issued_at": int(time.time() - self.age_s),
            "ttl_s": 300,
            "keep_s": 86400,
            "for": {"transport": "tcp"} | question,
            "gateways": [
                {"host": "127.0.0.1", "port": port, "transport": "tcp", "node": "n", "path": None}
                for port in self.ports
            ],
            "key_set": b64url(self.keys.key_set()),
            "suites": [],
        } | self.told
        signed = {"signed": sealed(self.keys, content)} if self.signs else {}
        return content | {"root": self.keys.root_text} | signed | self.extra

    def stop(self) -> None:
        self.silent.set()
        self._server.shutdown()
        self._server.server_close()
