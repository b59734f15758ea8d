/*
 * buf.c - see buf.h.
 */
#include "buf.h"

#include <stdlib.h>

void buf_release(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

uint8_t *buf_grow(struct buf *b, size_t n)
{
    size_t want, cap;
    uint8_t *data;

    if (b->failed)
        return NULL;
    want = b->len + n;
    cap = b->cap ? b->cap : 64;
    while (cap < want)
        cap *= 2;
    data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return NULL;
    }
    b->data = data;
    b->cap = cap;
    return b->data + b->len;
}

void buf_assign(struct buf *b, struct slice s)
{
    buf_clear(b);
    buf_append(b, s.data, s.len);
}
