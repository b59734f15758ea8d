/*
 * check_extents.c - the contents of a file: extents and unwritten ranges. Keys and
 * lengths; the contents themselves are read only when that is asked for.
 *
 * Contents beyond the size are kept, and the size is what they say: more likely than a
 * lost truncation is a record that is an older one. Where two extents overlap nothing
 * tells which is right: the one that ends first keeps the bytes, and the other what it
 * has in the gaps. Unwritten ranges are only room set aside, and give way.
 */
#include "mend.h"

struct sums {
    uint64_t bytes, extents;
    uint64_t last_end;
    uint64_t run_from; /* where the run begins, */
    uint64_t run_at;   /* and where the last extent of it ends */
    uint32_t run_count;
    uint64_t unreadable, first_unreadable;
};

/* ---- extents ---- */

static int read_contents(struct check *c, struct sums *sum, struct cursor *at,
                         uint64_t start)
{
    struct slice value;
    int rc = lsm_iter_value(at->it, &value);

    if (rc != -EUCLEAN)
        return rc;
    if (!sum->unreadable)
        sum->first_unreadable = start;
    sum->unreadable += at->second - start;
    return 0;
}

static void add_extent(const struct subject *s, struct sums *sum, uint64_t start,
                       uint64_t end)
{
    if (s->rec.run_count && start == sum->run_at) {
        sum->run_count++;
        sum->run_at = end;
    }
    sum->bytes += end - start;
    sum->extents++;
    if (end > sum->last_end)
        sum->last_end = end;
}

/* Count [from, to) of it, which is kept. */
static void keep_piece(struct check *c, const struct subject *s, struct sums *sum,
                       const struct extent_key *x, uint64_t from, uint64_t to)
{
    mend_piece(c, x, from, to);
    add_extent(s, sum, from, to);
}

/* The bytes of [from, to) that no extent before this one has. Those end before it. */
static int keep_gaps(struct check *c, const struct subject *s, struct sums *sum,
                     const struct extent_key *x, uint64_t from, uint64_t to)
{
    struct lsm_iter_options o = {0};
    uint64_t last = sum->last_end;
    struct lsm_iter *it;
    uint64_t ino, end;
    struct key k;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    lsm_iter_seek(it, key_extent(&k, x->ino, from + 1));
    for (; lsm_iter_valid(it) && from < to; lsm_iter_next(it)) {
        size_t len = lsm_iter_value_len(it);

        if (!key_parse_two(lsm_iter_key(it), KEY_EXTENT, &ino, &end) || ino != x->ino ||
            end > last || end >= x->end)
            break;
        if (len < end && end - len > from)
            keep_piece(c, s, sum, x, from, end - len < to ? end - len : to);
        from = end;
    }
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    if (!rc && from < to)
        keep_piece(c, s, sum, x, from, to);
    return rc ? rc : mend_pieces(c, x, from < to ? to : 0);
}

/* Where another extent is, it cannot stay. */
static int fit_extent(struct check *c, struct subject *s, struct sums *sum,
                      const struct extent_key *x)
{
    uint64_t from = x->end - x->len, before = sum->bytes, given_up;
    struct text t;
    int rc;

    if (from >= sum->last_end) {
        add_extent(s, sum, from, x->end);
        return 0;
    }
    rc = keep_gaps(c, s, sum, x, from, x->end);
    given_up = x->len - (sum->bytes - before);
    if (!rc && given_up)
        problem(c, "those of the later one given up",
                "%s: two extents overlap in %" PRIu64 " bytes before %" PRIu64,
                text_inode(c, s->ino, &t), given_up, x->end);
    return rc;
}

static int visit_extent(struct check *c, struct subject *s, struct sums *sum,
                        struct cursor *at)
{
    struct extent_key x = {s->ino, at->second, lsm_iter_value_len(at->it)};
    struct text t;
    int rc;

    if (!x.len || x.len > FS_EXTENT_MAX || x.len > x.end || x.end > FS_SIZE_MAX) {
        problem(c, "given up",
                "%s: an extent of %" PRIu64 " bytes, which cannot end at %" PRIu64,
                text_inode(c, s->ino, &t), x.len, x.end);
        return cursor_drop(c, at);
    }
    rc = c->contents ? read_contents(c, sum, at, x.end - x.len) : 0;
    return rc ? rc : fit_extent(c, s, sum, &x);
}

static void check_sums(struct check *c, struct subject *s, const struct sums *sum)
{
    struct record *rec = &s->rec;
    struct text t;

    if (sum->bytes == rec->file.bytes && sum->extents == rec->file.extents)
        return;
    if (!s->quiet)
        problem(c,
                sum->bytes < rec->file.bytes ? "set right; what is missing reads as zeros"
                                             : "set right",
                "%s: says %" PRIu64 " bytes of contents in %" PRIu64
                " extents, but has %" PRIu64 " in %" PRIu64,
                text_inode(c, s->ino, &t), rec->file.bytes, rec->file.extents, sum->bytes,
                sum->extents);
    rec->file.bytes = sum->bytes;
    rec->file.extents = sum->extents;
    s->changed = true;
}

static void check_size(struct check *c, struct subject *s, const struct sums *sum)
{
    struct text t;

    if (sum->last_end <= s->rec.file.size)
        return;
    problem(c, "set right",
            "%s: says that it is %" PRIu64 " bytes long, but has contents up to %" PRIu64,
            text_inode(c, s->ino, &t), s->rec.file.size, sum->last_end);
    s->rec.file.size = sum->last_end;
    s->changed = true;
}

static void check_flags(struct check *c, struct subject *s, const struct sums *sum)
{
    struct record *rec = &s->rec;
    bool tail = sum->extents && sum->last_end == rec->file.size;
    struct text t;

    if (rec->run_count &&
        (sum->run_count != rec->run_count || !tail || sum->run_at != rec->file.size ||
         sum->run_at - sum->run_from != rec->run_bytes)) {
        problem(c, "forgotten", "%s: its run of small extents is another",
                text_inode(c, s->ino, &t));
        rec->run_count = rec->run_bytes = 0;
        s->changed = true;
    }
    if ((rec->flags & REC_TAIL) && !tail) {
        problem(c, "set right", "%s: its last extent does not end with it",
                text_inode(c, s->ino, &t));
        rec->flags &= ~(uint32_t)REC_TAIL;
        s->changed = true;
    }
}

/* Keys of contents, under something that can have none. */
static int drop_keys(struct check *c, struct subject *s, struct cursor *at,
                     const char *what)
{
    uint64_t n = 0;
    struct text t;
    int rc = 0;

    while (!rc && at->ino == s->ino) {
        n++;
        rc = cursor_drop(c, at);
        if (!rc)
            rc = cursor_next(c, at);
    }
    if (n)
        problem(c, "given up", "%s: no file, but has %" PRIu64 " %s",
                text_inode(c, s->ino, &t), n, what);
    return rc;
}

int check_extents(struct check *c, struct subject *s, struct cursor *at)
{
    struct sums sum = {0};
    struct text t;
    int rc = 0;

    if (!record_is_file(&s->rec))
        return drop_keys(c, s, at, "extents");
    sum.run_at = sum.run_from = s->rec.file.size - s->rec.run_bytes;
    while (!rc && at->ino == s->ino) {
        rc = visit_extent(c, s, &sum, at);
        if (!rc)
            rc = cursor_next(c, at);
    }
    if (rc)
        return rc;
    check_size(c, s, &sum);
    check_sums(c, s, &sum);
    check_flags(c, s, &sum);
    if (sum.unreadable)
        problem(c, NULL,
                "%s: %" PRIu64 " bytes of its contents are damaged and cannot be read, "
                "the first at %" PRIu64,
                text_inode(c, s->ino, &t), sum.unreadable, sum.first_unreadable);
    return 0;
}

/* ---- unwritten ranges ---- */

/* Is there an extent in [start, end)? */
static int meets_extent(struct check *c, uint64_t ino, uint64_t start, uint64_t end,
                        bool *meets)
{
    struct lsm_iter_options o = {0};
    struct key from;
    struct lsm_iter *it;
    uint64_t other, at;
    int rc = lsm_iter_new(c->db, &o, &it);

    *meets = false;
    if (rc)
        return rc;
    lsm_iter_seek(it, key_extent(&from, ino, start + 1));
    if (lsm_iter_valid(it) && key_parse_two(lsm_iter_key(it), KEY_EXTENT, &other, &at))
        *meets = other == ino && at - lsm_iter_value_len(it) < end;
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

static int visit_unwritten(struct check *c, struct subject *s, struct cursor *at,
                           uint64_t *last_end, uint64_t *bytes)
{
    uint64_t end = at->second, len;
    struct slice value;
    struct text t;
    bool meets = false, bad;
    int rc = lsm_iter_value(at->it, &value);

    if (rc)
        return rc;
    bad = counter_decode(value, &len) || !len || len > end || end > FS_SIZE_MAX;
    if (!bad && end - len >= *last_end)
        rc = meets_extent(c, s->ino, end - len, end, &meets);
    if (rc)
        return rc;
    if (bad || meets || end - len < *last_end) {
        problem(c, "given up", "%s: the unwritten range before %" PRIu64 " %s",
                text_inode(c, s->ino, &t), end,
                bad     ? "makes no sense"
                : meets ? "has contents"
                        : "overlaps another");
        return cursor_drop(c, at);
    }
    *last_end = end;
    *bytes += len;
    return 0;
}

int check_unwritten(struct check *c, struct subject *s, struct cursor *at)
{
    uint64_t last_end = 0, bytes = 0;
    struct text t;
    int rc = 0;

    if (!record_is_file(&s->rec))
        return drop_keys(c, s, at, "unwritten ranges");
    while (!rc && at->ino == s->ino) {
        rc = visit_unwritten(c, s, at, &last_end, &bytes);
        if (!rc)
            rc = cursor_next(c, at);
    }
    if (rc || bytes == s->rec.file.unwritten)
        return rc;
    if (!s->quiet)
        problem(c, "set right",
                "%s: says %" PRIu64 " bytes of unwritten ranges, but has %" PRIu64,
                text_inode(c, s->ino, &t), s->rec.file.unwritten, bytes);
    s->rec.file.unwritten = bytes;
    s->changed = true;
    return 0;
}
