/* System calls with the arguments the core always uses, and address arithmetic for both IP families. */
#ifndef QW_SYS_H
#define QW_SYS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    QW_IP_BYTES = 16,       /* IPv6, or IPv4 mapped into it */
    QW_PEER_TEXT_BYTES = 64, /* "[", INET6_ADDRSTRLEN, "]:", a port */
    QW_TCP_ACKED_AT = 120,   /* in what TCP_INFO fills: bytes acknowledged, bytes received */
    QW_TCP_RECEIVED_AT = 128,
    QW_TCP_INFO_BYTES = 136
};

static inline int qw_errno(void) { return errno; }

static inline uint64_t qw_clock_ns(int coarse) {
    struct timespec t;
    clock_gettime(coarse ? CLOCK_MONOTONIC_COARSE : CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
static inline uint64_t qw_wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* Pages come zeroed and cost nothing until touched. */
static inline void *qw_map(size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
/* Resident at once: a fixed cost of the process and not one of its first connections. */
static inline void *qw_map_now(size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}
static inline void qw_map_huge(void *p, size_t n) { (void)madvise(p, n, MADV_HUGEPAGE); }
static inline void qw_unmap(void *p, size_t n) {
    if (p) munmap(p, n);
}

/* What nobody may touch for now: a sanitizer reports whoever does. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
static inline void qw_poison(void *p, size_t n) { ASAN_POISON_MEMORY_REGION(p, n); }
static inline void qw_unpoison(void *p, size_t n) { ASAN_UNPOISON_MEMORY_REGION(p, n); }
#else
static inline void qw_poison(void *p, size_t n) { (void)p, (void)n; }
static inline void qw_unpoison(void *p, size_t n) { (void)p, (void)n; }
#endif

static inline int qw_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }
static inline void qw_signal_fd(int fd) {
    uint64_t one = 1;
    ssize_t r = write(fd, &one, 8);
    (void)r; /* a full counter already means "readable" */
}
static inline void qw_clear_fd(int fd) {
    uint64_t v;
    ssize_t r = read(fd, &v, 8);
    (void)r;
}

static inline ssize_t qw_send(int fd, const uint8_t *p, size_t n) {
    return send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}
/* Bytes taken, or -errno. */
static inline int32_t qw_send_or_errno(int fd, const uint8_t *p, uint32_t n) {
    ssize_t sent = qw_send(fd, p, n);
    return sent < 0 ? -errno : (int32_t)sent;
}
static inline ssize_t qw_recv(int fd, uint8_t *p, size_t n) { return recv(fd, p, n, MSG_DONTWAIT); }
static inline int qw_again(int e) { return e == EAGAIN || e == EWOULDBLOCK || e == EINTR; }
static inline int qw_would_block(void) { return qw_again(errno); }
/* What the kernel has counted of a TCP connection; zeros where it does not say. glibc's struct tcp_info ends before the
   bytes: the places are those of the kernel, whose struct grows at its end alone. */
typedef struct {
    uint32_t rtt_us, resent; /* smoothed round trip; segments sent again */
    uint64_t acked, received; /* bytes */
} qw_tcp_counts;
static inline void qw_tcp_count(int fd, qw_tcp_counts *counts) {
    uint8_t told[QW_TCP_INFO_BYTES];
    socklen_t n = sizeof told;
    memset(counts, 0, sizeof *counts);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, told, &n) < 0 || n < sizeof told) return;
    memcpy(&counts->rtt_us, told + offsetof(struct tcp_info, tcpi_rtt), 4);
    memcpy(&counts->resent, told + offsetof(struct tcp_info, tcpi_total_retrans), 4);
    memcpy(&counts->acked, told + QW_TCP_ACKED_AT, 8);
    memcpy(&counts->received, told + QW_TCP_RECEIVED_AT, 8);
}
/* What was written and the peer's kernel has not acknowledged; it is known of a connection that was reset, too. */
static inline int qw_unacked_bytes(int fd) {
    int n = 0;
    return ioctl(fd, SIOCOUTQ, &n) < 0 ? 0 : n;
}
static inline void qw_shutdown_write(int fd) { (void)shutdown(fd, SHUT_WR); }

enum { QW_LISTEN_THIN = 1, QW_LISTEN_MPTCP = 2 };
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_THIN_LINEAR_TIMEOUTS
#define TCP_THIN_LINEAR_TIMEOUTS 16
#endif
/* A listening socket of its own for every loop (SO_REUSEPORT); host is a literal IPv4 or IPv6 address. Zero leaves an option to
   the kernel. -errno on failure, also where QW_LISTEN_MPTCP is asked of a kernel without it. */
static inline int qw_listen(const char *host, uint16_t port, int backlog, int unsent_bytes, int user_timeout_ms, int flags) {
    struct sockaddr_storage a;
    socklen_t len;
    int one = 1, zero = 0, fd;
    memset(&a, 0, sizeof a);
    if (inet_pton(AF_INET, host, &((struct sockaddr_in *)&a)->sin_addr) == 1) {
        a.ss_family = AF_INET;
        ((struct sockaddr_in *)&a)->sin_port = htons(port);
        len = sizeof(struct sockaddr_in);
    } else if (inet_pton(AF_INET6, host, &((struct sockaddr_in6 *)&a)->sin6_addr) == 1) {
        a.ss_family = AF_INET6;
        ((struct sockaddr_in6 *)&a)->sin6_port = htons(port);
        len = sizeof(struct sockaddr_in6);
    } else {
        return -EINVAL;
    }
    fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, flags & QW_LISTEN_MPTCP ? IPPROTO_MPTCP : 0);
    if (fd < 0) return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    /* inherited by accepted sockets: saves a call each */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (unsent_bytes) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes);
    if (user_timeout_ms) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
    if (flags & QW_LISTEN_THIN) setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &one, sizeof one);
    if (a.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, backlog) < 0) {
        int e = errno;
        close(fd);
        return -e;
    }
    return fd;
}
static inline void qw_set_buffers(int fd, int send_bytes, int receive_bytes) {
    if (send_bytes) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
    if (receive_bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
}
static inline int qw_port_of(int fd) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0) return -1;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}
/* Accepts without blocking; ip16 gets the address as IPv6 (v4-mapped for IPv4). -errno on failure. */
static inline int qw_accept(int fd, uint8_t *ip16, uint16_t *port) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    int c = accept4(fd, (struct sockaddr *)&a, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c < 0) return -errno;
    if (a.ss_family == AF_INET) {
        memset(ip16, 0, 10);
        ip16[10] = ip16[11] = 0xff;
        memcpy(ip16 + 12, &((struct sockaddr_in *)&a)->sin_addr, 4);
        *port = ntohs(((struct sockaddr_in *)&a)->sin_port);
    } else {
        memcpy(ip16, &((struct sockaddr_in6 *)&a)->sin6_addr, 16);
        *port = ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
    }
    return c;
}
static inline int qw_is_v4(const uint8_t *ip16) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(ip16, mapped, 12) == 0;
}
/* "203.0.113.9:4711" or "[2001:db8::1]:4711"; out has room for QW_PEER_TEXT_BYTES; returns the length. */
static inline int qw_peer_text(const uint8_t *ip16, uint16_t port, char *out) {
    char ip[INET6_ADDRSTRLEN];
    if (qw_is_v4(ip16)) {
        inet_ntop(AF_INET, ip16 + 12, ip, sizeof ip);
        return snprintf(out, QW_PEER_TEXT_BYTES, "%s:%u", ip, port);
    }
    inet_ntop(AF_INET6, ip16, ip, sizeof ip);
    return snprintf(out, QW_PEER_TEXT_BYTES, "[%s]:%u", ip, port);
}

static inline int qw_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }
static inline int qw_epoll_set(int ep, int op, int fd, uint32_t events, uint64_t id) {
    struct epoll_event e;
    e.events = events;
    e.data.u64 = id;
    return epoll_ctl(ep, op, fd, &e);
}
/* Naps until fd is readable or ms have passed. */
static inline void qw_nap(int fd, int ms) {
    struct pollfd p = {fd, POLLIN, 0};
    (void)poll(&p, 1, ms);
}

/* Loop threads leave every signal to the threads of Python, but those of their own faults: the kernel ends a
 * process that blocks these without asking any handler, so a crash would leave no word of where it was. */
static inline int qw_thread_start(pthread_t *t, void *(*fn)(void *), void *arg, const char *name) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t mask, old;
    size_t i;
    int r;
    sigfillset(&mask);
    for (i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&mask, faults[i]);
    pthread_sigmask(SIG_SETMASK, &mask, &old);
    r = pthread_create(t, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r == 0) pthread_setname_np(*t, name);
    return r;
}

#endif
