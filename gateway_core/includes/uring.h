/* io_uring for one purpose: many non-blocking sends in one system call. Raw calls, no library.
 *
 * Sends carry MSG_DONTWAIT, so the kernel finishes each one before qw_uring_run returns: nothing stays under way,
 * and the caller's buffers are free again.
 */
#ifndef QW_URING_H
#define QW_URING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IORING_SETUP_COOP_TASKRUN
#define IORING_SETUP_COOP_TASKRUN (1U << 8)
#endif
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif

struct qw_uring {
    int fd;
    uint32_t put; /* entries since the last run */
    char *sq_map, *cq_map;
    size_t sq_bytes, cq_bytes, sqe_bytes;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    uint32_t *sq_head, *sq_tail, *sq_array, *cq_head, *cq_tail;
    uint32_t sq_mask, cq_mask;
};

static inline void qw_uring_close(struct qw_uring *r) {
    if (r->sqes) munmap(r->sqes, r->sqe_bytes);
    if (r->cq_map) munmap(r->cq_map, r->cq_bytes);
    if (r->sq_map) munmap(r->sq_map, r->sq_bytes);
    if (r->fd >= 0) close(r->fd);
    memset(r, 0, sizeof *r);
    r->fd = -1;
}

static inline void *qw_uring_map(int fd, size_t n, off_t what) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
    return p == MAP_FAILED ? NULL : p;
}

/* 0, or -errno (ENOSYS, EPERM: forbidden here; EINVAL: kernel before 6.0). The calling thread alone may run it. */
static inline int qw_uring_open(struct qw_uring *r, uint32_t entries) {
    struct io_uring_params p;
    memset(r, 0, sizeof *r);
    memset(&p, 0, sizeof p);
    p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN;
    r->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
    if (r->fd < 0) return -errno;
    r->sq_bytes = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
    r->cq_bytes = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    r->sqe_bytes = p.sq_entries * sizeof(struct io_uring_sqe);
    r->sq_map = (char *)qw_uring_map(r->fd, r->sq_bytes, IORING_OFF_SQ_RING);
    r->cq_map = (char *)qw_uring_map(r->fd, r->cq_bytes, IORING_OFF_CQ_RING);
    r->sqes = (struct io_uring_sqe *)qw_uring_map(r->fd, r->sqe_bytes, IORING_OFF_SQES);
    if (!r->sq_map || !r->cq_map || !r->sqes) {
        qw_uring_close(r);
        return -ENOMEM;
    }
    r->sq_head = (uint32_t *)(r->sq_map + p.sq_off.head);
    r->sq_tail = (uint32_t *)(r->sq_map + p.sq_off.tail);
    r->sq_array = (uint32_t *)(r->sq_map + p.sq_off.array);
    r->sq_mask = *(uint32_t *)(r->sq_map + p.sq_off.ring_mask);
    r->cq_head = (uint32_t *)(r->cq_map + p.cq_off.head);
    r->cq_tail = (uint32_t *)(r->cq_map + p.cq_off.tail);
    r->cq_mask = *(uint32_t *)(r->cq_map + p.cq_off.ring_mask);
    r->cqes = (struct io_uring_cqe *)(r->cq_map + p.cq_off.cqes);
    return 0;
}

/* One more send; at most `entries` between two runs. */
static inline void qw_uring_put_send(struct qw_uring *r, int fd, const uint8_t *p, uint32_t n) {
    uint32_t at = (*r->sq_tail + r->put) & r->sq_mask;
    struct io_uring_sqe *e = &r->sqes[at];
    memset(e, 0, sizeof *e);
    e->opcode = IORING_OP_SEND;
    e->fd = fd;
    e->addr = (uint64_t)(uintptr_t)p;
    e->len = n;
    e->msg_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    e->user_data = r->put;
    r->sq_array[at] = at;
    r->put++;
}

/* Runs them all. result[i] = bytes taken or -errno: -EAGAIN also for what the kernel did not begin, -EIO for what it
 * began and never reported (how much went out is then unknown). */
static inline void qw_uring_run(struct qw_uring *r, int32_t *result) {
    uint32_t n = r->put, begun = 0, done = 0, i, head, tail, start = *r->sq_tail;
    int got, failed = 0;
    for (i = 0; i < n; i++) result[i] = -EIO;
    __atomic_store_n(r->sq_tail, start + n, __ATOMIC_RELEASE);
    while (done < n && !failed) {
        got = (int)syscall(SYS_io_uring_enter, r->fd, n - begun, n - done, IORING_ENTER_GETEVENTS, NULL, 0);
        failed = (got < 0 && errno != EINTR) || (got == 0 && begun < n);
        begun = __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE) - start;
        head = *r->cq_head;
        tail = __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE);
        for (; head != tail; head++, done++) {
            struct io_uring_cqe *e = &r->cqes[head & r->cq_mask];
            if (e->user_data < n) result[e->user_data] = e->res;
        }
        __atomic_store_n(r->cq_head, head, __ATOMIC_RELEASE);
    }
    for (i = begun; i < n; i++) result[i] = -EAGAIN;
    /* what was not begun is taken back; entries leave in order, so it is the end of the list */
    __atomic_store_n(r->sq_tail, start + begun, __ATOMIC_RELEASE);
    r->put = 0;
}

#endif
