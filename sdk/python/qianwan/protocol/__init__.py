"""QW1 without I/O: what goes over the wire, as docs/PROTOCOL.md writes it down."""
