/*
 * unwritten.c - ranges that fallocate set aside (see extent.h): they read as zeros
 * and are holes to SEEK_DATA, but count in st_blocks, as everywhere.
 *
 * A range is one key however long it is. Ranges overlap neither each other nor
 * extents; they may lie beyond the end of the file. A file without any, as nearly
 * all are, costs one comparison here.
 */
#include "extent.h"

/* The range under the iterator. */
static int load(struct lsm_iter *it, uint64_t ino, uint64_t *start, uint64_t *end)
{
    struct slice value;
    uint64_t owner, len;
    int rc = lsm_iter_value(it, &value);

    *start = *end = 0;
    if (rc)
        return rc;
    if (!key_parse_two(lsm_iter_key(it), KEY_UNWRITTEN, &owner, end) ||
        counter_decode(value, &len) || !len || len > *end || *end > FS_SIZE_MAX)
        return fs_corrupt("bad unwritten range", ino, *end);
    *start = *end - len;
    return 0;
}

static void put_range(struct txn *t, uint64_t ino, uint64_t start, uint64_t end)
{
    struct key k;

    txn_put_counter(t, key_unwritten(&k, ino, end), end - start);
}

/* What [from, to) takes from the range [start, end). */
static int cut_one(struct txn *t, uint64_t ino, struct record *rec, uint64_t start,
                   uint64_t end, uint64_t from, uint64_t to)
{
    uint64_t gone = (end < to ? end : to) - (start > from ? start : from);
    struct key k;

    if (gone > rec->file.unwritten)
        return fs_corrupt("more unwritten than the inode knows", ino, end);
    rec->file.unwritten -= gone;
    if (start < from)
        put_range(t, ino, start, from);
    if (end > to)
        put_range(t, ino, to, end);
    else
        lsm_batch_delete(t->batch, key_unwritten(&k, ino, end));
    return 0;
}

int unwritten_cut(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                  uint64_t from, uint64_t to)
{
    struct lsm_iter_options o = {0};
    struct slice lower, upper;
    struct key from_key, to_key;
    struct lsm_iter *it;
    uint64_t start, end;
    int rc;

    if (!rec->file.unwritten)
        return 0;
    lower = key_unwritten(&from_key, ino, from + 1);
    upper = key_unwritten(&to_key, ino + 1, 0);
    o.lower = &lower;
    o.upper = &upper;
    rc = lsm_iter_new(fs->db, &o, &it);
    if (rc)
        return rc;
    for (lsm_iter_seek(it, lower); !rc && lsm_iter_valid(it); lsm_iter_next(it)) {
        rc = load(it, ino, &start, &end);
        if (rc || start >= to)
            break;
        rc = cut_one(t, ino, rec, start, end, from, to);
    }
    if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

static void add(struct txn *t, uint64_t ino, struct record *rec, uint64_t start,
                uint64_t end)
{
    if (start >= end)
        return;
    put_range(t, ino, start, end);
    rec->file.unwritten += end - start;
}

int unwritten_fill(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                   uint64_t from, uint64_t to)
{
    uint64_t done = from;
    struct extent_scan s;
    int rc = unwritten_cut(fs, t, ino, rec, from, to);

    if (!rc && rec->file.extents) {
        rc = extent_scan_open(fs, &s, ino, rec->file.size, from, to);
        while (!rc && s.valid) {
            add(t, ino, rec, done, s.start);
            done = s.end;
            rc = extent_scan_next(&s);
        }
        extent_scan_release(&s);
    }
    if (!rc)
        add(t, ino, rec, done, to);
    return rc;
}

int unwritten_replace(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                      uint64_t from, uint64_t to)
{
    int rc = extent_punch(fs, t, ino, rec, from, to);

    if (!rc)
        add(t, ino, rec, from, to);
    return rc;
}
