/*
 * vlog_ptr.c - the encoding of a value-log pointer; see vlog.h.
 * Bytes: FORMAT.md, "Value log".
 */
#include "vlog.h"

/* In the length of the value, which is far from having that bit. */
static const uint32_t SHARED = 1u << 31;
/* In the length of the record, likewise. */
static const uint32_t CHOSEN = 1u << 31;

void vptr_append(struct buf *to, const struct vptr *p)
{
    uint8_t tmp[VPTR_MAX];
    size_t n = 0;

    n += store_varint(tmp + n, p->segment);
    n += store_varint(tmp + n, p->offset);
    n += store_varint(tmp + n, p->stored | (p->chosen ? CHOSEN : 0));
    n += store_varint(tmp + n, p->raw | (p->shared ? SHARED : 0));
    n += store_varint(tmp + n, p->off);
    n += store_varint(tmp + n, p->len);
    buf_append(to, tmp, n);
}

bool vptr_decode(struct slice *in, struct vptr *p)
{
    struct slice at = *in;
    struct vptr v = {0};

    if (!get_varint(&at, &v.segment) || !get_varint(&at, &v.offset) ||
        !get_varint32(&at, &v.stored) || !get_varint32(&at, &v.raw) ||
        !get_varint32(&at, &v.off) || !get_varint32(&at, &v.len))
        return false;
    v.shared = v.raw & SHARED;
    v.raw &= ~SHARED;
    v.chosen = v.stored & CHOSEN;
    v.stored &= ~CHOSEN;
    if (v.off > v.raw || v.len > v.raw - v.off)
        return false;
    *in = at;
    *p = v;
    return true;
}
