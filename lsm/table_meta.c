/*
 * table_meta.c - what is told of a table, in memory and as bytes.
 * Bytes: FORMAT.md, "Table metadata".
 */
#include "table_builder.h"

#include <stdlib.h>

enum { FLAG_LARGEST_OPEN = 1 };

void table_meta_release(struct table_meta *m)
{
    buf_release(&m->smallest);
    buf_release(&m->largest);
    free(m->refs);
    memset(m, 0, sizeof(*m));
}

int table_meta_copy(struct table_meta *to, const struct table_meta *from)
{
    *to = *from;
    to->smallest = (struct buf){0};
    to->largest = (struct buf){0};
    to->refs = NULL;
    buf_assign(&to->smallest, buf_slice(&from->smallest));
    buf_assign(&to->largest, buf_slice(&from->largest));
    if (from->n_refs) {
        to->refs = malloc(from->n_refs * sizeof(*to->refs));
        if (to->refs)
            memcpy(to->refs, from->refs, from->n_refs * sizeof(*to->refs));
    }
    if (to->smallest.failed || to->largest.failed || (from->n_refs && !to->refs)) {
        table_meta_release(to);
        return -ENOMEM;
    }
    return 0;
}

bool table_meta_same(const struct table_meta *a, const struct table_meta *b)
{
    return a->number == b->number && a->size == b->size &&
           slice_eq(buf_slice(&a->smallest), buf_slice(&b->smallest)) &&
           slice_eq(buf_slice(&a->largest), buf_slice(&b->largest)) &&
           a->largest_open == b->largest_open && a->seq_min == b->seq_min &&
           a->seq_max == b->seq_max && a->entries == b->entries &&
           a->deletes == b->deletes && a->range_deletes == b->range_deletes &&
           a->raw_bytes == b->raw_bytes && a->n_refs == b->n_refs &&
           (!a->n_refs || !memcmp(a->refs, b->refs, a->n_refs * sizeof(*a->refs)));
}

void table_meta_append(struct buf *to, const struct table_meta *m)
{
    uint64_t before = 0;
    size_t i;

    put_varint(to, m->number);
    /* Fixed width: the properties are part of the file whose size they tell. */
    put_le64(to, m->size);
    put_bytes(to, buf_slice(&m->smallest));
    put_bytes(to, buf_slice(&m->largest));
    put_u8(to, m->largest_open ? FLAG_LARGEST_OPEN : 0);
    put_varint(to, m->seq_min);
    put_varint(to, m->seq_max);
    put_varint(to, m->entries);
    put_varint(to, m->deletes);
    put_varint(to, m->range_deletes);
    put_varint(to, m->raw_bytes);
    put_varint(to, m->n_refs);
    for (i = 0; i < m->n_refs; i++) {
        put_varint(to, m->refs[i].segment - before);
        put_varint(to, m->refs[i].bytes);
        before = m->refs[i].segment;
    }
}

static bool decode_refs(struct slice *in, struct table_meta *m)
{
    uint64_t segment = 0;
    uint64_t n, i, delta;

    /* A reference takes two bytes at least, so n is bounded by what is there. */
    if (!get_varint(in, &n) || n > in->len / 2)
        return false;
    if (n == 0)
        return true;
    m->refs = malloc((size_t)n * sizeof(*m->refs));
    if (!m->refs)
        return false;
    for (i = 0; i < n; i++) {
        if (!get_varint(in, &delta) || !get_varint(in, &m->refs[i].bytes))
            return false;
        if ((i > 0 && delta == 0) || delta > UINT64_MAX - segment)
            return false;
        segment += delta;
        m->refs[i].segment = segment;
    }
    m->n_refs = (size_t)n;
    return true;
}

static bool decode(struct slice *in, struct table_meta *m)
{
    struct slice smallest, largest;
    uint8_t flags;

    if (!get_varint(in, &m->number) || !get_le64(in, &m->size) ||
        !get_bytes(in, &smallest) || !get_bytes(in, &largest) || !get_u8(in, &flags) ||
        !get_varint(in, &m->seq_min) || !get_varint(in, &m->seq_max) ||
        !get_varint(in, &m->entries) || !get_varint(in, &m->deletes) ||
        !get_varint(in, &m->range_deletes) || !get_varint(in, &m->raw_bytes))
        return false;
    if ((flags & ~FLAG_LARGEST_OPEN) || slice_cmp(smallest, largest) > 0 ||
        m->seq_min > m->seq_max || m->seq_max > IKEY_SEQ_STORED ||
        m->deletes > m->entries)
        return false;
    m->largest_open = flags & FLAG_LARGEST_OPEN;
    buf_assign(&m->smallest, smallest);
    buf_assign(&m->largest, largest);
    return decode_refs(in, m) && !m->smallest.failed && !m->largest.failed;
}

bool table_meta_decode(struct slice *in, struct table_meta *m)
{
    if (decode(in, m))
        return true;
    table_meta_release(m);
    return false;
}
