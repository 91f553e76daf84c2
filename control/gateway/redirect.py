"""Where a client that shall leave is sent: other gateways, in the order that LBS would name them to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from control.coordination.base import NodeInfo
from control.lbs.addresses import addresses_of
from control.lbs.locate import Location
from control.lbs.placement import place, why_not
from control.settings.gateway_addresses import GatewayAddress
from control.settings.values import join_address
from frame import varint
from frame.constants import ADDRESS_MAX, GOAWAY_ADDRESSES


class Redirect:
    """`gateways`: those that live, this one included. Its zone and carrier stand for the client's, whom LBS
    sent here. `own`: the node id of this one. `answers`: gateways named in one GOAWAY.
    """

    def __init__(
        self,
        gateways: Callable[[], Iterable[NodeInfo]],
        own: int,
        zone: str,
        isp: str,
        answers: int,
    ) -> None:
        self._gateways = gateways
        self._own = own
        self._zone = zone
        self._isp = isp
        self._where = Location(zone, isp)
        self._answers = answers

    def addresses(self, user: str, device: str, websocket: bool, *, here_too: bool = False) -> list[str]:
        """In the order to try; none when nobody else is there. `here_too`: this gateway may be named."""
        nodes = [node for node in self._gateways() if here_too or node.node_id != self._own]
        found = (
            _said(address)
            for node in place(nodes, user, device, self._zone, self._isp, self._answers)
            for address in addresses_of(node, "ws" if websocket else "tcp", self._where)
        )
        short = [each for each in dict.fromkeys(found) if len(each.encode()) <= ADDRESS_MAX]
        return short[:GOAWAY_ADDRESSES]

    def others(self) -> int:
        """Gateways that would take somebody from here."""
        return sum(
            not (node.node_id == self._own or node.draining or why_not(node)) for node in self._gateways()
        )


def _said(address: GatewayAddress) -> str:
    return f"{address.transport}://{join_address(address.host, address.port)}{address.path}"


def goaway(code: int, retry_after_ms: int, jitter_ms: int, addresses: Iterable[str], text: str) -> bytes:
    """The body of the frame (docs/PROTOCOL.md 8)."""
    there = [each.encode() for each in addresses]
    head = b"".join(map(varint.encode, (code, retry_after_ms, jitter_ms)))
    return b"".join(
        (head, bytes([len(there)]), *(varint.encode(len(each)) + each for each in there), text.encode())
    )
