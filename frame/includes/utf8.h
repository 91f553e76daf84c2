/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef QW_UTF8_H
#define QW_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* 1 when p[0..n) is whole, valid UTF-8; 0 otherwise. */
static inline int qw_utf8_valid(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        uint8_t b = p[i++];
        if (b < 0x80) continue;
        uint8_t low = 0x80, high = 0xbf; /* bounds of the second byte */
        size_t more;
        if (b >= 0xc2 && b <= 0xdf) more = 1;
        else if (b >= 0xe0 && b <= 0xef) {
            more = 2;
            if (b == 0xe0) low = 0xa0;
            if (b == 0xed) high = 0x9f;
        } else if (b >= 0xf0 && b <= 0xf4) {
            more = 3;
            if (b == 0xf0) low = 0x90;
            if (b == 0xf4) high = 0x8f;
        } else return 0;
        if (n - i < more) return 0;
        if (p[i] < low || p[i] > high) return 0;
        for (size_t k = 1; k < more; k++)
            if ((p[i + k] & 0xc0) != 0x80) return 0;
        i += more;
    }
    return 1;
}

#endif
