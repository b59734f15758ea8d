/*
 * extent_move.c - extents that move or are copied without their contents being
 * read: new keys for shares of the old values (lsm_batch_share).
 *
 * Everything is in one batch, so a batch must not grow without bound: what goes
 * into it is collected first, and weighed.
 */
#include "extent.h"

#include <stdlib.h>

enum {
    /* What a share costs in the batch, in the log and in memory, about. */
    SHARE_BYTES = 256,
    /* Values this small lie in the tables and are copied by a share (lsm.h,
     * separate_bytes). */
    INLINE_BYTES = 4096,
    COPY_BUDGET = 8 * 1024 * 1024,   /* 32,768 large extents: 4 GiB */
    SHIFT_BUDGET = 64 * 1024 * 1024, /* 262,144: 32 GiB */
};

static const uint64_t no_end = UINT64_MAX;

struct piece {
    uint64_t start, end; /* the extent */
};

struct pieces {
    struct piece *at;
    size_t n, cap;
    uint64_t weight;
    uint64_t bytes;
};

static int pieces_add(struct pieces *p, uint64_t start, uint64_t end)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        struct piece *at = realloc(p->at, cap * sizeof(*at));

        if (!at)
            return -ENOMEM;
        p->at = at;
        p->cap = cap;
    }
    p->at[p->n++] = (struct piece){start, end};
    p->weight += SHARE_BYTES + (end - start < INLINE_BYTES ? end - start : 0);
    p->bytes += end - start;
    return 0;
}

/*
 * The extents that hold bytes of [from, to), whole, until they weigh more than
 * budget. *upto is `to`, or where what did not go in begins.
 */
static int collect(struct fs *fs, struct pieces *p, uint64_t ino,
                   const struct record *rec, uint64_t from, uint64_t to, uint64_t budget,
                   uint64_t *upto)
{
    struct extent_scan s;
    int rc;

    *upto = to;
    if (!rec->file.extents)
        return 0;
    rc = extent_scan_open(fs, &s, ino, rec->file.size, from, to);
    while (!rc && s.valid) {
        if (p->weight >= budget) {
            *upto = s.start;
            break;
        }
        rc = pieces_add(p, s.start, s.end);
        if (!rc)
            rc = extent_scan_next(&s);
    }
    extent_scan_release(&s);
    return rc;
}

/* ---- copying ---- */

int extent_copy(struct fs *fs, struct txn *t, struct extent_place from,
                const struct record *src, struct extent_place to, struct record *dst,
                uint64_t *len)
{
    struct pieces p = {0};
    uint64_t upto, end = to.off, start, n;
    struct key dst_key, src_key;
    size_t i;
    int rc =
        collect(fs, &p, from.ino, src, from.off, from.off + *len, COPY_BUDGET, &upto);

    if (!rc) {
        *len = upto - from.off;
        rc = extent_punch(fs, t, to.ino, dst, to.off, to.off + *len);
    }
    for (i = 0; !rc && i < p.n; i++) {
        start = p.at[i].start > from.off ? p.at[i].start : from.off;
        n = (p.at[i].end < upto ? p.at[i].end : upto) - start;
        end = start - from.off + to.off + n;
        lsm_batch_share(t->batch, key_extent(&dst_key, to.ino, end),
                        key_extent(&src_key, from.ino, p.at[i].end),
                        (size_t)(start - p.at[i].start), (size_t)n);
        dst->file.extents++;
        dst->file.bytes += n;
    }
    free(p.at);
    if (rc || to.off + *len < dst->file.size)
        return rc;
    dst->file.size = to.off + *len;
    dst->run_bytes = 0;
    dst->run_count = 0;
    dst->flags &= ~(uint32_t)REC_TAIL;
    if (p.n && end == dst->file.size)
        dst->flags |= REC_TAIL;
    return 0;
}

/* ---- moving the rest of a file ---- */

static void delete_old(struct txn *t, uint64_t ino, const struct pieces *p,
                       uint64_t lowest)
{
    struct key a, b;
    size_t i;

    if (p->n > FEW_EXTENTS)
        lsm_batch_delete_range(t->batch, key_extent(&a, ino, lowest + 1),
                               key_extent(&b, ino + 1, 0));
    for (i = 0; p->n <= FEW_EXTENTS && i < p->n; i++)
        lsm_batch_delete(t->batch, key_extent(&a, ino, p->at[i].end));
}

/* Bytes [start, end) of the extent `of` become the extent that ends at `at`. */
static void put_part(struct txn *t, uint64_t ino, struct record *rec,
                     const struct piece *of, uint64_t start, uint64_t end, uint64_t at)
{
    struct key dst, src;

    if (start >= end)
        return;
    lsm_batch_share(t->batch, key_extent(&dst, ino, at), key_extent(&src, ino, of->end),
                    (size_t)(start - of->start), (size_t)(end - start));
    rec->file.extents++;
    rec->file.bytes += end - start;
}

int extent_shift(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                 uint64_t from, uint64_t to)
{
    uint64_t lowest = from < to ? from : to, upto;
    struct pieces p = {0};
    size_t i;
    int rc = collect(fs, &p, ino, rec, lowest, rec->file.size, SHIFT_BUDGET, &upto);

    if (!rc && upto < rec->file.size)
        rc = -EOPNOTSUPP;
    if (!rc && (p.n > rec->file.extents || p.bytes > rec->file.bytes))
        rc = fs_corrupt("more extents than the inode knows", ino, p.n);
    if (!rc)
        rc = unwritten_cut(fs, t, ino, rec, lowest, no_end);
    if (!rc) {
        delete_old(t, ino, &p, lowest);
        rec->file.extents -= p.n;
        rec->file.bytes -= p.bytes;
        rec->file.size += to - from;
        rec->run_bytes = 0;
        rec->run_count = 0;
    }
    for (i = 0; !rc && i < p.n; i++) {
        const struct piece *e = &p.at[i];

        put_part(t, ino, rec, e, e->start, e->end < lowest ? e->end : lowest, lowest);
        put_part(t, ino, rec, e, e->start > from ? e->start : from, e->end,
                 e->end - from + to);
    }
    free(p.at);
    return rc;
}
