/*
 * check_extents.c - the part of fs_check that looks at contents of files: extents and
 * unwritten ranges. Keys and lengths; the contents themselves are not read.
 */
#include "check_impl.h"

/* ---- extents ---- */

static void check_extent(struct check *c, struct known *k, uint64_t start, uint64_t end)
{
    if (start < k->last_end)
        problem(c, "inode %" PRIu64 ": extents overlap before %" PRIu64, k->ino, end);
    if (end > k->size)
        problem(c,
                "inode %" PRIu64 ": an extent ends at %" PRIu64
                ", beyond the size %" PRIu64,
                k->ino, end, k->size);
    if (k->run_count && start == k->run_at) {
        k->found_run++;
        k->run_at = end;
    }
    k->last_end = end;
    k->found_extents++;
    k->found_bytes += end - start;
}

int visit_extent(struct check *c, struct slice key, struct lsm_iter *it)
{
    uint64_t ino, end;
    size_t len = lsm_iter_value_len(it);
    struct known *k;

    if (!key_parse_two(key, KEY_EXTENT, &ino, &end)) {
        problem(c, "bad extent key");
        return 0;
    }
    if (!len || len > FS_EXTENT_MAX || len > end || end > FS_SIZE_MAX) {
        problem(c, "inode %" PRIu64 ": bad extent that ends at %" PRIu64, ino, end);
        return 0;
    }
    k = known_find(&c->inodes, ino);
    if (!has_record(k) || !S_ISREG(k->mode))
        problem(c, "an extent of %" PRIu64 ", which is no file", ino);
    else
        check_extent(c, k, end - len, end);
    return 0;
}

/* ---- unwritten ranges ---- */

/* Is there an extent in [start, end)? */
static int check_free(struct check *c, uint64_t ino, uint64_t start, uint64_t end)
{
    struct lsm_iter_options o = {.snap = c->snap};
    struct key from;
    struct lsm_iter *it;
    uint64_t other, at;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    lsm_iter_seek(it, key_extent(&from, ino, start + 1));
    if (lsm_iter_valid(it) && key_parse_two(lsm_iter_key(it), KEY_EXTENT, &other, &at) &&
        other == ino && at - lsm_iter_value_len(it) < end)
        problem(c, "inode %" PRIu64 ": an extent in the unwritten range before %" PRIu64,
                ino, end);
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

int visit_unwritten(struct check *c, struct slice key, struct lsm_iter *it)
{
    uint64_t ino, end, len;
    struct slice value;
    struct known *k;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_two(key, KEY_UNWRITTEN, &ino, &end) || counter_decode(value, &len) ||
        !len || len > end || end > FS_SIZE_MAX) {
        problem(c, "bad unwritten range");
        return 0;
    }
    k = known_find(&c->inodes, ino);
    if (!has_record(k) || !S_ISREG(k->mode)) {
        problem(c, "an unwritten range of %" PRIu64 ", which is no file", ino);
        return 0;
    }
    if (end - len < k->last_unwritten)
        problem(c, "inode %" PRIu64 ": unwritten ranges overlap before %" PRIu64, ino,
                end);
    k->last_unwritten = end;
    k->found_unwritten += len;
    return check_free(c, ino, end - len, end);
}

/* ---- the sums ---- */

void check_file(struct check *c, const struct known *k)
{
    if (k->found_bytes != k->bytes || k->found_extents != k->extents)
        problem(c,
                "inode %" PRIu64 ": has %" PRIu64 " bytes in %" PRIu64
                " extents, not %" PRIu64 " in %" PRIu64,
                k->ino, k->found_bytes, k->found_extents, k->bytes, k->extents);
    if (k->found_unwritten != k->unwritten)
        problem(c, "inode %" PRIu64 ": has %" PRIu64 " bytes unwritten, not %" PRIu64,
                k->ino, k->found_unwritten, k->unwritten);
    if ((k->flags & REC_TAIL) && k->last_end != k->size)
        problem(c, "inode %" PRIu64 ": its last extent does not end with it", k->ino);
    if (k->found_run != k->run_count || (k->run_count && k->run_at != k->size))
        problem(c, "inode %" PRIu64 ": its run of small extents is another", k->ino);
}
