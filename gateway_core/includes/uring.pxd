from libc.stdint cimport int32_t, uint8_t, uint32_t


cdef extern from "gateway_core/includes/uring.h" nogil:
    struct qw_uring:
        int fd

    int qw_uring_open(qw_uring* r, uint32_t entries) noexcept  # 0 or -errno
    void qw_uring_close(qw_uring* r) noexcept
    void qw_uring_put_send(qw_uring* r, int fd, const uint8_t* p, uint32_t n) noexcept
    void qw_uring_run(qw_uring* r, int32_t* result) noexcept
