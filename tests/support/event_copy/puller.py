"""Pulls the event copy as a consumer group, into a file: KEY=... python -m tests.support.event_copy.puller
URL GROUP FILE. What was pulled is in the file before the group's cursor is committed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from typing import Any

PAGE, WAIT_S, AGAIN_S = 500, 4, 0.05


class Puller:
    def __init__(self, url: str, group: str, file: str, key: str) -> None:
        self._url, self._group, self._key = url, group, key
        self._file = sqlite3.connect(file)
        self._file.execute("CREATE TABLE IF NOT EXISTS event (place INTEGER PRIMARY KEY, id UNIQUE, event)")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, content, headers, method=method)
        with urllib.request.urlopen(request, timeout=WAIT_S + 20) as answer:
            return json.load(answer)

    def run(self) -> None:
        while True:
            try:
                self.once()
            except OSError:  # refusals, too: another commit was faster, or nobody answers now
                time.sleep(AGAIN_S)

    def once(self) -> None:
        revision = self.ask("GET", f"/v1/events/groups/{self._group}")["revision"]
        page = self.ask("GET", f"/v1/events?group={self._group}&limit={PAGE}&wait_s={WAIT_S}")
        with self._file:
            for event in page["events"]:
                self._file.execute(
                    "INSERT OR IGNORE INTO event (id, event) VALUES (?, ?)",
                    (event["event_id"], json.dumps(event)),
                )
        place = {"cursor": page["next"], "revision": revision}
        self.ask("PUT", f"/v1/events/groups/{self._group}", place)


if __name__ == "__main__":
    Puller(sys.argv[1], sys.argv[2], sys.argv[3], os.environ["KEY"]).run()
