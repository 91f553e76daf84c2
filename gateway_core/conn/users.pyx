from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from gateway_core.includes.cpu cimport qw_hash
from gateway_core.includes.sys cimport qw_map, qw_unmap
from gateway_core.leaf.events cimport event_push
from gateway_core.types cimport (
    EV_SESSION,
    EV_TOPIC,
    NONE32,
    Conn,
    Loop,
    Session,
    UserIndex,
    conn_id,
    layout_mark,
    session_device,
    session_of,
    session_user,
)

LAYOUT = layout_mark()

cdef enum:
    START = 1024  # cells of an empty table: a page, as tables are mapped, so that an outgrown one leaves no hole
    MOVE = 32  # old cells carried over with every change of a growing index

cdef uint32_t EMPTY = 0
cdef uint32_t GONE = 0xFFFFFFFF


cdef int users_init(Loop* loop) noexcept nogil:
    memset(&loop.users, 0, sizeof(UserIndex))
    loop.users.at = <uint32_t*>qw_map(START * sizeof(uint32_t))
    loop.users.cap = START
    return 0 if loop.users.at != NULL else -1


cdef void users_free(Loop* loop) noexcept nogil:
    qw_unmap(loop.users.at, loop.users.cap * sizeof(uint32_t))
    qw_unmap(loop.users.old, loop.users.old_cap * sizeof(uint32_t))
    memset(&loop.users, 0, sizeof(UserIndex))


cdef void tell_topic(Loop* loop, const char* prefix, size_t m, const char* name, size_t n, int up) noexcept nogil:
    cdef char text[160]
    cdef const void* strings[1]
    cdef uint32_t sizes[1]
    memcpy(text, prefix, m)
    memcpy(text + m, name, n)
    strings[0] = text
    sizes[0] = <uint32_t>(m + n)
    event_push(loop, EV_TOPIC, 0, 0, 0, <int>loop.index, up, strings, sizes, 1)


cdef void tell_session(Loop* loop, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef const void* strings[2]
    cdef uint32_t sizes[2]
    strings[0] = session_user(s)
    strings[1] = session_device(s)
    sizes[0] = s.user_len
    sizes[1] = s.device_len
    event_push(loop, EV_SESSION, conn_id(loop, c), s.id, 0, s.platform, 0, strings, sizes, 2)


cdef void announce_topic(Loop* loop, const char* prefix, size_t m, const char* name, size_t n, int up) noexcept nogil:
    if loop.set.announce_topics:
        tell_topic(loop, prefix, m, name, n, up)


cdef bint user_first(Loop* loop, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    return user_find(loop, _user_hash(loop, s), session_user(s), s.user_len) == <uint32_t>(c - loop.conns)


cdef uint64_t _user_hash(Loop* loop, Session* s) noexcept nogil:
    return qw_hash(session_user(s), s.user_len, loop.engine.seed)


cdef uint32_t _user_cell(Loop* loop, uint32_t* at, uint32_t cap, uint64_t hash, const char* name, size_t n) noexcept nogil:
    """Where the user's entry stands in this table, or NONE32."""
    cdef uint32_t i = <uint32_t>hash & (cap - 1), tag = <uint32_t>(hash >> 56) << 24, e
    cdef Session* s
    while at[i] != EMPTY:
        e = at[i]
        if e != GONE and (e & <uint32_t>0xFF000000) == tag:
            s = session_of(&loop.conns[(e & 0xFFFFFF) - 1])
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


cdef void _user_carry(Loop* loop, uint32_t cells) noexcept nogil:
    """Moves entries from the old table; growth is spread over many changes, so no tick pays for all of it."""
    cdef UserIndex* u = &loop.users
    cdef uint32_t e, slot
    while u.old != NULL and cells:
        e = u.old[u.moved]
        if e != EMPTY and e != GONE:
            slot = (e & 0xFFFFFF) - 1
            _user_insert(u, _user_hash(loop, session_of(&loop.conns[slot])), slot)
            u.old[u.moved] = GONE
        u.moved += 1
        cells -= 1
        if u.moved == u.old_cap:
            qw_unmap(u.old, u.old_cap * sizeof(uint32_t))
            u.old = NULL


cdef int _user_grow(Loop* loop) noexcept nogil:
    cdef UserIndex* u = &loop.users
    cdef uint32_t cap
    cdef uint32_t* fresh
    if u.used < u.cap - u.cap // 4:
        return 0
    _user_carry(loop, NONE32)
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


cdef uint32_t* _user_entry(Loop* loop, uint64_t hash, const char* name, size_t n) noexcept nogil:
    cdef UserIndex* u = &loop.users
    cdef uint32_t i = _user_cell(loop, u.at, u.cap, hash, name, n)
    if i != NONE32:
        return &u.at[i]
    if u.old != NULL:
        i = _user_cell(loop, u.old, u.old_cap, hash, name, n)
        if i != NONE32:
            return &u.old[i]
    return NULL


cdef int user_add(Loop* loop, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef uint64_t hash = _user_hash(loop, s)
    cdef uint32_t slot = <uint32_t>(c - loop.conns)
    cdef uint32_t* entry
    if _user_grow(loop) < 0:
        return -1
    _user_carry(loop, MOVE)
    entry = _user_entry(loop, hash, session_user(s), s.user_len)
    if entry != NULL:
        s.next = (entry[0] & 0xFFFFFF) - 1
        entry[0] = (entry[0] & <uint32_t>0xFF000000) | (slot + 1)
        return 0
    s.next = NONE32
    _user_insert(&loop.users, hash, slot)
    loop.users.live += 1
    announce_topic(loop, b"u/", 2, session_user(s), s.user_len, 1)
    return 0


cdef void user_remove(Loop* loop, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef Session* other
    cdef uint32_t slot = <uint32_t>(c - loop.conns), at
    cdef uint32_t* entry
    _user_carry(loop, MOVE)
    entry = _user_entry(loop, _user_hash(loop, s), session_user(s), s.user_len)
    if entry == NULL:
        return
    at = (entry[0] & 0xFFFFFF) - 1
    if at == slot:
        if s.next != NONE32:
            entry[0] = (entry[0] & <uint32_t>0xFF000000) | (s.next + 1)
            return
        entry[0] = GONE
        loop.users.live -= 1
        announce_topic(loop, b"u/", 2, session_user(s), s.user_len, 0)
        return
    while at != NONE32:
        other = session_of(&loop.conns[at])
        if other.next == slot:
            other.next = s.next
            return
        at = other.next


cdef uint32_t user_find(Loop* loop, uint64_t hash, const char* name, size_t n) noexcept nogil:
    cdef uint32_t* entry = _user_entry(loop, hash, name, n)
    return (entry[0] & 0xFFFFFF) - 1 if entry != NULL else NONE32
