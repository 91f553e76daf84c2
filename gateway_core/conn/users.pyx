from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memset

from cmodules cimport layout
from frame.names cimport USER_PREFIX, USER_PREFIX_BYTES
from gateway_core.conn.announce cimport announce_topic
from gateway_core.conn.table cimport Session, session_of, session_user, slot_of
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.includes.sys cimport qw_map, qw_unmap
from gateway_core.leaf.lists cimport NONE32

LAYOUT = layout()

cdef enum:
    START = 1024  # cells of an empty table: a page, as tables are mapped, so that an outgrown one leaves no hole
    MOVE = 32  # old cells carried over with every change of a growing index

cdef uint32_t EMPTY = 0
cdef uint32_t GONE = 0xFFFFFFFF


cdef int users_init(UserIndex* u, ConnTable* table, Announcer* announcer, uint64_t seed) noexcept nogil:
    memset(u, 0, sizeof(UserIndex))
    u.table = table
    u.announcer = announcer
    u.seed = seed
    u.at = <uint32_t*>qw_map(START * sizeof(uint32_t))
    u.cap = START
    return 0 if u.at != NULL else -1


cdef void users_free(UserIndex* u) noexcept nogil:
    qw_unmap(u.at, u.cap * sizeof(uint32_t))
    qw_unmap(u.old, u.old_cap * sizeof(uint32_t))
    u.at = NULL
    u.old = NULL


cdef uint64_t _user_hash(UserIndex* u, Session* s) noexcept nogil:
    return qw_hash(session_user(s), s.user_len, u.seed)


cdef uint32_t _user_cell(UserIndex* u, uint32_t* at, uint32_t cap, uint64_t hash, const char* name, size_t n) noexcept nogil:
    """Where the user's entry stands in this table, or NONE32."""
    cdef uint32_t i = <uint32_t>hash & (cap - 1), tag = <uint32_t>(hash >> 56) << 24, e
    cdef Session* s
    while at[i] != EMPTY:
        e = at[i]
        if e != GONE and (e & <uint32_t>0xFF000000) == tag:
            s = session_of(&u.table.conns[(e & 0xFFFFFF) - 1])
            if s.user_len == n and memcmp(session_user(s), name, n) == 0:
                return i
        i = (i + 1) & (cap - 1)
    return NONE32


cdef void _user_insert(UserIndex* u, uint64_t hash, uint32_t slot) noexcept nogil:
    cdef uint32_t i = <uint32_t>hash & (u.cap - 1)
    while u.at[i] != EMPTY and u.at[i] != GONE:
        i = (i + 1) & (u.cap - 1)
    if u.at[i] == EMPTY:
        u.used += 1
    u.at[i] = (<uint32_t>(hash >> 56) << 24) | (slot + 1)


cdef void _user_carry(UserIndex* u, uint32_t cells) noexcept nogil:
    """Moves entries from the old table; growth is spread over many changes, so no tick pays for all of it."""
    cdef uint32_t e, slot
    while u.old != NULL and cells:
        e = u.old[u.moved]
        if e != EMPTY and e != GONE:
            slot = (e & 0xFFFFFF) - 1
            _user_insert(u, _user_hash(u, session_of(&u.table.conns[slot])), slot)
            u.old[u.moved] = GONE
        u.moved += 1
        cells -= 1
        if u.moved == u.old_cap:
            qw_unmap(u.old, u.old_cap * sizeof(uint32_t))
            u.old = NULL


cdef int _user_grow(UserIndex* u) noexcept nogil:
    cdef uint32_t cap
    cdef uint32_t* fresh
    if u.used < u.cap - u.cap // 4:
        return 0
    _user_carry(u, NONE32)
    cap = u.cap * 2 if u.live > u.cap // 2 - u.cap // 8 else u.cap
    fresh = <uint32_t*>qw_map(cap * sizeof(uint32_t))
    if fresh == NULL:
        return -1
    u.old = u.at
    u.old_cap = u.cap
    u.moved = 0
    u.at = fresh
    u.cap = cap
    u.used = 0
    return 0


cdef uint32_t* _user_entry(UserIndex* u, uint64_t hash, const char* name, size_t n) noexcept nogil:
    cdef uint32_t i = _user_cell(u, u.at, u.cap, hash, name, n)
    if i != NONE32:
        return &u.at[i]
    if u.old != NULL:
        i = _user_cell(u, u.old, u.old_cap, hash, name, n)
        if i != NONE32:
            return &u.old[i]
    return NULL


cdef int user_add(UserIndex* u, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef uint64_t hash = _user_hash(u, s)
    cdef uint32_t slot = slot_of(u.table, c)
    cdef uint32_t* entry
    if _user_grow(u) < 0:
        return -1
    _user_carry(u, MOVE)
    entry = _user_entry(u, hash, session_user(s), s.user_len)
    if entry != NULL:
        s.next = (entry[0] & 0xFFFFFF) - 1
        entry[0] = (entry[0] & <uint32_t>0xFF000000) | (slot + 1)
        return 0
    s.next = NONE32
    _user_insert(u, hash, slot)
    u.live += 1
    announce_topic(u.announcer, USER_PREFIX, USER_PREFIX_BYTES, session_user(s), s.user_len, 1)
    return 0


cdef void user_missed(UserIndex* u, Session* s) noexcept nogil:
    if _user_entry(u, _user_hash(u, s), session_user(s), s.user_len) == NULL:
        announce_topic(u.announcer, USER_PREFIX, USER_PREFIX_BYTES, session_user(s), s.user_len, 1)
        announce_topic(u.announcer, USER_PREFIX, USER_PREFIX_BYTES, session_user(s), s.user_len, 0)


cdef void user_remove(UserIndex* u, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef Session* other
    cdef uint32_t slot = slot_of(u.table, c), at
    cdef uint32_t* entry
    _user_carry(u, MOVE)
    entry = _user_entry(u, _user_hash(u, s), session_user(s), s.user_len)
    if entry == NULL:
        return
    at = (entry[0] & 0xFFFFFF) - 1
    if at == slot:
        if s.next != NONE32:
            entry[0] = (entry[0] & <uint32_t>0xFF000000) | (s.next + 1)
            return
        entry[0] = GONE
        u.live -= 1
        announce_topic(u.announcer, USER_PREFIX, USER_PREFIX_BYTES, session_user(s), s.user_len, 0)
        return
    while at != NONE32:
        other = session_of(&u.table.conns[at])
        if other.next == slot:
            other.next = s.next
            return
        at = other.next


cdef uint32_t user_find(UserIndex* u, uint64_t hash, const char* name, size_t n) noexcept nogil:
    cdef uint32_t* entry = _user_entry(u, hash, name, n)
    return (entry[0] & 0xFFFFFF) - 1 if entry != NULL else NONE32
