from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.sodium cimport sodium

LAYOUT = layout()

cdef extern from *:
    """
    #define QW_LISTED UINT32_C(0x80000000)
    """
    const uint32_t LISTED "QW_LISTED"

cdef enum:
    TOLD = 1 << 30
    UNIT = 16
    BLOCK_WORDS = 4  # of the least list: its head, and three marks

# A list is a head, class in the low byte and the number of marks above, and the marks.


cdef inline uint32_t _mark(uint32_t node, uint32_t generation, bint told) noexcept nogil:
    return (TOLD if told else 0) | (generation % GENERATIONS) << 16 | node


cdef inline uint32_t _age(Gateway* g, uint32_t mark) noexcept nogil:
    """Generations since g.first."""
    return ((mark >> 16) - g.first) % GENERATIONS


cdef inline bint _counts(Table* t, uint32_t mark) noexcept nogil:
    cdef Gateway* g = t.gateway[mark & (GATEWAYS - 1)]
    return g.live and _age(g, mark) <= g.now - g.first


cdef inline bint _recent(Gateway* g, uint32_t mark) noexcept nogil:
    return _age(g, mark) == g.now - g.first


# -- lists

cdef inline uint32_t* _list(Lists* l, uint32_t unit) noexcept nogil:
    return <uint32_t*>(l.chunk[unit // CHUNK_UNITS] + <size_t>(unit % CHUNK_UNITS) * UNIT)


cdef inline uint32_t _room(uint32_t class_) noexcept nogil:
    return (BLOCK_WORDS << class_) - 1


cdef void _list_give_back(Lists* l, uint32_t unit, uint32_t class_) noexcept nogil:
    _list(l, unit)[0] = l.free[class_]
    l.free[class_] = unit + 1
    l.bytes -= <uint64_t>UNIT << class_


cdef int _chunk_add(Lists* l) noexcept nogil:
    cdef uint8_t** grown
    cdef uint32_t cap = l.cap * 2 if l.cap else 16
    if l.chunks == LISTED // CHUNK_UNITS:
        return -1
    if l.chunks == l.cap:
        grown = <uint8_t**>realloc(l.chunk, cap * sizeof(uint8_t*))
        if grown == NULL:
            return -1
        l.chunk = grown
        l.cap = cap
    l.chunk[l.chunks] = <uint8_t*>malloc(<size_t>CHUNK_UNITS * UNIT)
    if l.chunk[l.chunks] == NULL:
        return -1
    l.chunks += 1
    l.fresh = CHUNK_UNITS
    return 0


cdef int _list_take(Lists* l, uint32_t class_, uint32_t* unit) noexcept nogil:
    """An empty list of this class. 0, or -1 without memory."""
    cdef uint32_t units = <uint32_t>1 << class_, k, part
    if l.free[class_]:
        unit[0] = l.free[class_] - 1
        l.free[class_] = _list(l, unit[0])[0]
    else:
        if l.fresh < units:
            while l.fresh:  # what is left of the chunk serves smaller ones; their places are aligned to their size
                k = 0
                while k + 1 < CLASSES and not (l.fresh >> k) & 1:
                    k += 1
                part = (l.chunks - 1) * CHUNK_UNITS + CHUNK_UNITS - l.fresh
                l.bytes += <uint64_t>UNIT << k
                _list_give_back(l, part, k)
                l.fresh -= <uint32_t>1 << k
            if _chunk_add(l) < 0:
                return -1
        unit[0] = (l.chunks - 1) * CHUNK_UNITS + CHUNK_UNITS - l.fresh
        l.fresh -= units
    l.bytes += <uint64_t>UNIT << class_
    _list(l, unit[0])[0] = class_
    return 0


cdef int _list_move(Lists* l, uint32_t* unit, uint32_t class_) noexcept nogil:
    """The marks of a list to another class."""
    cdef uint32_t other = 0, n = _list(l, unit[0])[0] >> 8
    if _list_take(l, class_, &other) < 0:
        return -1
    memcpy(_list(l, other) + 1, _list(l, unit[0]) + 1, n * sizeof(uint32_t))
    _list(l, other)[0] = n << 8 | class_
    _list_give_back(l, unit[0], _list(l, unit[0])[0] & 0xFF)
    unit[0] = other
    return 0


cdef inline uint32_t* _marks(Table* t, Cell* c, uint32_t* n) noexcept nogil:
    """The marks of a cell."""
    cdef uint32_t* words
    if not c.ref & LISTED:
        n[0] = 1
        return &c.ref
    words = _list(&t.lists, c.ref & ~<uint32_t>LISTED)
    n[0] = words[0] >> 8
    return words + 1


cdef int _push(Table* t, Cell* c, uint32_t mark) noexcept nogil:
    cdef uint32_t unit = 0, class_
    cdef uint32_t* words
    if not c.ref & LISTED:
        if _list_take(&t.lists, 0, &unit) < 0:
            return -1
        words = _list(&t.lists, unit)
        words[1] = c.ref
        words[0] = 1 << 8
        c.ref = LISTED | unit
    unit = c.ref & ~<uint32_t>LISTED
    words = _list(&t.lists, unit)
    class_ = words[0] & 0xFF
    if words[0] >> 8 == _room(class_):
        if _list_move(&t.lists, &unit, class_ + 1) < 0:
            return -1
        c.ref = LISTED | unit
        words = _list(&t.lists, unit)
    words[1 + (words[0] >> 8)] = mark
    words[0] += 1 << 8
    return 0


cdef void _drop(Table* t, Cell* c, uint32_t i) noexcept nogil:
    """Mark i of a cell goes; with the last one ref is 0."""
    cdef uint32_t unit, n, class_
    cdef uint32_t* words
    if not c.ref & LISTED:
        c.ref = 0
        return
    unit = c.ref & ~<uint32_t>LISTED
    words = _list(&t.lists, unit)
    n = (words[0] >> 8) - 1
    class_ = words[0] & 0xFF
    words[1 + i] = words[1 + n]
    words[0] -= 1 << 8
    if n == 1:
        c.ref = words[1]
        _list_give_back(&t.lists, unit, class_)
    elif class_ > 0 and n <= _room(class_ - 1) // 2 and _list_move(&t.lists, &unit, class_ - 1) == 0:
        c.ref = LISTED | unit


cdef bint _prune(Table* t, Cell* c) noexcept nogil:
    """Marks that count no more go. True: some are left."""
    cdef uint32_t n = 0, i
    cdef uint32_t* at = _marks(t, c, &n)
    i = n
    while i > 0:
        i -= 1
        if not _counts(t, at[i]):
            _drop(t, c, i)
            if c.ref == 0:
                return False
            at = _marks(t, c, &n)
    return True


# -- segments

cdef inline uint32_t _home(Segment* s, uint64_t hash) noexcept nogil:
    return <uint32_t>(<uint64_t><uint32_t>hash * s.cap >> 32)


cdef inline void _place(Segment* s, Cell* c) noexcept nogil:
    """Into the first free cell from its home on."""
    cdef uint32_t i = _home(s, c.hash)
    while s.at[i].ref:
        i += 1
        if i == s.cap:
            i = 0
    s.at[i] = c[0]


cdef int _resize(Table* t, Segment* s, uint32_t cap) noexcept nogil:
    """What counts moves into other cells; -1 without memory, and nothing changed."""
    cdef Segment other
    cdef uint32_t i
    other.cap = cap
    other.used = 0
    other.at = <Cell*>calloc(cap, sizeof(Cell))
    if other.at == NULL:
        return -1
    for i in range(s.cap):
        if s.at[i].ref and _prune(t, &s.at[i]):
            _place(&other, &s.at[i])
            other.used += 1
    t.cells -= s.used - other.used
    t.cell_bytes += <uint64_t>cap * sizeof(Cell)
    t.cell_bytes -= <uint64_t>s.cap * sizeof(Cell)
    free(s.at)
    s[0] = other
    return 0


cdef void _take_out(Table* t, Segment* s, uint32_t i) noexcept nogil:
    """Cell i becomes free, and those behind it move up."""
    cdef uint32_t j = i, home
    s.at[i].ref = 0
    s.used -= 1
    t.cells -= 1
    while True:
        j += 1
        if j == s.cap:
            j = 0
        if s.at[j].ref == 0:
            return
        home = _home(s, s.at[j].hash)
        if (home <= i or home > j) if i < j else (home <= i and home > j):
            s.at[i] = s.at[j]
            s.at[j].ref = 0
            i = j


cdef inline Segment* _find(Table* t, const char* name, size_t n, Cell* wanted, uint32_t* at) noexcept nogil:
    """Where this topic is: its segment, and its cell or the free one where it belongs (cap: there are no cells)."""
    cdef uint64_t out[2]
    cdef Segment* s
    cdef uint32_t i
    sodium.siphashx24(<unsigned char*>out, <const unsigned char*>name, n, t.key)
    wanted.hash = out[0] & t.mask
    wanted.check = <uint32_t>out[1]
    s = &t.segment[wanted.hash >> (64 - SEGMENT_BITS)]
    at[0] = s.cap
    if s.cap:
        i = _home(s, wanted.hash)
        while s.at[i].ref and (s.at[i].hash != wanted.hash or s.at[i].check != wanted.check):
            i += 1
            if i == s.cap:
                i = 0
        at[0] = i
    return s


# -- gateways

cdef Gateway* gateway_of(Table* t, uint32_t node) noexcept nogil:
    if t.gateway[node] == NULL:
        t.gateway[node] = <Gateway*>calloc(1, sizeof(Gateway))
    return t.gateway[node]


cdef void _sweep_on(Table* t) noexcept nogil:
    """Something died: every segment is to be seen once from now on."""
    if t.left:
        t.again = True
    elif t.cells:
        t.left = SEGMENTS
        _sweep_begins(t)


cdef void _sweep_begins(Table* t) noexcept nogil:
    cdef uint32_t node
    t.again = False
    for node in range(<uint32_t>GATEWAYS):
        if t.gateway[node] != NULL:
            t.gateway[node].swept = t.gateway[node].first


cdef void _sweep_ends(Table* t) noexcept nogil:
    cdef uint32_t node
    for node in range(<uint32_t>GATEWAYS):
        if t.gateway[node] != NULL:
            t.gateway[node].oldest = t.gateway[node].swept


cdef bint table_sweep(Table* t, uint32_t segments) noexcept nogil:
    cdef Segment* s
    cdef uint32_t i
    while t.left and segments:
        segments -= 1
        s = &t.segment[t.cursor]
        i = 0
        while i < s.cap:
            if s.at[i].ref and not _prune(t, &s.at[i]):
                _take_out(t, s, i)  # another one may have moved here
            else:
                i += 1
        if s.used < s.cap // 2 and s.cap > LEAST_CELLS:
            _resize(t, s, s.used + s.used // 4 + LEAST_CELLS)
        t.cursor = (t.cursor + 1) % SEGMENTS
        t.left -= 1
        if t.left == 0:
            _sweep_ends(t)
            if t.again:
                t.left = SEGMENTS
                _sweep_begins(t)
    return t.left == 0


cdef void gateway_begin(Table* t, uint32_t node) noexcept nogil:
    cdef Gateway* g = t.gateway[node]
    if g.now - g.first >= GENERATIONS - 2:
        return  # thousands began and none ended: what was told since the last one counts on, and nothing is lost
    g.now += 1
    if g.now - g.oldest >= GENERATIONS - 1:  # numbers come again: no mark that wears the next one may be left
        _sweep_on(t)
        while not table_sweep(t, SEGMENTS):
            pass
        g.oldest = g.first
    g.expected[0] += g.expected[1]
    g.told[0] += g.told[1]
    g.digest[0] += g.digest[1]
    g.expected[1] = g.told[1] = g.digest[1] = 0


cdef void gateway_end(Table* t, uint32_t node) noexcept nogil:
    cdef Gateway* g = t.gateway[node]
    if g.first != g.now:
        g.first = g.now
        g.expected[0] = g.told[0] = g.digest[0] = 0
        _sweep_on(t)


cdef void gateway_dies(Table* t, uint32_t node) noexcept nogil:
    gateway_end(t, node)
    gateway_begin(t, node)
    gateway_end(t, node)
    t.gateway[node].live = False


# -- topics

cdef uint64_t digest_of(const uint8_t* key, const char* name, size_t n) noexcept nogil:
    cdef uint64_t out[2]
    sodium.siphashx24(<unsigned char*>out, <const unsigned char*>name, n, key)
    return out[0]


cdef inline void _count(Gateway* g, uint32_t mark, uint64_t digest, int way) noexcept nogil:
    """A mark that counts comes (1) or goes (-1)."""
    cdef bint recent = _recent(g, mark)
    if mark & TOLD:
        g.told[recent] += way
        g.digest[recent] += digest if way > 0 else 0 - digest
    else:
        g.expected[recent] += way


cdef int topic_add(Table* t, uint32_t node, const char* name, size_t n, bint told) noexcept nogil:
    cdef Gateway* g = t.gateway[node]
    cdef Cell wanted
    cdef Segment* s
    cdef uint32_t at = 0, i, count = 0
    cdef uint32_t mark = _mark(node, g.now, told)
    cdef uint32_t* marks
    cdef uint64_t digest
    cdef bint known
    s = _find(t, name, n, &wanted, &at)
    if at < s.cap and s.at[at].ref:
        marks = _marks(t, &s.at[at], &count)
        for i in range(count):
            if (marks[i] & (GATEWAYS - 1)) == node:
                if marks[i] == mark or (_recent(g, marks[i]) and marks[i] & TOLD):
                    return 0
                digest = digest_of(g.key, name, n)
                known = _counts(t, marks[i])
                if known:
                    _count(g, marks[i], digest, -1)
                marks[i] = mark
                _count(g, mark, digest, 1)
                return 0 if known and told else 1
        if _push(t, &s.at[at], mark) < 0:
            return -1
        _count(g, mark, digest_of(g.key, name, n), 1)
        return 1
    if s.used + 1 > s.cap - s.cap // 8:
        if _resize(t, s, s.cap + s.cap // 8 + LEAST_CELLS) < 0 and s.used + 1 >= s.cap:
            return -1  # a free cell must stay: it ends every search
    wanted.ref = mark
    _place(s, &wanted)
    s.used += 1
    t.cells += 1
    _count(g, mark, digest_of(g.key, name, n), 1)
    return 1


cdef int topic_remove(Table* t, uint32_t node, const char* name, size_t n, bint only_expected) noexcept nogil:
    cdef Gateway* g = t.gateway[node]
    cdef Cell wanted
    cdef uint32_t at = 0, i, count = 0
    cdef Segment* s = _find(t, name, n, &wanted, &at)
    cdef uint32_t* marks
    if at == s.cap or s.at[at].ref == 0:
        return 0
    marks = _marks(t, &s.at[at], &count)
    for i in range(count):
        if (marks[i] & (GATEWAYS - 1)) == node and _counts(t, marks[i]):
            if only_expected and marks[i] & TOLD:
                return 0
            _count(g, marks[i], digest_of(g.key, name, n), -1)
            _drop(t, &s.at[at], i)
            if s.at[at].ref == 0:
                _take_out(t, s, at)
            return 1
    return 0


cdef uint32_t topic_gateways(Table* t, const char* name, size_t n, uint16_t* out, uint32_t room) noexcept nogil:
    cdef Cell wanted
    cdef uint32_t at = 0, i, count = 0, found = 0
    cdef Segment* s = _find(t, name, n, &wanted, &at)
    cdef uint32_t* marks
    if at == s.cap or s.at[at].ref == 0:
        return 0
    marks = _marks(t, &s.at[at], &count)
    for i in range(count):
        if _counts(t, marks[i]):
            if found < room:
                out[found] = <uint16_t>(marks[i] & (GATEWAYS - 1))
            found += 1
    return found


cdef Table* table_new(const uint8_t* key, uint64_t mask) noexcept nogil:
    cdef Table* t = <Table*>calloc(1, sizeof(Table))
    if t != NULL:
        memcpy(t.key, key, KEY)
        t.mask = mask
    return t


cdef void table_free(Table* t) noexcept nogil:
    cdef uint32_t i
    if t == NULL:
        return
    for i in range(<uint32_t>SEGMENTS):
        free(t.segment[i].at)
    for i in range(<uint32_t>GATEWAYS):
        free(t.gateway[i])
    for i in range(t.lists.chunks):
        free(t.lists.chunk[i])
    free(t.lists.chunk)
    memset(t.key, 0, KEY)
    free(t)
