/*
 * diff.c - what is different between two filesystems, one of which was made of the other:
 * fs_diff in fs.h.
 *
 * Two passes beside each other over both stores: the entries, and the inodes that have
 * keys of their own. No contents are read: whatever changes them changes a time of the
 * inode. A name that is gone here and one that has come there of the same inode are one
 * that was renamed, so both kinds are kept until the end; what is only changed is told
 * as it is found.
 */
#include <stdlib.h>

#include "fs.h"
#include "keys.h"
#include "paths.h"
#include "record.h"

enum { KEPT_MAX = 4 << 20 }; /* entries that came or went: some 100 MB */

/* An entry of one of both. */
struct moved {
    uint64_t parent, seq, ino;
};

struct side {
    struct lsm *db;
    struct paths paths; /* of the directories, which need no scan */
    struct moved *list; /* entries that only this one has */
    size_t n, cap;
    struct lsm_iter *it;
};

struct diff {
    struct side old, new;
    fs_diff_fn *fn;
    void *arg;
};

/* ---- telling ---- */

/* "/dir/name" of an entry. */
static int entry_path(struct side *s, uint64_t parent, struct slice name, struct buf *to)
{
    buf_clear(to);
    if (parent != FS_ROOT)
        (void)paths_of(&s->paths, parent, to); /* or what it says instead */
    while (to->len && !to->data[to->len - 1])
        to->len--;
    buf_append(to, "/", 1);
    paths_escape(to, name);
    buf_append(to, "", 1);
    return buf_error(to);
}

static int moved_path(struct side *s, const struct moved *m, struct buf *to)
{
    struct lsm_value v = {0};
    struct dentry d;
    struct key k;
    int rc = lsm_get(s->db, NULL, key_dentry(&k, m->parent, m->seq), &v);

    if (!rc)
        rc = dentry_decode_name(v.value, &d);
    if (!rc)
        rc = entry_path(s, m->parent, d.name, to);
    lsm_value_release(&v);
    return rc;
}

static int tell(struct diff *d, enum fs_diff_kind kind, const struct buf *path,
                const struct buf *old)
{
    return d->fn(d->arg, kind, (const char *)path->data,
                 old ? (const char *)old->data : NULL);
}

static int tell_changed(struct diff *d, uint64_t parent, struct slice name)
{
    struct buf path = {0};
    int rc = entry_path(&d->new, parent, name, &path);

    if (!rc)
        rc = tell(d, FS_DIFF_CHANGED, &path, NULL);
    buf_release(&path);
    return rc;
}

/* ---- comparing ---- */

/* Reading is no change, so times of access do not count. */
static bool same_record(const struct record *a, const struct record *b)
{
    return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
           a->nlink == b->nlink && a->flags == b->flags &&
           memcmp(&a->mtime, &b->mtime, sizeof(a->mtime)) == 0 &&
           memcmp(&a->ctime, &b->ctime, sizeof(a->ctime)) == 0 &&
           (!record_is_file(a) || a->file.size == b->file.size);
}

static int keep(struct side *s, uint64_t parent, uint64_t seq, uint64_t ino)
{
    if (s->n == KEPT_MAX)
        return -E2BIG;
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 256;
        void *p = realloc(s->list, cap * sizeof(*s->list));

        if (!p)
            return -ENOMEM;
        s->list = p;
        s->cap = cap;
    }
    s->list[s->n++] = (struct moved){parent, seq, ino};
    return 0;
}

/* The entry that s is at, which the other side has not. */
static int see_alone(struct side *s)
{
    uint64_t parent, seq;
    struct slice value;
    struct dentry d;
    int rc = key_parse_two(lsm_iter_key(s->it), KEY_DENTRY, &parent, &seq) ? 0 : -EUCLEAN;

    if (!rc)
        rc = lsm_iter_value(s->it, &value);
    if (!rc)
        rc = dentry_decode_name(value, &d);
    return rc ? rc : keep(s, parent, seq, d.ino);
}

/* What both have under the key that they are at. */
static int read_both(struct diff *d, struct slice *old, struct slice *new)
{
    int rc = lsm_iter_value(d->old.it, old);

    return rc ? rc : lsm_iter_value(d->new.it, new);
}

/* One entry, here and there. Under another name it went and came. */
static int see_both(struct diff *d)
{
    uint64_t parent, seq;
    struct slice a, b;
    struct dentry x, y;
    int rc =
        key_parse_two(lsm_iter_key(d->new.it), KEY_DENTRY, &parent, &seq) ? 0 : -EUCLEAN;

    if (!rc)
        rc = read_both(d, &a, &b);
    if (rc || slice_eq(a, b))
        return rc;
    rc = dentry_decode(a, &x);
    if (!rc)
        rc = dentry_decode(b, &y);
    if (rc)
        return rc;
    if (!slice_eq(x.name, y.name) || x.ino != y.ino) {
        rc = keep(&d->old, parent, seq, x.ino);
        return rc ? rc : keep(&d->new, parent, seq, y.ino);
    }
    if (x.embedded && y.embedded && same_record(&x.rec, &y.rec))
        return 0;
    return tell_changed(d, parent, y.name);
}

/* An inode with a key of its own: a directory, or a file that has had several names. */
static int see_inodes(struct diff *d)
{
    struct slice a, b;
    struct record x, y;
    uint64_t ino;
    int rc = key_parse_one(lsm_iter_key(d->new.it), KEY_INODE, &ino) ? 0 : -EUCLEAN;

    if (!rc)
        rc = read_both(d, &a, &b);
    if (rc || slice_eq(a, b))
        return rc;
    rc = record_decode(a, &x);
    if (!rc)
        rc = record_decode(b, &y);
    if (rc || same_record(&x, &y))
        return rc;
    return d->new.paths.n_want < KEPT_MAX ? paths_want(&d->new.paths, ino, ino) : -E2BIG;
}

/* ---- two iterators side by side ---- */

typedef int both_fn(struct diff *d);
typedef int alone_fn(struct side *s);

static int step(struct diff *d, both_fn *both, alone_fn *alone)
{
    bool old = lsm_iter_valid(d->old.it), new = lsm_iter_valid(d->new.it);
    int order = !old   ? 1
                : !new ? -1
                       : slice_cmp(lsm_iter_key(d->old.it), lsm_iter_key(d->new.it));
    int rc = order == 0 ? both(d) : alone ? alone(order < 0 ? &d->old : &d->new) : 0;

    if (order <= 0)
        lsm_iter_next(d->old.it);
    if (order >= 0)
        lsm_iter_next(d->new.it);
    return rc;
}

static int walk(struct diff *d, uint8_t letter, both_fn *both, alone_fn *alone)
{
    uint8_t after = letter + 1;
    struct slice lower = slice_of(&letter, 1), upper = slice_of(&after, 1);
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    int rc = lsm_iter_new(d->old.db, &o, &d->old.it);

    if (rc)
        return rc;
    rc = lsm_iter_new(d->new.db, &o, &d->new.it);
    if (!rc) {
        lsm_iter_first(d->old.it);
        lsm_iter_first(d->new.it);
        while (!rc && (lsm_iter_valid(d->old.it) || lsm_iter_valid(d->new.it)))
            rc = step(d, both, alone);
        if (!rc)
            rc = lsm_iter_error(d->old.it);
        if (!rc)
            rc = lsm_iter_error(d->new.it);
        lsm_iter_free(d->new.it);
    }
    lsm_iter_free(d->old.it);
    return rc;
}

/* ---- what came and went ---- */

static int by_inode(const void *a, const void *b)
{
    const struct moved *x = a, *y = b;

    if (x->ino != y->ino)
        return x->ino < y->ino ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static int tell_one(struct diff *d, struct side *s, enum fs_diff_kind kind,
                    const struct moved *m)
{
    struct buf path = {0};
    int rc = moved_path(s, m, &path);

    if (!rc)
        rc = tell(d, kind, &path, NULL);
    buf_release(&path);
    return rc;
}

static int tell_renamed(struct diff *d, const struct moved *from, const struct moved *to)
{
    struct buf old = {0}, new = {0};
    int rc = moved_path(&d->old, from, &old);

    if (!rc)
        rc = moved_path(&d->new, to, &new);
    if (!rc)
        rc = tell(d, FS_DIFF_RENAMED, &new, &old);
    buf_release(&old);
    buf_release(&new);
    return rc;
}

static int tell_moved(struct diff *d)
{
    const struct moved *a = d->old.list, *a_end = a + d->old.n;
    const struct moved *b = d->new.list, *b_end = b + d->new.n;
    int rc = 0;

    if (d->old.n)
        qsort(d->old.list, d->old.n, sizeof(*d->old.list), by_inode);
    if (d->new.n)
        qsort(d->new.list, d->new.n, sizeof(*d->new.list), by_inode);
    while (!rc && (a < a_end || b < b_end)) {
        if (a < a_end && b < b_end && a->ino == b->ino)
            rc = tell_renamed(d, a++, b++);
        else if (b == b_end || (a < a_end && a->ino < b->ino))
            rc = tell_one(d, &d->old, FS_DIFF_REMOVED, a++);
        else
            rc = tell_one(d, &d->new, FS_DIFF_ADDED, b++);
    }
    return rc;
}

static bool no_skip(void *arg, struct slice key, struct buf *next)
{
    return false;
}

/* The inodes that changed and have keys of their own, each by one of its names. */
static int tell_inodes(struct diff *d)
{
    const struct paths *p = &d->new.paths;
    struct buf path = {0};
    struct key k;
    size_t i;
    int rc = paths_fill(&d->new.paths, no_skip, NULL);

    for (i = 0; i < p->n_want && !rc; i++) {
        uint64_t ino = p->want[i].lo; /* and no more: nobody wanted ranges */

        if (!paths_of(p, ino, &path) && lsm_exists(p->db, NULL, key_orphan(&k, ino)) == 0)
            continue; /* it went, and its name was told */
        rc = buf_error(&path);
        if (!rc)
            rc = tell(d, FS_DIFF_CHANGED, &path, NULL);
    }
    buf_release(&path);
    return rc;
}

int fs_diff(struct lsm *old, struct lsm *new, fs_diff_fn *fn, void *arg)
{
    struct diff d = {.old.db = old, .new.db = new, .fn = fn, .arg = arg};
    int rc;

    paths_init(&d.old.paths, old);
    paths_init(&d.new.paths, new);
    rc = walk(&d, KEY_DENTRY, see_both, see_alone);
    if (!rc)
        rc = tell_moved(&d);
    if (!rc)
        rc = walk(&d, KEY_INODE, see_inodes, NULL);
    if (!rc)
        rc = tell_inodes(&d);
    paths_release(&d.old.paths);
    paths_release(&d.new.paths);
    free(d.old.list);
    free(d.new.list);
    return rc;
}
