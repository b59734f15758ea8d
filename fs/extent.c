/*
 * extent.c - see extent.h.
 *
 * A write cuts a hole where it goes, keeping what sticks out on either side as
 * shares of the old values, and puts its data there in pieces. Nothing is
 * read to be written again, with one exception: small appends.
 *
 * Small appends. A log written 100 bytes at a time would become 40 extents in
 * every 4 KiB. So the small extents at the end of a file form a run, of fewer
 * than RUN_BYTES bytes and at most RUN_COUNT extents, counted in the record.
 * An append that would exceed either reads the run and writes run and data as
 * one extent. Growing past RUN_BYTES ends the run: each byte is written at most
 * twice for that reason. Growing past RUN_COUNT makes the run one extent: that
 * copies less than RUN_BYTES once in RUN_COUNT appends. So an append costs a
 * bounded amount however small it is, and all but the last few extents of a
 * file that is only appended to have RUN_BYTES or more.
 */
#include "extent.h"

/* What a hole does to the extents it meets. */
struct cut {
    uint64_t from, to;
    uint64_t covered[FEW_EXTENTS]; /* ends of those that vanish */
    uint64_t n_covered;            /* may exceed the array */
    uint64_t last_covered;         /* end of the last of them */
    uint64_t met_bytes;            /* of all extents met */
    uint64_t met;
    bool left, right;    /* does something stick out? */
    uint64_t left_start; /* the extent that sticks out on the left... */
    uint64_t left_end;   /* ...is all of [left_start, left_end) */
    uint64_t right_start;
    uint64_t right_end;
};

/* A range of keys that covers all ends beyond `from` is open above. */
static const uint64_t forever = UINT64_MAX;

/* ---- scanning ---- */

static int scan_load(struct extent_scan *s)
{
    uint64_t ino, end;
    size_t len;

    s->valid = false;
    if (!lsm_iter_valid(s->it))
        return lsm_iter_error(s->it);
    if (!key_parse_two(lsm_iter_key(s->it), KEY_EXTENT, &ino, &end))
        return fs_corrupt("bad extent key", s->ino, 0);
    len = lsm_iter_value_len(s->it);
    if (len == 0 || len > FS_EXTENT_MAX || len > end || end > s->size ||
        end - len < s->floor)
        return fs_corrupt("extent out of place", s->ino, end);
    s->start = end - len;
    s->end = end;
    s->floor = end;
    s->valid = s->start < s->to;
    return 0;
}

int extent_scan_open(struct fs *fs, struct extent_scan *s, uint64_t ino, uint64_t size,
                     uint64_t from, uint64_t to)
{
    struct lsm_iter_options o = {0};
    struct slice lower, upper;
    struct key from_key, to_key;
    int rc;

    *s = (struct extent_scan){.ino = ino, .size = size, .to = to};
    lower = key_extent(&from_key, ino, from + 1);
    /* An extent that begins before `to` ends before to + FS_EXTENT_MAX. */
    upper = to < FS_SIZE_MAX ? key_extent(&to_key, ino, to + FS_EXTENT_MAX)
                             : key_extent(&to_key, ino + 1, 0);
    o.lower = &lower;
    o.upper = &upper;
    rc = lsm_iter_new(fs->db, &o, &s->it);
    if (rc) {
        s->it = NULL;
        return rc;
    }
    lsm_iter_seek(s->it, lower);
    return scan_load(s);
}

int extent_scan_next(struct extent_scan *s)
{
    /* Extents do not overlap. The next key may lie in a block that is not in memory. */
    if (s->end >= s->to) {
        s->valid = false;
        return 0;
    }
    lsm_iter_next(s->it);
    return scan_load(s);
}

void extent_scan_release(struct extent_scan *s)
{
    if (s->it)
        lsm_iter_free(s->it);
    s->it = NULL;
}

/* ---- reading ---- */

/* Copy what the current extent has of [off, off + len) to its place in `to`. */
static int scan_read(struct extent_scan *s, uint64_t off, size_t len, uint8_t *to)
{
    uint64_t from = s->start > off ? s->start : off;
    uint64_t upto = s->end < off + len ? s->end : off + len;

    return lsm_iter_read(s->it, (size_t)(from - s->start), (size_t)(upto - from),
                         to + (from - off));
}

static int read_scan(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t off,
                     size_t len, uint8_t *to)
{
    struct extent_scan s;
    uint64_t done = off; /* everything before is in place */
    bool fetch = around_wants(&fs->around, ino, rec->file.size, off, len);
    int rc = extent_scan_open(fs, &s, ino, rec->file.size, off, off + len);

    while (!rc && s.valid) {
        if (s.start > done)
            memset(to + (done - off), 0, (size_t)(s.start - done));
        if (fetch)
            lsm_iter_fetch(s.it);
        rc = scan_read(&s, off, len, to);
        done = s.end;
        if (!rc)
            rc = extent_scan_next(&s);
    }
    if (!rc && done < off + len)
        memset(to + (done - off), 0, (size_t)(off + len - done));
    extent_scan_release(&s);
    return rc;
}

/* The one extent of a small file: a get is cheaper than an iterator. */
static int read_sole(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t off,
                     size_t len, uint8_t *to)
{
    struct lsm_value v = {0};
    uint64_t start = rec->file.size - rec->file.bytes;
    size_t hole = 0;
    struct key k;
    int rc = lsm_get(fs->db, NULL, key_extent(&k, ino, rec->file.size), &v);

    if (rc == -ENOENT || (!rc && v.value.len != rec->file.bytes))
        rc =
            fs_corrupt("the extent is missing or of another length", ino, rec->file.size);
    if (!rc) {
        if (off < start)
            hole = start - off < len ? (size_t)(start - off) : len;
        memset(to, 0, hole);
        if (len > hole)
            memcpy(to + hole, v.value.data + (off + hole - start), len - hole);
    }
    lsm_value_release(&v);
    return rc;
}

int extent_read(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t off,
                size_t len, uint8_t *to)
{
    /* Above this, reading only the frames asked for beats getting the whole value. */
    static const uint64_t small = 16 * 1024;

    if (!rec->file.extents) {
        memset(to, 0, len);
        return 0;
    }
    if (record_sole_extent(rec) && rec->file.bytes <= small)
        return read_sole(fs, ino, rec, off, len, to);
    return read_scan(fs, ino, rec, off, len, to);
}

/* ---- cutting ---- */

static void cut_meet(struct cut *c, uint64_t start, uint64_t end)
{
    c->met++;
    c->met_bytes += end - start;
    if (start < c->from) {
        c->left = true;
        c->left_start = start;
        c->left_end = end;
    }
    if (end > c->to) {
        c->right = true;
        c->right_start = start;
        c->right_end = end;
        return; /* its key stays, with another value */
    }
    if (c->n_covered < FEW_EXTENTS)
        c->covered[c->n_covered] = end;
    c->n_covered++;
    c->last_covered = end;
}

/*
 * Is there an extent that ends where the hole does and begins where it does, or before?
 * So it is when blocks are written a second time, and a get is cheaper than an iterator.
 */
static int cut_meet_one(struct fs *fs, struct cut *c, uint64_t ino,
                        const struct record *rec, bool *met)
{
    struct key k;
    size_t len;
    int rc;

    *met = false;
    if (c->to > rec->file.size || c->to - c->from > FS_EXTENT_MAX)
        return 0;
    rc = lsm_get_len(fs->db, NULL, key_extent(&k, ino, c->to), &len);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    if (len == 0 || len > FS_EXTENT_MAX || len > c->to)
        return fs_corrupt("extent out of place", ino, c->to);
    *met = len >= c->to - c->from;
    if (*met)
        cut_meet(c, c->to - len, c->to);
    return 0;
}

static int cut_plan(struct fs *fs, struct cut *c, uint64_t ino, const struct record *rec)
{
    struct extent_scan s;
    bool met;
    int rc;

    if (!rec->file.extents)
        return 0;
    if (record_sole_extent(rec)) {
        uint64_t start = rec->file.size - rec->file.bytes;

        if (rec->file.size > c->from && start < c->to)
            cut_meet(c, start, rec->file.size);
        return 0;
    }
    rc = cut_meet_one(fs, c, ino, rec, &met);
    if (rc || met)
        return rc;
    rc = extent_scan_open(fs, &s, ino, rec->file.size, c->from, c->to);
    while (!rc && s.valid) {
        cut_meet(c, s.start, s.end);
        rc = extent_scan_next(&s);
    }
    extent_scan_release(&s);
    return rc;
}

/* One by one when they are few: every range costs reads until it is compacted away. */
static void cut_covered(struct txn *t, const struct cut *c, uint64_t ino, bool replace)
{
    struct key a, b;
    uint64_t i;

    if (c->n_covered > FEW_EXTENTS) {
        lsm_batch_delete_range(t->batch, key_extent(&a, ino, c->from + 1),
                               key_extent(&b, ino, c->last_covered + 1));
        return;
    }
    for (i = 0; i < c->n_covered; i++) {
        if (!replace || c->covered[i] != c->to)
            lsm_batch_delete(t->batch, key_extent(&a, ino, c->covered[i]));
    }
}

static void cut_edges(struct txn *t, const struct cut *c, uint64_t ino)
{
    struct key dst, src;

    if (c->left)
        lsm_batch_share(t->batch, key_extent(&dst, ino, c->from),
                        key_extent(&src, ino, c->left_end), 0,
                        (size_t)(c->from - c->left_start));
    if (c->right)
        lsm_batch_share(t->batch, key_extent(&dst, ino, c->right_end),
                        key_extent(&src, ino, c->right_end),
                        (size_t)(c->to - c->right_start), (size_t)(c->right_end - c->to));
}

/*
 * Make [c->from, c->to) a hole. With replace, the caller then puts an extent that ends
 * at `to`. Ranges before points before shares: a later operation of a batch
 * overrides an earlier one, and what is put must stay.
 */
static int cut_do(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                  struct cut *c, bool replace)
{
    uint64_t kept_bytes, kept;
    int rc = cut_plan(fs, c, ino, rec);

    if (rc)
        return rc;
    if (c->met > rec->file.extents || c->met_bytes > rec->file.bytes)
        return fs_corrupt("more extents than the inode knows", ino, c->met);
    cut_covered(t, c, ino, replace);
    cut_edges(t, c, ino);
    kept = (uint64_t)c->left + c->right;
    kept_bytes =
        (c->left ? c->from - c->left_start : 0) + (c->right ? c->right_end - c->to : 0);
    rec->file.extents = rec->file.extents - c->met + kept;
    rec->file.bytes = rec->file.bytes - c->met_bytes + kept_bytes;
    return 0;
}

/* ---- holes and data ---- */

static uint64_t block_of(uint64_t off)
{
    return off - off % FS_BLOCK;
}

int extent_find_data(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t off,
                     uint64_t *found)
{
    uint64_t size = rec->file.size, block = size;
    struct extent_scan s;
    int rc = 0;

    *found = size;
    if (!rec->file.extents)
        return 0;
    if (record_sole_extent(rec)) {
        block = block_of(size - rec->file.bytes);
    } else {
        rc = extent_scan_open(fs, &s, ino, size, block_of(off), size);
        if (!rc && s.valid)
            block = block_of(s.start);
        extent_scan_release(&s);
    }
    *found = block > off ? block : off;
    return rc;
}

int extent_find_hole(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t off,
                     uint64_t *found)
{
    uint64_t size = rec->file.size, end = off;
    struct extent_scan s;
    int rc;

    *found = off;
    if (!rec->file.extents)
        return 0;
    if (rec->file.bytes == size || record_sole_extent(rec)) {
        if (off >= block_of(size - rec->file.bytes))
            *found = size;
        return 0;
    }
    rc = extent_scan_open(fs, &s, ino, size, block_of(off), size);
    while (!rc && s.valid && block_of(s.start) <= end) {
        end = block_of(s.end + FS_BLOCK - 1);
        rc = extent_scan_next(&s);
    }
    extent_scan_release(&s);
    *found = end < size ? end : size;
    return rc;
}

int extent_bytes(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t from,
                 uint64_t to, uint64_t *bytes)
{
    struct extent_scan s;
    int rc;

    *bytes = 0;
    if (!rec->file.extents || from >= rec->file.size)
        return 0;
    rc = extent_scan_open(fs, &s, ino, rec->file.size, from, to);
    while (!rc && s.valid) {
        *bytes += (s.end < to ? s.end : to) - (s.start > from ? s.start : from);
        rc = extent_scan_next(&s);
    }
    extent_scan_release(&s);
    return rc;
}

/* ---- writing ---- */

/* The run's contents into *merged, and its extents deleted. */
static int run_take(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                    struct buf *merged)
{
    uint64_t start = rec->file.size - rec->run_bytes;
    uint8_t *to = buf_reserve(merged, rec->run_bytes);
    struct extent_scan s;
    unsigned n = 0;
    struct key k;
    int rc;

    if (!to)
        return -ENOMEM;
    rc = extent_scan_open(fs, &s, ino, rec->file.size, start, rec->file.size);
    while (!rc && s.valid) {
        if (s.start != start + merged->len) {
            rc = fs_corrupt("the run of small extents has gaps", ino, s.start);
            break;
        }
        lsm_batch_delete(t->batch, key_extent(&k, ino, s.end));
        rc = scan_read(&s, start, rec->run_bytes, to);
        merged->len = (size_t)(s.end - start);
        n++;
        if (!rc)
            rc = extent_scan_next(&s);
    }
    extent_scan_release(&s);
    if (!rc && (n != rec->run_count || merged->len != rec->run_bytes))
        rc = fs_corrupt("the run of small extents is not what its inode says", ino, n);
    return rc;
}

/* Is this an append to the run of small extents, and one too many? */
static bool run_is_full(const struct record *rec, uint64_t off, size_t len)
{
    return off == rec->file.size && rec->run_count && len < RUN_BYTES &&
           (rec->run_count == RUN_COUNT || rec->run_bytes + len >= RUN_BYTES);
}

/* The run after len bytes in `pieces` extents were written at off, up to the end of
 * the file. */
static void run_after(struct record *rec, uint64_t off, size_t len, uint64_t pieces)
{
    size_t last = len - (size_t)(pieces - 1) * FS_EXTENT_MAX;

    if (last >= RUN_BYTES) {
        rec->run_bytes = 0;
        rec->run_count = 0;
    } else if (rec->run_count && off == rec->file.size && pieces == 1) {
        rec->run_bytes += (uint16_t)last;
        rec->run_count++;
    } else {
        rec->run_bytes = (uint16_t)last;
        rec->run_count = 1;
    }
}

static uint64_t put_pieces(struct txn *t, uint64_t ino, const struct record *rec,
                           uint64_t off, struct slice data)
{
    enum lsm_compression kind;
    uint64_t pieces = 0;
    struct key k;

    bool chosen = record_compression(rec, &kind);

    if (chosen)
        lsm_batch_compress(t->batch, &kind);
    while (data.len) {
        size_t n = data.len < FS_EXTENT_MAX ? data.len : FS_EXTENT_MAX;

        off += n;
        lsm_batch_put_ref(t->batch, key_extent(&k, ino, off), slice_of(data.data, n));
        data = slice_of(data.data + n, data.len - n);
        pieces++;
    }
    if (chosen)
        lsm_batch_compress(t->batch, NULL);
    return pieces;
}

/* Before [off, end) is written over: a run that loses bytes, or no longer ends the
 * file, is one no more. */
static void run_before(struct record *rec, uint64_t off, uint64_t end)
{
    if (off == rec->file.size || end <= rec->file.size - rec->run_bytes)
        return;
    rec->run_bytes = 0;
    rec->run_count = 0;
}

int extent_write(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                 uint64_t off, struct slice data, struct buf *merged)
{
    uint64_t end = off + data.len, pieces;
    struct cut c = {.from = off, .to = end};
    int rc = unwritten_cut(fs, t, ino, rec, off, end);

    if (rc)
        return rc;
    if (run_is_full(rec, off, data.len)) {
        rc = run_take(fs, t, ino, rec, merged);
        if (rc)
            return rc;
        buf_append_slice(merged, data);
        if (buf_error(merged))
            return -ENOMEM;
        data = buf_slice(merged);
        off -= rec->run_bytes;
        rec->file.extents -= rec->run_count;
        rec->file.bytes -= rec->run_bytes;
    } else if (off < rec->file.size) {
        rc = cut_do(fs, t, ino, rec, &c, true);
        if (rc)
            return rc;
    }
    pieces = put_pieces(t, ino, rec, off, data);
    rec->file.extents += pieces;
    rec->file.bytes += data.len;
    run_before(rec, off, end);
    if (end >= rec->file.size) {
        run_after(rec, off, data.len, pieces);
        rec->file.size = end;
        rec->flags |= REC_TAIL;
    }
    return 0;
}

/* ---- punching, shrinking, growing, removing ---- */

int extent_punch(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                 uint64_t from, uint64_t to)
{
    struct cut c = {.from = from, .to = to};
    int rc = unwritten_cut(fs, t, ino, rec, from, to);

    if (rc || from >= rec->file.size)
        return rc;
    if (to >= rec->file.size)
        c.to = forever;
    rc = cut_do(fs, t, ino, rec, &c, false);
    run_before(rec, from, to);
    if (to >= rec->file.size)
        rec->flags &= ~(uint32_t)REC_TAIL;
    return rc;
}

int extent_truncate(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                    uint64_t size)
{
    struct cut c = {.from = size, .to = forever};
    int rc = 0;

    /* Also what lies beyond the end. */
    if (size <= rec->file.size)
        rc = unwritten_cut(fs, t, ino, rec, size, forever);
    if (rc || size == rec->file.size)
        return rc;
    if (size == 0) {
        rc = extent_remove_all(fs, t, ino, rec);
        rec->file.extents = 0;
        rec->file.bytes = 0;
    } else if (size < rec->file.size) {
        rc = cut_do(fs, t, ino, rec, &c, false);
    }
    rec->file.size = size;
    rec->run_bytes = 0;
    rec->run_count = 0;
    rec->flags &= ~(uint32_t)REC_TAIL;
    if (c.left)
        rec->flags |= REC_TAIL; /* what was cut now ends the file */
    return rc;
}

static int remove_few(struct fs *fs, struct txn *t, uint64_t ino,
                      const struct record *rec)
{
    struct cut c = {.from = 0, .to = forever};
    int rc = cut_plan(fs, &c, ino, rec);

    /* What is wrong with the extents does not matter any more. */
    if (is_unreadable(rc))
        c.n_covered = FEW_EXTENTS + 1;
    else if (rc)
        return rc;
    if (c.n_covered > FEW_EXTENTS)
        c.last_covered = INO_MAX;
    cut_covered(t, &c, ino, false);
    return 0;
}

int extent_remove_all(struct fs *fs, struct txn *t, uint64_t ino,
                      const struct record *rec)
{
    struct key a, b;
    int rc = 0;

    if (!record_is_file(rec))
        return 0;
    if (rec->file.unwritten)
        lsm_batch_delete_range(t->batch, key_unwritten(&a, ino, 0),
                               key_unwritten(&b, ino + 1, 0));
    if (!rec->file.extents)
        return 0;
    if (rec->file.extents <= FEW_EXTENTS)
        rc = remove_few(fs, t, ino, rec);
    else
        lsm_batch_delete_range(t->batch, key_extent(&a, ino, 0),
                               key_extent(&b, ino + 1, 0));
    return rc;
}
