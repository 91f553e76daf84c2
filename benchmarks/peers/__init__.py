"""Peers: other servers under the same load, each with its own wire (loadgen/wires), all plaintext TCP."""

from __future__ import annotations

from benchmarks.peers.base import Peer
from benchmarks.peers.mosquitto import Mosquitto
from benchmarks.peers.nats import NatsServer
from benchmarks.peers.uwebsockets import UWebSockets

PEERS: dict[str, type[Peer]] = {"mosquitto": Mosquitto, "nats": NatsServer, "uwebsockets": UWebSockets}

__all__ = ["PEERS", "Peer"]
