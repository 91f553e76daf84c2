from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from cmodules cimport layout
from gateway_core.includes.sys cimport IP_BYTES
from gateway_core.leaf.keys cimport KEY_BYTES, KEY_SET_MAX, MAX_KEYS
from gateway_core.net.sender cimport SEND_AUTO, SEND_SEND, SEND_URING

LAYOUT = layout()


cdef int config_fill(object config, Config* s) except -1:
    cdef bytes text
    cdef int i
    memset(s, 0, sizeof(Config))
    # generated:core-limits
    s.max_connections = config.max_connections
    s.backlog = config.backlog
    s.accept_budget = config.accept_budget
    s.auth_timeout_s = config.auth_timeout_s
    s.handshake_budget_us = config.handshake_budget_us
    s.handshake_queue = config.handshake_queue
    s.ephemerals = config.ephemerals
    s.address.connections = config.ip_connections
    s.address.net64_connections = config.net64_connections
    s.address.accepts_per_s = config.ip_accepts_per_s
    s.address.accepts_burst = config.ip_accepts_burst
    s.grace_s = config.grace_s
    s.max_timeout_s = config.max_timeout_s
    s.max_age_s = config.max_age_s
    s.max_body = config.max_body
    s.inbound.per_s = config.inbound_per_s
    s.inbound.burst = config.inbound_burst
    s.topic.joined = config.max_topics
    s.queue.soft_bytes = config.queue_soft_bytes
    s.queue.event_bytes = config.queue_event_bytes
    s.queue.hard_bytes = config.queue_hard_bytes
    s.unsent_bytes = config.unsent_bytes
    s.send_buffer = config.send_buffer
    s.receive_buffer = config.receive_buffer
    s.compress = config.compress
    s.compress_level = config.compress_level
    s.topic.large = config.large_topic
    s.topic.batch_messages = config.flush_messages
    s.topic.batch_bytes = config.flush_bytes
    s.sweep_budget_us = config.sweep_budget_us
    s.topic.pending = config.topic_pending
    s.ticket_s = config.ticket_s
    s.park_s = config.park_s
    s.unacked.messages = config.ring_messages
    s.unacked.bytes = config.ring_bytes
    s.lite_queue = config.lite_queue
    s.rekey_records = config.rekey_records
    s.rekey_s = config.rekey_s
    s.mailbox = config.mailbox
    s.event_ring = config.event_ring
    s.event_bytes = config.event_bytes
    # /generated
    s.park_most = max(1, config.park_most // config.loops) if config.park_most else 0
    s.flush_delay_us = int(config.flush_max_delay_ms * 1000)
    s.sender = {"auto": SEND_AUTO, "send": SEND_SEND, "io_uring": SEND_URING}[config.sender]
    s.announce_topics = config.announce_topics
    text = config.relay_prefix.encode()
    s.relay_len = <uint32_t>len(text)
    memcpy(s.relay, PyBytes_AS_STRING(text), s.relay_len)
    text = config.node.encode()
    s.node_len = <uint32_t>len(text)
    memcpy(s.node, PyBytes_AS_STRING(text), s.node_len)
    s.n_ranges = <uint32_t>len(config.proxy_networks)
    for i, (ip, bits) in enumerate(config.proxy_networks):
        memcpy(s.ranges[i].ip, PyBytes_AS_STRING(ip), IP_BYTES)
        s.ranges[i].bits = bits
    return 0


cdef int key_ring_fill(object keys, bytes signed_set, KeyRing* ring) except -1:
    cdef bytes priv, pub
    memset(ring, 0, sizeof(KeyRing))
    if not 1 <= len(keys) <= MAX_KEYS or len(signed_set) > KEY_SET_MAX:
        raise ValueError(f"1..{<int>MAX_KEYS} keys and a key set of at most {<int>KEY_SET_MAX} bytes")
    for key_id, priv, pub in keys:
        if len(priv) != KEY_BYTES or len(pub) != KEY_BYTES:
            raise ValueError(f"X25519 keys are {<int>KEY_BYTES} bytes")
        ring.key[ring.n].id = key_id
        memcpy(ring.key[ring.n].priv, PyBytes_AS_STRING(priv), KEY_BYTES)
        memcpy(ring.key[ring.n].pub, PyBytes_AS_STRING(pub), KEY_BYTES)
        ring.n += 1
    memcpy(ring.signed_set, PyBytes_AS_STRING(signed_set), len(signed_set))
    ring.signed_len = <uint32_t>len(signed_set)
    return 0
