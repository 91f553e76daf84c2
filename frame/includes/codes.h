/* The return vocabulary of every parser of this package.
 *
 * > 0           bytes consumed (parsers of complete bodies return 1)
 * QW_NEED_MORE  the input is a proper prefix of something valid so far: call again with more of it
 * QW_MALFORMED  no continuation can make it valid
 * QW_TOO_BIG    a declared length is above the caller's limit; judged before anything that depends on it
 *
 * Parsers keep no state, allocate nothing, never read at or past p + n, and store slices that point into the input.
 * `out` is defined only when the result is > 0, except where a contract says otherwise.
 */
#ifndef QW_CODES_H
#define QW_CODES_H

#include <stddef.h>
#include <stdint.h>

enum { QW_NEED_MORE = 0, QW_MALFORMED = -1, QW_TOO_BIG = -2 };

#define QW_LIKELY(x) __builtin_expect(!!(x), 1)
#define QW_UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
