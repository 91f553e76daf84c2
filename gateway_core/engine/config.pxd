"""A GatewayConfig into the structs of the core."""

from gateway_core.leaf.keys cimport KeyRing
from gateway_core.types cimport Config

cdef int config_fill(object config, Config* s) except -1
# keys: [(key_id, private 32, public 32)], 1..8 of them. ValueError otherwise.
cdef int key_ring_fill(object keys, bytes signed_set, KeyRing* ring) except -1
