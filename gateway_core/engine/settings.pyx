from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from gateway_core.net.sender cimport SEND_AUTO, SEND_SEND, SEND_URING
from gateway_core.types cimport MAX_KEYS, KeyRing, Settings, layout_mark

LAYOUT = layout_mark()


cdef int settings_fill(object config, Settings* s) except -1:
    cdef bytes text
    cdef int i
    memset(s, 0, sizeof(Settings))
    s.max_connections = config.max_connections
    s.accept_budget = config.accept_budget
    s.auth_timeout_s = config.auth_timeout_s
    s.grace_s = config.grace_s
    s.max_timeout_s = config.max_timeout_s
    s.queue_soft_bytes = config.queue_soft_bytes
    s.queue_hard_bytes = config.queue_hard_bytes
    s.queue_event_bytes = config.queue_event_bytes
    s.flush_messages = config.flush_messages
    s.flush_bytes = config.flush_bytes
    s.flush_delay_us = int(config.flush_max_delay_ms * 1000)
    s.sweep_budget_us = config.sweep_budget_us
    s.large_topic = config.large_topic
    s.topic_pending = config.topic_pending
    s.handshake_budget_us = config.handshake_budget_us
    s.handshake_queue = config.handshake_queue
    s.ephemerals = config.ephemerals
    s.rekey_records = config.rekey_records
    s.rekey_s = config.rekey_s
    s.max_age_s = config.max_age_s
    s.inbound_per_s = config.inbound_per_s
    s.inbound_burst = config.inbound_burst
    s.ip_connections = config.ip_connections
    s.ip_accepts_per_s = config.ip_accepts_per_s
    s.ip_accepts_burst = config.ip_accepts_burst
    s.net64_connections = config.net64_connections
    s.event_ring = config.event_ring
    s.mailbox = config.mailbox
    s.max_body = config.max_body
    s.max_topics = config.max_topics
    s.unsent_bytes = config.unsent_bytes
    s.send_buffer = config.send_buffer
    s.receive_buffer = config.receive_buffer
    s.backlog = config.backlog
    s.sender = {"auto": SEND_AUTO, "send": SEND_SEND, "io_uring": SEND_URING}[config.sender]
    s.compress_level = config.compress_level
    s.compress = config.compress
    s.announce_topics = config.announce_topics
    text = config.relay_prefix.encode()
    s.relay_len = <uint32_t>len(text)
    memcpy(s.relay, PyBytes_AS_STRING(text), s.relay_len)
    text = config.node.encode()
    s.node_len = <uint32_t>len(text)
    memcpy(s.node, PyBytes_AS_STRING(text), s.node_len)
    s.n_ranges = <uint32_t>len(config.proxy_networks)
    for i, (ip, bits) in enumerate(config.proxy_networks):
        memcpy(s.ranges[i].ip, PyBytes_AS_STRING(ip), 16)
        s.ranges[i].bits = bits
    return 0


cdef int key_ring_fill(object keys, bytes signed_set, KeyRing* ring) except -1:
    cdef bytes priv, pub
    memset(ring, 0, sizeof(KeyRing))
    if not 1 <= len(keys) <= MAX_KEYS or len(signed_set) > <Py_ssize_t>sizeof(ring.signed_set):
        raise ValueError(f"1..{<int>MAX_KEYS} keys and a key set of at most {sizeof(ring.signed_set)} bytes")
    for key_id, priv, pub in keys:
        if len(priv) != 32 or len(pub) != 32:
            raise ValueError("X25519 keys are 32 bytes")
        ring.key[ring.n].id = key_id
        memcpy(ring.key[ring.n].priv, PyBytes_AS_STRING(priv), 32)
        memcpy(ring.key[ring.n].pub, PyBytes_AS_STRING(pub), 32)
        ring.n += 1
    memcpy(ring.signed_set, PyBytes_AS_STRING(signed_set), len(signed_set))
    ring.signed_len = <uint32_t>len(signed_set)
    return 0
