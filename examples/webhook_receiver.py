"""Receives the event copy (docs/EVENTS.md): SECRET=whsec_... python webhook_receiver.py PORT FILE."""

import base64
import hmac
import json
import os
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ["SECRET"].removeprefix("whsec_"))
DB, PUT = sqlite3.connect(sys.argv[2]), "INSERT OR IGNORE INTO event (id, event) VALUES (?, ?)"
DB.execute("CREATE TABLE IF NOT EXISTS event (place INTEGER PRIMARY KEY, id UNIQUE, event)")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body, head = self.rfile.read(int(self.headers["Content-Length"])), self.headers
        signed = f"{head['webhook-id']}.{head['webhook-timestamp']}.".encode() + body
        good = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
        known = any(hmac.compare_digest(good, one.encode()) for one in str(head["webhook-signature"]).split())
        if taken := known and abs(time.time() - int(head["webhook-timestamp"])) < 300:
            with DB:  # a repeated event is left out, so each subject's are there once and in order
                DB.executemany(PUT, [(e["event_id"], json.dumps(e)) for e in json.loads(body)["events"]])
        status = "204 Kept" if taken else "401 Wrong signature or time"
        self.wfile.write(f"HTTP/1.1 {status}\r\n\r\n".encode())


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
