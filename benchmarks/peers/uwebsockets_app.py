"""The application behind the uWebSockets peer: `J` subscribes and is echoed, anything else is published.

Messages of one publisher that arrive in one read are published in one turn of the event loop, so
uWebSockets joins them into one write per subscriber: its best batching. Subscribers may lag by 256 MB
before they are cut off.
"""

from __future__ import annotations

import sys
from typing import Any

from socketify import App, AppListenOptions, CompressOptions, OpCode

TOPIC = "hall"
BACKPRESSURE_BYTES = 256 << 20


def on_message(ws: Any, message: bytes, opcode: OpCode) -> None:
    if message[:1] == b"J":
        ws.subscribe(TOPIC)
        ws.send(b"J", OpCode.BINARY)
    else:
        app.publish(TOPIC, message, OpCode.BINARY)


app = App()
app.ws(
    "/*",
    {
        "compression": CompressOptions.DISABLED,
        "max_payload_length": 1 << 16,
        "idle_timeout": 960,
        "send_pings_automatically": False,
        "max_backpressure": BACKPRESSURE_BYTES,
        "message": on_message,
    },
)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"), lambda config: None)
app.run()
