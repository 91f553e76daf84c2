from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "gateway_core/includes/sys.h" nogil:
    ctypedef struct pthread_t:
        pass
    int pthread_join(pthread_t thread, void** result) noexcept
    int qw_thread_start(pthread_t* thread, void* (*fn)(void*) noexcept, void* arg, const char* name) noexcept

    enum:
        EMFILE
        ENFILE
        EAGAIN
        EPOLLIN
        EPOLLOUT
        EPOLLRDHUP
        EPOLLHUP
        EPOLLERR
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL

    enum:
        IP_BYTES "QW_IP_BYTES"  # of an address; IPv4 mapped
        PEER_TEXT_BYTES "QW_PEER_TEXT_BYTES"  # room for what qw_peer_text writes

    ctypedef union epoll_data_t:
        uint64_t u64

    struct epoll_event:
        uint32_t events
        epoll_data_t data

    ctypedef struct qw_tcp_counts:
        uint32_t rtt_us
        uint32_t resent
        uint64_t acked
        uint64_t received

    int epoll_wait(int ep, epoll_event* events, int n, int timeout_ms) noexcept
    int close(int fd) noexcept
    int dup(int fd) noexcept

    int qw_errno() noexcept
    uint64_t qw_clock_ns(int coarse) noexcept
    uint64_t qw_wall_ms() noexcept
    void* qw_map(size_t n) noexcept  # NULL on failure
    void* qw_map_now(size_t n) noexcept  # resident; NULL on failure
    void qw_map_huge(void* p, size_t n) noexcept
    void qw_unmap(void* p, size_t n) noexcept
    void qw_poison(void* p, size_t n) noexcept
    void qw_unpoison(void* p, size_t n) noexcept
    int qw_eventfd() noexcept
    void qw_signal_fd(int fd) noexcept
    void qw_clear_fd(int fd) noexcept
    ssize_t qw_send(int fd, const uint8_t* p, size_t n) noexcept
    int qw_send_or_errno(int fd, const uint8_t* p, uint32_t n) noexcept  # bytes taken or -errno
    bint qw_again(int error) noexcept  # the socket is full, not broken
    ssize_t qw_recv(int fd, uint8_t* p, size_t n) noexcept
    bint qw_would_block() noexcept
    void qw_tcp_count(int fd, qw_tcp_counts* counts) noexcept  # zeros where the kernel does not say
    int qw_unacked_bytes(int fd) noexcept
    void qw_shutdown_write(int fd) noexcept
    int QW_LISTEN_THIN, QW_LISTEN_MPTCP
    int qw_listen(
        const char* host, uint16_t port, int backlog, int unsent_bytes, int user_timeout_ms, int flags
    ) noexcept  # fd or -errno
    void qw_set_buffers(int fd, int send_bytes, int receive_bytes) noexcept
    int qw_port_of(int fd) noexcept
    int qw_accept(int fd, uint8_t* ip16, uint16_t* port) noexcept  # fd or -errno
    bint qw_is_v4(const uint8_t* ip16) noexcept
    int qw_peer_text(const uint8_t* ip16, uint16_t port, char* out) noexcept
    int qw_epoll_create() noexcept
    int qw_epoll_set(int ep, int op, int fd, uint32_t events, uint64_t id) noexcept
    void qw_nap(int fd, int ms) noexcept
