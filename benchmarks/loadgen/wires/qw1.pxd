"""QW1, encrypted, as docs/PROTOCOL.md has it: full handshake, AUTH, CALL room.join, SEND, MSG, EVENT, PING."""

from benchmarks.loadgen.types cimport Swarm

# What a swarm says and does on a connection, chosen before connecting.
cdef enum:
    OPCODE_SEND = 0         # SEND with the payload of a message, through the im service
    OPCODE_CORE = 1         # SEND whose payload is the bare text, relayed inside the core

# Fill s.wire and prepare the pool of handshakes: s.preamble, s.server_key and s.suite are set. 0 or -1.
cdef int qw1_open(Swarm* s, int pool_size) except -1
