/* Ids and targets, as the specification writes them. */
#ifndef QW_NAMES_H
#define QW_NAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "frame/includes/constants.h"

enum {
    QW_GROUP_PREFIX_BYTES = sizeof(QW_GROUP_PREFIX) - 1,
    QW_ROOM_PREFIX_BYTES = sizeof(QW_ROOM_PREFIX) - 1,
    QW_USER_PREFIX_BYTES = sizeof(QW_USER_PREFIX) - 1
};

/* 1 when p[0..n) matches QW_ID_PATTERN: 1..QW_NAME_MAX characters of its class. The class is read from the pattern. */
static inline int qw_id_valid(const uint8_t *p, size_t n) {
    static const char pattern[] = QW_ID_PATTERN;
    if (n == 0 || n > QW_NAME_MAX) return 0;
    for (size_t i = 0; i < n; i++) {
        const char *c = pattern + 1;
        int found = 0;
        while (*c != ']' && !found) {
            if (c[1] == '-' && c[2] != ']') {
                found = p[i] >= (uint8_t)c[0] && p[i] <= (uint8_t)c[2];
                c += 3;
            } else {
                found = p[i] == (uint8_t)*c++;
            }
        }
        if (!found) return 0;
    }
    return 1;
}

/* 1 when the topic is that of a user's connections: QW_USER_PREFIX and the user. */
static inline int qw_is_user_topic(const char *p, size_t n) {
    return n >= QW_USER_PREFIX_BYTES && memcmp(p, QW_USER_PREFIX, QW_USER_PREFIX_BYTES) == 0;
}

#endif
