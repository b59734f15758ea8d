/*
 * slice.h - a borrowed run of bytes. Whoever owns them must outlive it.
 */
#ifndef LSM_SLICE_H
#define LSM_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t len;
};

static inline struct slice slice_of(const void *data, size_t len)
{
    struct slice s = {(const uint8_t *)data, len}; /* as C++ has it, too */

    return s;
}

static inline struct slice slice_str(const char *s)
{
    return slice_of(s, strlen(s));
}

/* memcmp order, a prefix before its extensions. */
static inline int slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.data, b.data, n) : 0;

    if (c)
        return c;
    return (a.len > b.len) - (a.len < b.len);
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len &&
           (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

#endif
