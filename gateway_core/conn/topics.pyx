from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from cmodules cimport layout
from gateway_core.conn.announce cimport announce_topic, report_dropped
from gateway_core.conn.table cimport F_SPECIAL, Session, session_grow, session_of, session_topics, slot_of
from gateway_core.includes.cpu cimport qw_ctz64, qw_hash
from gateway_core.leaf.class_budget cimport class_budget_set
from gateway_core.leaf.lists cimport NONE32, slots_free, slots_swap_out
from gateway_core.leaf.shared_buf cimport buf_unref
from gateway_core.leaf.stats cimport L_BATCHES, L_MEMBERSHIPS, L_TOPICS, stat_add

LAYOUT = layout()

cdef enum:
    START = 64  # cells of an empty table

cdef Topic* T_GONE = <Topic*>1


cdef int topics_init(TopicTable* topics, const TopicLimits* limits, ConnTable* table, Announcer* announcer, Stats* stats,
                     uint64_t seed) noexcept nogil:
    memset(topics, 0, sizeof(TopicTable))
    topics.limits = limits[0]
    topics.table = table
    topics.announcer = announcer
    topics.stats = stats
    topics.seed = seed
    topics.at = <Topic**>calloc(START, sizeof(Topic*))
    topics.cap = START
    return 0 if topics.at != NULL else -1


cdef void topics_free(TopicTable* topics) noexcept nogil:
    cdef uint32_t i
    for i in range(topics.ids):
        if topics.by_id[i] != NULL:
            _topic_free(topics, topics.by_id[i])
    free(topics.at)
    free(topics.by_id)
    free(topics.free_ids)
    slots_free(&topics.active)
    slots_free(&topics.owing)
    memset(topics, 0, sizeof(TopicTable))


cdef uint32_t _topic_cell(TopicTable* topics, uint64_t hash, const char* name, size_t n) noexcept nogil:
    cdef uint32_t i = <uint32_t>hash & (topics.cap - 1)
    cdef Topic* t
    while topics.at[i] != NULL:
        t = topics.at[i]
        if t != T_GONE and t.hash == hash and t.name_len == n and memcmp(t.name, name, n) == 0:
            return i
        i = (i + 1) & (topics.cap - 1)
    return NONE32


cdef Topic* topic_find(TopicTable* topics, uint64_t hash, const char* name, size_t n) noexcept nogil:
    cdef uint32_t i = _topic_cell(topics, hash, name, n)
    return topics.at[i] if i != NONE32 else NULL


cdef void _topic_insert(TopicTable* topics, Topic* t) noexcept nogil:
    cdef uint32_t i = <uint32_t>t.hash & (topics.cap - 1)
    while topics.at[i] != NULL and topics.at[i] != T_GONE:
        i = (i + 1) & (topics.cap - 1)
    if topics.at[i] == NULL:
        topics.used += 1
    topics.at[i] = t


cdef int _topic_room(TopicTable* topics) noexcept nogil:
    cdef uint32_t i, cap = topics.cap, live = topics.ids - topics.free_count
    cdef Topic** fresh
    cdef uint32_t* ids
    cdef Topic** by_id
    if topics.ids == topics.ids_cap:
        i = topics.ids_cap * 2 if topics.ids_cap else START
        by_id = <Topic**>realloc(topics.by_id, i * sizeof(Topic*))
        if by_id == NULL:
            return -1
        topics.by_id = by_id
        ids = <uint32_t*>realloc(topics.free_ids, i * sizeof(uint32_t))
        if ids == NULL:
            return -1
        topics.free_ids = ids
        topics.ids_cap = i
    if topics.used < cap - cap // 4:
        return 0
    if live > cap // 2 - cap // 8:
        cap *= 2
    fresh = <Topic**>calloc(cap, sizeof(Topic*))
    if fresh == NULL:
        return -1
    free(topics.at)
    topics.at = fresh
    topics.cap = cap
    topics.used = 0
    for i in range(topics.ids):
        if topics.by_id[i] != NULL:
            _topic_insert(topics, topics.by_id[i])
    return 0


cdef const ClassRates* _rates(TopicTable* topics, const char* name, size_t n) noexcept nogil:
    """Of the longest prefix that the name begins with; NULL: none."""
    cdef uint32_t i, best = 0
    cdef const ClassRates* rates = NULL
    cdef Budget* b
    for i in range(topics.n_budgets):
        b = &topics.budgets[i]
        if b.name_len <= n and b.name_len + 1 > best and memcmp(b.name, name, b.name_len) == 0:
            best = b.name_len + 1
            rates = &b.rates
    return rates


cdef void _apply_budget(TopicTable* topics, Topic* t, const ClassRates* own, uint64_t now_ns) noexcept nogil:
    cdef const ClassRates* common = _rates(topics, t.name, t.name_len)
    cdef ClassRates rates
    if common == NULL and own == NULL and t.meter == NULL:
        return
    if t.meter == NULL:
        t.meter = <Meter*>calloc(1, sizeof(Meter))
        if t.meter == NULL:
            return
    memset(&rates, 0, sizeof(rates))
    if common != NULL:
        rates = common[0]
    if own != NULL:
        rates.normal = own.normal
        rates.high = own.high
    t.meter.own = own != NULL
    class_budget_set(&t.meter.budget, &rates, now_ns)


cdef void topics_budget(TopicTable* topics, const Budget* wanted, uint64_t now_ns) noexcept nogil:
    cdef uint32_t i
    cdef ClassRates own
    cdef Topic* t
    if wanted.one:
        t = topic_find(topics, qw_hash(wanted.name, wanted.name_len, topics.seed), wanted.name, wanted.name_len)
        if t != NULL:
            _apply_budget(topics, t, NULL if wanted.ends else &wanted.rates, now_ns)
        return
    for i in range(topics.n_budgets):
        if topics.budgets[i].name_len == wanted.name_len and memcmp(
            topics.budgets[i].name, wanted.name, wanted.name_len
        ) == 0:
            break
    else:
        i = topics.n_budgets
    if i < MAX_BUDGETS:
        topics.budgets[i] = wanted[0]
        if i == topics.n_budgets:
            topics.n_budgets += 1
    for i in range(topics.ids):
        t = topics.by_id[i]
        if t != NULL and t.meter != NULL and t.meter.own:
            own = t.meter.budget.rates
            _apply_budget(topics, t, &own, now_ns)
        elif t != NULL:
            _apply_budget(topics, t, NULL, now_ns)


cdef void topic_tell(TopicTable* topics, Topic* t) noexcept nogil:
    report_dropped(topics.announcer, t.name, t.name_len, t.meter.dropped)
    memset(t.meter.dropped, 0, sizeof(t.meter.dropped))
    t.meter.owing = 0


cdef Topic* _topic_new(TopicTable* topics, uint64_t hash, const char* name, size_t n) noexcept nogil:
    cdef Topic* t
    cdef const char* tag
    if _topic_room(topics) < 0:
        return NULL
    t = <Topic*>calloc(1, sizeof(Topic))
    if t == NULL:
        return NULL
    t.hash = hash
    t.name_len = <uint8_t>n
    memcpy(t.name, name, n)
    tag = <const char*>memchr(t.name, TAG, n)
    t.room_len = <uint8_t>(tag - t.name) if tag != NULL else 0
    if topics.free_count:
        topics.free_count -= 1
        t.id = topics.free_ids[topics.free_count]
    else:
        t.id = topics.ids
        topics.ids += 1
    topics.by_id[t.id] = t
    _topic_insert(topics, t)
    stat_add(topics.stats, L_TOPICS, 1)
    announce_topic(topics.announcer, b"", 0, t.name, t.name_len, 1)
    return t


cdef void topic_missed(TopicTable* topics, const char* name, size_t n) noexcept nogil:
    if topic_find(topics, qw_hash(name, n, topics.seed), name, n) == NULL:
        announce_topic(topics.announcer, b"", 0, name, n, 1)
        announce_topic(topics.announcer, b"", 0, name, n, 0)


cdef void batch_free(TopicTable* topics, Topic* t) noexcept nogil:
    cdef uint32_t i
    if t.sweep == NULL:
        return
    for i in range(t.sweep.n):
        buf_unref(t.sweep.part[i])
    buf_unref(t.sweep.plain)
    buf_unref(t.sweep.packed[0])
    buf_unref(t.sweep.packed[1])
    free(t.sweep)
    t.sweep = NULL
    stat_add(topics.stats, L_BATCHES, -1)


cdef void _clear_pending(Topic* t) noexcept nogil:
    cdef uint32_t i
    for i in range(t.span):
        buf_unref(t.ring[(t.head + i) & (t.cap - 1)])
    t.span = 0
    t.waiting = 0
    t.bytes = 0


cdef void _topic_free(TopicTable* topics, Topic* t) noexcept nogil:
    cdef uint32_t i
    i = _topic_cell(topics, t.hash, t.name, t.name_len)
    if i != NONE32:
        topics.at[i] = T_GONE
    topics.by_id[t.id] = NULL
    topics.free_ids[topics.free_count] = t.id
    topics.free_count += 1
    for i in range(topics.active.len):
        if topics.active.at[i] == t.id:
            slots_swap_out(&topics.active, i)
            break
    if t.meter != NULL and t.meter.owing:
        for i in range(topics.owing.len):
            if topics.owing.at[i] == t.id:
                slots_swap_out(&topics.owing, i)
                break
        topic_tell(topics, t)
    free(t.meter)
    _clear_pending(t)
    batch_free(topics, t)
    for i in range(t.n_pages):
        free(t.pages[i])
    free(t.pages)
    free(t.since)
    free(t.dense)
    free(t.ring)
    free(t.orders)
    free(t.young)
    free(t)
    stat_add(topics.stats, L_TOPICS, -1)


cdef int _set_bit(Topic* t, uint32_t slot) noexcept nogil:
    cdef uint32_t page = slot // PAGE_SLOTS, n = page + 1
    cdef uint64_t** grown
    cdef uint64_t* since
    if page >= t.n_pages:
        grown = <uint64_t**>realloc(t.pages, n * sizeof(uint64_t*))
        if grown == NULL:
            return -1
        t.pages = grown
        since = <uint64_t*>realloc(t.since, n * sizeof(uint64_t))
        if since == NULL:
            return -1
        t.since = since
        while t.n_pages < n:  # a new stripe takes its turn after the last one
            t.pages[t.n_pages] = NULL
            since[t.n_pages] = since[t.n_pages - 1] if t.n_pages else t.next_order
            t.n_pages += 1
    if t.pages[page] == NULL:
        t.pages[page] = <uint64_t*>calloc(PAGE_WORDS, sizeof(uint64_t))
        if t.pages[page] == NULL:
            return -1
    t.pages[page][(slot % PAGE_SLOTS) // 64] |= <uint64_t>1 << (slot & 63)
    return 0


cdef uint32_t topic_next(Topic* t, uint32_t slot) noexcept nogil:
    cdef uint32_t page = slot // PAGE_SLOTS, word = (slot % PAGE_SLOTS) // 64
    cdef uint64_t mask = ~<uint64_t>0 << (slot & 63), bits
    while page < t.n_pages:
        if t.pages[page] != NULL:
            while word < PAGE_WORDS:
                bits = t.pages[page][word] & mask
                if bits:
                    return page * PAGE_SLOTS + word * 64 + <uint32_t>qw_ctz64(bits)
                mask = ~<uint64_t>0
                word += 1
        mask = ~<uint64_t>0
        word = 0
        page += 1
    return NONE32


cdef int _member_add(TopicTable* topics, Topic* t, uint32_t slot) noexcept nogil:
    cdef uint32_t i, cap
    cdef uint32_t* grown
    if t.pages == NULL and t.count + 1 >= topics.limits.large:
        for i in range(t.count):
            if _set_bit(t, t.dense[i]) < 0:
                return -1
        free(t.dense)
        t.dense = NULL
        t.dense_cap = 0
    if t.pages != NULL or t.count + 1 >= topics.limits.large:
        if _set_bit(t, slot) < 0:
            return -1
    else:
        if t.count == t.dense_cap:
            cap = t.dense_cap * 2 if t.dense_cap else 2
            grown = <uint32_t*>realloc(t.dense, cap * sizeof(uint32_t))
            if grown == NULL:
                return -1
            t.dense = grown
            t.dense_cap = cap
        t.dense[t.count] = slot
    t.count += 1
    stat_add(topics.stats, L_MEMBERSHIPS, 1)
    return 0


cdef void _member_remove(TopicTable* topics, Topic* t, uint32_t slot) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t* page
    if t.pages != NULL:
        page = t.pages[slot // PAGE_SLOTS]
        page[(slot % PAGE_SLOTS) // 64] &= ~(<uint64_t>1 << (slot & 63))
    else:
        for i in range(t.count):
            if t.dense[i] == slot:
                t.dense[i] = t.dense[t.count - 1]
                break
    t.count -= 1
    stat_add(topics.stats, L_MEMBERSHIPS, -1)
    if t.count == 0:
        announce_topic(topics.announcer, b"", 0, t.name, t.name_len, 0)
        _topic_free(topics, t)


cdef int _young_add(Topic* t, Conn* c, uint32_t slot) noexcept nogil:
    """Remembers that messages before t.next_order are not for this member."""
    cdef uint32_t i, cap
    cdef Young* grown
    for i in range(t.youngs):
        if t.young[i].slot == slot:
            break
    else:
        i = t.youngs
        if t.youngs == t.young_cap:
            cap = t.young_cap * 2 if t.young_cap else 16
            grown = <Young*>realloc(t.young, cap * sizeof(Young))
            if grown == NULL:
                return -1
            t.young = grown
            t.young_cap = cap
        t.youngs += 1
    t.young[i].slot = slot
    t.young[i].generation = c.generation
    t.young[i].since = t.next_order
    c.flags |= F_SPECIAL
    return 0


cdef int _remember(TopicTable* topics, Conn* c, uint32_t id) noexcept nogil:
    """Appends a topic id to the session's list, which grows with its block."""
    cdef Session* s = session_of(c)
    if s.topics_log == 0 or s.joined == 1 << (s.topics_log - 1):
        s = session_grow(topics.table, c)
        if s == NULL:
            return -1
    session_topics(s)[s.joined] = id
    s.joined += 1
    return 0


cdef int topic_join(TopicTable* topics, Conn* c, const char* name, size_t n, const ClassRates* own,
                    uint64_t now_ns) noexcept nogil:
    cdef uint64_t hash = qw_hash(name, n, topics.seed)
    cdef Topic* t = topic_find(topics, hash, name, n)
    cdef Session* s = session_of(c)
    cdef uint32_t i, slot = slot_of(topics.table, c)
    cdef bint ok, fresh = t == NULL
    if n == 0 or n > TOPIC_MAX or s.joined >= topics.limits.joined:
        return J_REFUSED
    if fresh:
        t = _topic_new(topics, hash, name, n)
        if t == NULL:
            return J_REFUSED
    if fresh or own != NULL or (t.meter != NULL and t.meter.own):
        _apply_budget(topics, t, own, now_ns)
    for i in range(s.joined):
        if session_topics(s)[i] == t.id:
            return J_ALREADY
    ok = t.waiting == 0 and t.sweep == NULL
    if (ok or _young_add(t, c, slot) == 0) and _remember(topics, c, t.id) == 0:
        if _member_add(topics, t, slot) == 0:
            return J_JOINED
        session_of(c).joined -= 1
    if t.count == 0:
        _topic_free(topics, t)
    return J_REFUSED


cdef bint _within(const Topic* t, const char* name, size_t n) noexcept nogil:
    """Is this the topic of that name, or a tag of it?"""
    return (t.name_len == n or t.room_len == n) and memcmp(t.name, name, n) == 0


cdef void topic_leave(TopicTable* topics, Conn* c, const char* name, size_t n) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef Topic* t
    cdef uint32_t i = 0
    cdef uint32_t* ids = session_topics(s)
    while n and i < s.joined:
        t = topics.by_id[ids[i]]
        if _within(t, name, n):
            s.joined -= 1
            ids[i] = ids[s.joined]
            _member_remove(topics, t, slot_of(topics.table, c))
        else:
            i += 1


cdef void topics_leave_all(TopicTable* topics, Conn* c) noexcept nogil:
    cdef Session* s = session_of(c)
    cdef uint32_t* ids = session_topics(s)
    while s.joined:
        s.joined -= 1
        _member_remove(topics, topics.by_id[ids[s.joined]], slot_of(topics.table, c))
