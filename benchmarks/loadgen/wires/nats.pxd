"""The NATS client protocol (docs.nats.io, reference: nats protocol), plain TCP: the wire of nats-server."""

from benchmarks.loadgen.types cimport Swarm

cdef void nats_open(Swarm* s) noexcept
