/* Record: u16 length of the sealed bytes | sealed bytes (AEAD ciphertext and tag). Handshake messages use the same shape. */
#ifndef QW_RECORD_H
#define QW_RECORD_H

#include "frame/includes/bytes.h"
#include "frame/includes/codes.h"

enum { QW_RECORD_HEADER = 2 };

/* Consumed = 2 + *sealed_len; the sealed bytes stand at p + 2. A length below min_len (no room for tag and one byte)
 * is MALFORMED, above max_len TOO_BIG; both are known after two bytes. */
static inline ptrdiff_t qw_record_parse(const uint8_t *p, size_t n, size_t min_len, size_t max_len,
                                        size_t *sealed_len) {
    if (QW_UNLIKELY(n < 2)) return QW_NEED_MORE;
    size_t len = qw_get_u16(p);
    if (QW_UNLIKELY(len < min_len)) return QW_MALFORMED;
    if (QW_UNLIKELY(len > max_len)) return QW_TOO_BIG;
    if (n - 2 < len) return QW_NEED_MORE;
    *sealed_len = len;
    return (ptrdiff_t)(2 + len);
}

#endif
