"""Sockets of the swarm: see sockets.pxd.

A connect() over loopback is finished when the call returns, although it says EINPROGRESS, so the first words are
written at once; should the socket not take them yet they wait in `out` for EPOLLOUT like any other short write.
"""

from libc.errno cimport EAGAIN, EINPROGRESS, EINTR, ENOTCONN, errno
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from benchmarks.loadgen.types cimport GONE, GREETING, INBUF_SIZE, MARK_WRITING, TAIL_MAX, Client, Framing
from cmodules cimport layout

LAYOUT = layout()

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        pass
    struct linger:
        int l_onoff
        int l_linger
    int socket(int family, int kind, int protocol)
    int bind(int fd, const sockaddr* address, unsigned int size)
    int connect(int fd, const sockaddr* address, unsigned int size)
    int setsockopt(int fd, int level, int name, const void* value, unsigned int size)
    ssize_t send(int fd, const void* p, size_t n, int flags)
    ssize_t recv(int fd, void* p, size_t n, int flags)
    enum:
        AF_INET
        SOCK_STREAM
        SOCK_NONBLOCK
        SOCK_CLOEXEC
        SOL_SOCKET
        SO_LINGER
        SO_RCVBUF
        MSG_NOSIGNAL

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        unsigned short sin_family
        unsigned short sin_port
        in_addr sin_addr
    enum:
        IPPROTO_IP
        IPPROTO_TCP
        IP_BIND_ADDRESS_NO_PORT

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_NODELAY

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t htonl(uint32_t v)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef enum:
    OUT_MAX = 1 << 22       # bytes waiting for one socket before it is called stuck
    DEAF_RCVBUF = 4096      # of clients that may stop reading: what is unread must wait at the server, not here


cdef int client_connect(Swarm* s, uint32_t id) noexcept nogil:
    cdef Client* c = &s.clients[id]
    cdef uint32_t g = s.first + id
    cdef sockaddr_in here, there
    cdef epoll_event event
    cdef int one = 1, small = DEAF_RCVBUF
    memset(&here, 0, sizeof(here))
    memset(&there, 0, sizeof(there))
    memset(c, 0, sizeof(Client))
    if s.framing != NULL:
        memset(&s.framing[id], 0, sizeof(Framing))
    c.state = GREETING
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if c.fd < 0:
        c.state = GONE
        return -1
    here.sin_family = AF_INET
    here.sin_addr.s_addr = htonl((<uint32_t>127 << 24) | ((10 + (g >> 16) % 200) << 16) | (((g >> 8) & 255) << 8)
                                 | (1 + g % 254))
    there.sin_family = AF_INET
    there.sin_addr.s_addr = s.gateways[g % s.gateway_count].ip
    there.sin_port = s.gateways[g % s.gateway_count].port
    setsockopt(c.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one))
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
    if id >= s.deaf:
        setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small))
    event.events = EPOLLIN
    event.data.u64 = id
    s.started[id] = clock_ns(CLOCK_MONOTONIC)
    if (bind(c.fd, <sockaddr*>&here, sizeof(here)) != 0
            or (connect(c.fd, <sockaddr*>&there, sizeof(there)) != 0 and errno != EINPROGRESS)
            or epoll_ctl(s.epoll, EPOLL_CTL_ADD, c.fd, &event) != 0):
        client_close(s, id)
        return -1
    s.n.connected += 1
    if s.wire.greet(s, id) != 0:
        client_close(s, id)
        return -1
    return 0


cdef int arm(Swarm* s, uint32_t id, int writing) noexcept nogil:
    cdef epoll_event event
    cdef Client* c = &s.clients[id]
    if ((c.marks & MARK_WRITING) != 0) == (writing != 0):
        return 0
    c.marks ^= MARK_WRITING
    event.events = EPOLLIN | (EPOLLOUT if writing else 0)
    event.data.u64 = id
    return epoll_ctl(s.epoll, EPOLL_CTL_MOD, c.fd, &event)


cdef int client_listen(Swarm* s, uint32_t id, int listening) noexcept nogil:
    cdef epoll_event event
    cdef Client* c = &s.clients[id]
    event.events = (EPOLLIN if listening else 0) | (EPOLLOUT if c.marks & MARK_WRITING else 0)
    event.data.u64 = id
    return epoll_ctl(s.epoll, EPOLL_CTL_MOD, c.fd, &event)


cdef ssize_t push(Swarm* s, Client* c, const uint8_t* p, size_t n) noexcept nogil:
    """Bytes the socket took, or -1."""
    cdef ssize_t took = send(c.fd, p, n, MSG_NOSIGNAL)
    while took < 0 and errno == EINTR:
        took = send(c.fd, p, n, MSG_NOSIGNAL)
    if took < 0:
        return 0 if errno == EAGAIN or errno == ENOTCONN else -1
    s.n.bytes_out += <uint64_t>took
    return took


cdef int client_write(Swarm* s, uint32_t id, const uint8_t* p, size_t n) noexcept nogil:
    cdef Client* c = &s.clients[id]
    cdef ssize_t took = 0
    cdef uint8_t* grown
    s.n.writes += 1
    if c.out_len == 0:
        took = push(s, c, p, n)
        if took < 0:
            return -1
        if <size_t>took == n:
            return 0
        s.n.short_writes += 1
    n -= <size_t>took
    if c.out_len + n > OUT_MAX:
        return -1
    grown = <uint8_t*>realloc(c.out, c.out_len + n)
    if grown == NULL:
        return -1
    c.out = grown
    memcpy(c.out + c.out_len, p + took, n)
    c.out_len += <uint32_t>n
    return arm(s, id, 1)


cdef int client_write_more(Swarm* s, uint32_t id) noexcept nogil:
    cdef Client* c = &s.clients[id]
    cdef ssize_t took
    if c.out_len == 0:
        return arm(s, id, 0)
    took = push(s, c, c.out, c.out_len)
    if took < 0:
        return -1
    c.out_len -= <uint32_t>took
    if c.out_len:
        memmove(c.out, c.out + took, c.out_len)
        return 0
    free(c.out)
    c.out = NULL
    return arm(s, id, 0)


cdef ptrdiff_t client_read(Swarm* s, uint32_t id) noexcept nogil:
    cdef Client* c = &s.clients[id]
    cdef ssize_t got
    if c.tail_len:
        memcpy(s.inbuf, c.tail, c.tail_len)
    got = recv(c.fd, s.inbuf + c.tail_len, INBUF_SIZE, 0)
    if got > 0:
        s.n.reads += 1
        s.n.bytes_in += <uint64_t>got
        return got + c.tail_len
    if got < 0 and (errno == EAGAIN or errno == EINTR):
        return 0
    return -1


cdef int client_keep_tail(Swarm* s, uint32_t id, const uint8_t* p, size_t n) noexcept nogil:
    """Own exactly the bytes of the incomplete unit; -1 when it is longer than any unit may be."""
    cdef Client* c = &s.clients[id]
    if n == 0:
        if c.tail != NULL:
            free(c.tail)
            c.tail = NULL
            c.tail_len = 0
        return 0
    if n > TAIL_MAX:
        return -1
    if n != c.tail_len:
        free(c.tail)
        c.tail = <uint8_t*>malloc(n)
        if c.tail == NULL:
            c.tail_len = 0
            return -1
    memcpy(c.tail, p, n)
    c.tail_len = <uint32_t>n
    return 0


cdef void client_close(Swarm* s, uint32_t id) noexcept nogil:
    cdef Client* c = &s.clients[id]
    cdef linger reset
    reset.l_onoff = 1
    reset.l_linger = 0
    if c.fd >= 0:
        setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset))
        close(c.fd)
    c.fd = -1
    c.state = GONE
    free(c.tail)
    free(c.out)
    c.tail = NULL
    c.out = NULL
    c.tail_len = 0
    c.out_len = 0
