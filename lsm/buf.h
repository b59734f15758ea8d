/*
 * buf.h - an owned, growing run of bytes.
 *
 * A zeroed struct is an empty buf. Running out of memory is sticky: a failed
 * append leaves `failed` set and the content unusable, so that a writer may
 * append many times and ask once (buf_error).
 */
#ifndef LSM_BUF_H
#define LSM_BUF_H

#include <errno.h>

#include "slice.h"

#ifdef __cplusplus
extern "C" {
#endif

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    bool failed;
};

void buf_release(struct buf *b);

uint8_t *buf_grow(struct buf *b, size_t n);

/* Room for n more bytes; NULL when memory is out. Does not change len. */
static inline uint8_t *buf_reserve(struct buf *b, size_t n)
{
    if (__builtin_expect(b->data && b->cap - b->len >= n && !b->failed, 1))
        return b->data + b->len;
    return buf_grow(b, n);
}

static inline void buf_append(struct buf *b, const void *data, size_t len)
{
    uint8_t *to = buf_reserve(b, len);

    if (!to)
        return;
    if (len)
        memcpy(to, data, len);
    b->len += len;
}

static inline void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.data, s.len);
}

/* Replace the content. s may not point into b. */
void buf_assign(struct buf *b, struct slice s);

/* Empty it and keep its memory. */
static inline void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->len);
}

static inline int buf_error(const struct buf *b)
{
    return b->failed ? -ENOMEM : 0;
}

#ifdef __cplusplus
}
#endif

#endif
