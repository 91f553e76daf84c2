from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.sodium cimport sodium
from crypto.ticket cimport TicketKeys, ticket_keys_fill
from frame.constants cimport EVENT_PRESENCE, FRAME_AUTH_OK, FRAME_EVENT, FRAME_RESUME_OK, MAX_BODY, NAME_MAX
from frame.frames cimport reply_header_put
from frame.names cimport USER_PREFIX_BYTES, is_user_topic
from frame.varint cimport UV_MAX
from gateway_core.conn.announce cimport TOPIC_MAX
from gateway_core.conn.table cimport LIFE_SHIFT, Session, loop_of_id
from gateway_core.conn.tickets cimport until_of
from gateway_core.conn.user_filter cimport filter_enter, filter_leave, filter_may_hold
from gateway_core.engine.bridge cimport give, give_quiet, wake_all
from gateway_core.engine.config cimport key_ring_fill
from gateway_core.engine.execute cimport NameBlob
from gateway_core.includes.cpu cimport qw_hash
from gateway_core.leaf.keys cimport KeyRing
from gateway_core.leaf.mailbox cimport (
    CMD_BUDGET,
    CMD_KEYS,
    CMD_LOGIN,
    CMD_POLICY_ROW,
    CMD_PUBLISH,
    CMD_RESYNC,
    CMD_SEND,
    CMD_TAKE,
    CMD_TICKETS,
)
from gateway_core.leaf.policies cimport POLICY_ENTRIES, POLICY_ROWS, PolicyRow
from gateway_core.leaf.shared_buf cimport ERASING, HIGH, NORMAL, NOTICE, buf_frame, buf_ref, buf_unref
from gateway_core.types cimport EASE_EVENTS

from gateway_core.errors import MailboxFull

LAYOUT = layout()

cdef enum:
    TEXT_MAX = 1024
    PASSING = 256  # bytes more, so that the loop's allocator does not take the freed block for another session
    WAKE_EVERY = 64  # commands of a batch put before the loops are told: 30-50 us


cdef SharedBuf* _frame(int type, const uint8_t* head, size_t n, bytes body, const char* name, size_t m) except NULL:
    cdef SharedBuf* b
    if PyBytes_GET_SIZE(body) + <Py_ssize_t>n > MAX_BODY:
        raise ValueError(f"a frame body is at most {<int>MAX_BODY} bytes")
    b = buf_frame(type, head, n, <const uint8_t*>PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), name, m)
    if b == NULL:
        raise MemoryError
    return b


cdef SharedBuf* frame_of(int type, const uint8_t* head, size_t n, bytes body) except? NULL:
    return _frame(type, head, n, body, NULL, 0)


cdef int _give(Engine* e, int loop, Cmd* cmd, int wait_ms) except -1:
    """1 when the loop took it."""
    if <uint32_t>loop >= e.n_loops:
        return 0
    if not give(e, loop, cmd, wait_ms):
        raise MailboxFull(f"loop {loop}")
    return 1


cdef int give_cmd(Engine* e, int loop, Cmd* cmd, int wait_ms) except -1:
    return _give(e, loop, cmd, wait_ms)


cdef bint _send_quietly(Engine* e, uint64_t conn, SharedBuf* b, int life, int wait_ms):
    """Takes over the reference. False when the mailbox stayed full. `life`: of the session's connection that is meant,
    -1: whichever it has."""
    cdef Cmd cmd
    cdef uint32_t loop = loop_of_id(conn)
    cdef bint taken = True
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = CMD_SEND
    cmd.conn = conn
    cmd.ptr = b
    cmd.a = life >= 0
    cmd.b = <uint16_t>life
    if loop >= e.n_loops:
        buf_unref(b)
    elif not give_quiet(e, <int>loop, &cmd, wait_ms):
        buf_unref(b)
        taken = False
    return taken


cdef int give_frame(Engine* e, uint64_t conn, SharedBuf* b, int wait_ms) except -1:
    if not _send_quietly(e, conn, b, -1, wait_ms):
        raise MailboxFull(f"loop {loop_of_id(conn)}")
    wake_all(e)
    return 0


cdef bint _reply(Engine* e, uint64_t conn, int type, uint64_t request, uint64_t code, bytes payload,
                 int wait_ms) except -1:
    cdef uint8_t head[2 * UV_MAX]
    cdef size_t n = reply_header_put(head, request & ((<uint64_t>1 << LIFE_SHIFT) - 1), code)
    return _send_quietly(e, conn, _frame(type, head, n, payload, NULL, 0), <int>(request >> LIFE_SHIFT), wait_ms)


cdef int give_reply(Engine* e, uint64_t conn, int type, uint64_t request, uint64_t code, bytes payload,
                    int wait_ms) except -1:
    if not _reply(e, conn, type, request, code, payload, wait_ms):
        raise MailboxFull(f"loop {loop_of_id(conn)}")
    wake_all(e)
    return 0


cdef Py_ssize_t give_replies(Engine* e, object replies, int wait_ms) except -1:
    cdef Py_ssize_t given = 0
    try:
        for conn, type, request, code, payload in replies:
            if not _reply(e, conn, type, request, code, payload, wait_ms):
                break
            given += 1
            if given % WAKE_EVERY == 0:
                wake_all(e)
    finally:
        wake_all(e)
    return given


cdef int give_resync(Engine* e, int loop, bint sessions, int wait_ms) except -1:
    cdef Cmd cmd
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = CMD_RESYNC
    cmd.a = sessions
    return _give(e, loop, &cmd, wait_ms)


cdef int give_names(Engine* e, int kind, int loop, uint64_t conn, bytes a, bytes b, bytes c, uint64_t before,
                    int code, int wait_ms) except -1:
    cdef NameBlob* blob
    cdef Cmd cmd
    cdef char* p
    cdef int taken = 0
    if max(len(a), len(b), len(c)) > TEXT_MAX:
        raise ValueError(f"names and texts are at most {<int>TEXT_MAX} bytes")
    blob = <NameBlob*>malloc(sizeof(NameBlob) + len(a) + len(b) + len(c))
    if blob == NULL:
        raise MemoryError
    blob.before = before
    blob.a_len = <uint16_t>len(a)
    blob.b_len = <uint16_t>len(b)
    blob.c_len = <uint16_t>len(c)
    p = <char*>blob + sizeof(NameBlob)
    memcpy(p, PyBytes_AS_STRING(a), blob.a_len)
    memcpy(p + blob.a_len, PyBytes_AS_STRING(b), blob.b_len)
    memcpy(p + blob.a_len + blob.b_len, PyBytes_AS_STRING(c), blob.c_len)
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = <uint8_t>kind
    cmd.conn = conn
    cmd.code = <uint32_t>code
    cmd.ptr = blob
    try:
        taken = _give(e, loop, &cmd, wait_ms)
    finally:
        if not taken:
            free(blob)
    return taken


cdef int give_login(Engine* e, uint64_t conn, bytes user, bytes device, int platform, uint64_t session_id,
                    bytes body, uint16_t frames, const Lasting* more, int wait_ms) except -1:
    cdef size_t n = PyBytes_GET_SIZE(user), m = PyBytes_GET_SIZE(device)
    cdef uint32_t loop = loop_of_id(conn)
    cdef SharedBuf* ok
    cdef Session* s
    cdef Cmd cmd
    cdef int taken = 0
    if not 1 <= n <= NAME_MAX or not 1 <= m <= NAME_MAX:
        raise ValueError(f"user and device are 1..{<int>NAME_MAX} bytes")
    ok = _frame(FRAME_RESUME_OK if more.resumed else FRAME_AUTH_OK, NULL, 0, body, NULL, 0)
    s = <Session*>malloc(sizeof(Session) + n + m + PASSING)
    if s == NULL:
        buf_unref(ok)
        raise MemoryError
    memset(s, 0, sizeof(Session))
    s.id = session_id
    s.user_len = <uint8_t>n
    s.device_len = <uint8_t>m
    s.platform = <uint8_t>platform
    s.inbound.tokens = frames
    s.until = until_of(e.start_wall_s, more.until_s)
    s.rev = more.rev
    memcpy(<char*>s + sizeof(Session), PyBytes_AS_STRING(user), n)
    memcpy(<char*>s + sizeof(Session) + n, PyBytes_AS_STRING(device), m)
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = CMD_LOGIN
    cmd.conn = conn
    cmd.ptr = s
    cmd.x = <uint64_t>ok
    cmd.a = more.resumed
    cmd.code = more.seen
    if loop < e.n_loops:
        filter_enter(&e.loops[loop].filter, s)
    try:
        taken = _give(e, <int>loop, &cmd, wait_ms)
    finally:
        if not taken:
            if loop < e.n_loops:
                filter_leave(&e.loops[loop].filter, s)
            buf_unref(ok)
            free(s)
    return taken


cdef bint _may_lack(bytes body, int priority):
    """Who came and went is what clients can do without for a while."""
    return priority == NORMAL - <int>NOTICE or (len(body) > 0 and (<const uint8_t*>PyBytes_AS_STRING(body))[0] == EVENT_PRESENCE)


cdef object _publish(Engine* e, str topic, int type, bytes body, int priority, uint64_t exclude, object loops,
                     int wait_ms):
    """To every loop, or those of the bits `loops`; for u/<user> to those that may hold a session of the user.

    -> the loops whose mailbox stayed full, as bits.
    """
    cdef Py_ssize_t n
    cdef const char* p = PyUnicode_AsUTF8AndSize(topic, &n)
    cdef SharedBuf* b
    cdef Cmd cmd
    cdef uint32_t i
    cdef bint user
    cdef object missing = 0, one = 1
    if not 3 <= n <= TOPIC_MAX:
        raise ValueError(f"not a topic: {topic!r}")
    if not NORMAL - <int>ERASING <= priority <= NORMAL - <int>HIGH:
        raise ValueError(f"not a priority: {priority}")
    if e.easing & EASE_EVENTS and type == FRAME_EVENT and _may_lack(body, priority):
        e.eased_events += 1
        return 0
    b = _frame(type, NULL, 0, body, p, n)
    b.erases = priority == NORMAL - <int>ERASING
    if type == FRAME_EVENT:
        b.cls = <uint8_t>(NORMAL if b.erases else NORMAL - priority)
    b.exclude = exclude
    # users are looked up in an index of their own, by the name alone
    user = is_user_topic(p, n)
    if user:
        b.hash = qw_hash(p + USER_PREFIX_BYTES, n - USER_PREFIX_BYTES, e.seed)
    else:
        b.hash = qw_hash(p, n, e.seed)
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = CMD_PUBLISH
    for i in range(e.n_loops):
        if user and not filter_may_hold(&e.loops[i].filter, b.hash):
            continue
        if loops is not None and not loops & (one << i):
            continue
        cmd.ptr = buf_ref(b)
        if not give_quiet(e, <int>i, &cmd, wait_ms):
            buf_unref(b)
            missing |= one << i
    buf_unref(b)
    return missing


cdef int give_publish(Engine* e, str topic, int type, bytes body, int priority, uint64_t exclude, object loops,
                      int wait_ms) except -1:
    cdef object missing = _publish(e, topic, type, body, priority, exclude, loops, wait_ms)
    wake_all(e)
    if missing:
        raise MailboxFull(topic, missing)
    return 0


cdef tuple give_publishes(Engine* e, object messages, int wait_ms):
    cdef Py_ssize_t given = 0
    cdef object missing = 0
    try:
        for topic, type, body, priority, exclude in messages:
            missing = _publish(e, topic, type, body, priority, exclude or 0, None, wait_ms)
            if missing:
                break
            given += 1
            if given % WAKE_EVERY == 0:
                wake_all(e)
    finally:
        wake_all(e)
    return given, missing


cdef int give_everywhere(Engine* e, Cmd* cmd, SharedBuf* b, int wait_ms) except -1:
    cdef uint32_t i
    cdef bint failed = False
    for i in range(e.n_loops):
        cmd.ptr = buf_ref(b) if b != NULL else NULL
        if not give(e, <int>i, cmd, wait_ms):
            buf_unref(b)
            failed = True
    buf_unref(b)
    if failed:
        raise MailboxFull("some loop")
    return 0


cdef int _give_block(Engine* e, int loop, int kind, void* block, int wait_ms) except -1:
    """A command that owns one malloc'ed block; freed here when the loop does not take it."""
    cdef Cmd cmd
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = <uint8_t>kind
    cmd.ptr = block
    try:
        return _give(e, loop, &cmd, wait_ms)
    except BaseException:
        free(block)
        raise


cdef int give_keys(Engine* e, object keys, bytes key_set, int wait_ms) except -1:
    cdef KeyRing* ring
    cdef uint32_t i
    for i in range(e.n_loops):
        ring = <KeyRing*>malloc(sizeof(KeyRing))
        if ring == NULL:
            raise MemoryError
        try:
            key_ring_fill(keys, key_set, ring)
        except BaseException:
            free(ring)
            raise
        _give_block(e, <int>i, CMD_KEYS, ring, wait_ms)
    return 0


cdef int give_tickets(Engine* e, object keys, uint32_t node, int wait_ms) except -1:
    cdef TicketKeys ring
    cdef TicketKeys* each
    cdef Cmd cmd
    cdef uint32_t i
    cdef int taken
    ticket_keys_fill(keys, &ring)
    for i in range(e.n_loops):
        taken = 0
        each = <TicketKeys*>malloc(sizeof(TicketKeys))
        if each == NULL:
            raise MemoryError
        each[0] = ring
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_TICKETS
        cmd.ptr = each
        cmd.code = node
        try:
            taken = _give(e, <int>i, &cmd, wait_ms)
        finally:
            if not taken:
                sodium.memzero(each, sizeof(TicketKeys))
                free(each)
    sodium.memzero(&ring, sizeof(TicketKeys))
    return 0


cdef int give_take(Engine* e, uint64_t conn, const TakeAsk* ask, int wait_ms) except -1:
    cdef TakeAsk* own = <TakeAsk*>malloc(sizeof(TakeAsk))
    cdef Cmd cmd
    cdef int taken = 0
    if own == NULL:
        raise MemoryError
    own[0] = ask[0]
    memset(&cmd, 0, sizeof(cmd))
    cmd.kind = CMD_TAKE
    cmd.conn = conn
    cmd.ptr = own
    try:
        taken = _give(e, <int>loop_of_id(conn), &cmd, wait_ms)
    finally:
        if not taken:
            free(own)
    return taken


cdef int give_rows(Engine* e, uint32_t first, object rows, int wait_ms) except -1:
    cdef uint32_t n = len(rows), i, j
    cdef PolicyRow* block
    cdef Cmd cmd
    cdef int taken
    if first >= POLICY_ROWS or n > POLICY_ROWS - first:
        raise ValueError(f"no rows of policies: {first} to {first + n}")
    for i in range(e.n_loops):
        block = <PolicyRow*>calloc(n if n else 1, sizeof(PolicyRow))
        if block == NULL:
            raise MemoryError
        memset(&cmd, 0, sizeof(cmd))
        cmd.kind = CMD_POLICY_ROW
        cmd.ptr = block
        cmd.x = first
        cmd.code = n
        taken = 0
        try:
            for j in range(n):
                block[j].main, block[j].canary, block[j].share, block[j].seed = rows[j]
                if block[j].main >= POLICY_ENTRIES or block[j].canary >= POLICY_ENTRIES:
                    raise ValueError(f"no entries of policies: {rows[j]}")
            taken = _give(e, <int>i, &cmd, wait_ms)
        finally:
            if not taken:
                free(block)
    return 0


cdef int give_budget(Engine* e, bytes name, const Budget* wanted, int wait_ms) except -1:
    cdef Budget* budget
    cdef uint32_t i
    if len(name) > TOPIC_MAX:
        raise ValueError(f"a topic is at most {<int>TOPIC_MAX} bytes")
    for i in range(e.n_loops):
        budget = <Budget*>malloc(sizeof(Budget))
        if budget == NULL:
            raise MemoryError
        budget[0] = wanted[0]
        memcpy(budget.name, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        budget.name_len = <uint32_t>PyBytes_GET_SIZE(name)
        _give_block(e, <int>i, CMD_BUDGET, budget, wait_ms)
    return 0
