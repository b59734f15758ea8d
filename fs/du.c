/*
 * du.c - what a directory tree holds: fs_du.
 *
 * Goes down by scans of entries, as of one moment: what an entry embeds is counted as it
 * passes, and only directories and files with a key of their own are looked up. Where
 * contents are in the value log is told by the keys of the extents; they are not read.
 */
#include <stdlib.h>

#include "check_known.h"
#include "fs_impl.h"
#include "paths.h"

/* A directory on the way down. */
struct frame {
    uint64_t dir;
    uint64_t seq;    /* of the next entry to look at */
    size_t path_len; /* its own path */
    struct fs_du sum;
};

struct walk {
    struct fs *fs;
    struct lsm_snapshot *snap;
    struct lsm_iter *entries, *extents;
    bool placed; /* entries stands at the next entry of the last frame */
    uint64_t top;
    struct frame *frame;
    size_t n, room;
    struct buf path;
    struct known_table linked; /* files with several names that were counted */
    struct lsm_value value;
    fs_du_fn *fn;
    void *arg;
};

static bool is_under(const struct lsm_iter *it, enum key_letter letter, uint64_t n)
{
    struct key k;
    struct slice prefix = key_one(&k, letter, n);

    return lsm_iter_valid(it) && lsm_iter_key(it).len >= prefix.len &&
           memcmp(lsm_iter_key(it).data, prefix.data, prefix.len) == 0;
}

/* ---- one inode ---- */

/* What the record of an extent takes, as much of it as the extent is. */
static uint64_t stored_bytes(const struct lsm_iter *it)
{
    uint64_t len = lsm_iter_value_len(it);
    struct lsm_place place;

    if (!lsm_iter_place(it, &place) || !place.raw)
        return len;
    return (uint64_t)((double)place.stored * (double)len / (double)place.raw);
}

static int count_extents(struct walk *w, uint64_t ino, struct fs_du *sum)
{
    struct key k;

    /* It stands at the first extent of some file: mostly of this one. */
    if (!is_under(w->extents, KEY_EXTENT, ino))
        lsm_iter_seek(w->extents, key_one(&k, KEY_EXTENT, ino));
    for (; is_under(w->extents, KEY_EXTENT, ino); lsm_iter_next(w->extents))
        sum->stored_bytes += stored_bytes(w->extents);
    return lsm_iter_error(w->extents);
}

static int count_inode(struct walk *w, uint64_t ino, const struct record *rec,
                       struct fs_du *sum)
{
    sum->inodes++;
    sum->dirs += record_is_dir(rec);
    if (S_ISLNK(rec->mode))
        sum->bytes += rec->target.len;
    if (!record_is_file(rec))
        return 0;
    sum->bytes += rec->file.bytes + rec->file.unwritten;
    sum->size += rec->file.size;
    return rec->file.extents ? count_extents(w, ino, sum) : 0;
}

/* -ESTALE when there is none. */
static int read_inode(struct walk *w, uint64_t ino, struct record *rec)
{
    struct key k;
    int rc = lsm_get(w->fs->db, w->snap, key_inode(&k, ino), &w->value);

    if (!rc)
        rc = record_decode(w->value.value, rec);
    return rc == -ENOENT ? -ESTALE : rc;
}

/* ---- the tree ---- */

static int push(struct walk *w, uint64_t dir)
{
    struct frame *more;

    if (w->n == w->room) {
        more = realloc(w->frame, (w->room * 2 + 16) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        w->frame = more;
        w->room = w->room * 2 + 16;
    }
    w->frame[w->n++] = (struct frame){.dir = dir, .path_len = w->path.len};
    w->placed = false;
    return 0;
}

/* All that is in it was counted. */
static int pop(struct walk *w)
{
    struct frame *f = &w->frame[--w->n];
    int rc;

    w->path.len = f->path_len;
    buf_append(&w->path, "", 1);
    rc = buf_error(&w->path);
    if (!rc)
        rc = w->fn(w->arg, (const char *)w->path.data, &f->sum);
    if (rc || !w->n)
        return rc;
    w->path.len = w->frame[w->n - 1].path_len;
    w->frame[w->n - 1].sum.inodes += f->sum.inodes;
    w->frame[w->n - 1].sum.dirs += f->sum.dirs;
    w->frame[w->n - 1].sum.size += f->sum.size;
    w->frame[w->n - 1].sum.bytes += f->sum.bytes;
    w->frame[w->n - 1].sum.stored_bytes += f->sum.stored_bytes;
    w->placed = false;
    return 0;
}

/* Was it counted by another name? */
static int is_counted(struct walk *w, uint64_t ino, bool *is)
{
    struct known *k = known_add(&w->linked, ino);

    if (!k)
        return -ENOMEM;
    *is = k->names;
    k->names = 1;
    return 0;
}

/* An entry that leads to a key of its own. A directory of a hostile store may be in
 * several, or above itself: it is counted where it says that it is. */
static int visit_ref(struct walk *w, uint64_t dir, uint64_t seq, const struct dentry *d)
{
    struct fs_du *sum = &w->frame[w->n - 1].sum;
    struct record rec;
    bool counted = false;
    int rc = read_inode(w, d->ino, &rec);

    if (rc)
        return rc == -ESTALE || rc == -EUCLEAN ? 0 : rc;
    if (record_is_dir(&rec)) {
        if (seq != d->ino || rec.dir.parent != dir || d->ino == w->top)
            return 0;
        rc = count_inode(w, d->ino, &rec, sum);
        buf_append(&w->path, "/", 1);
        paths_escape(&w->path, d->name);
        return rc ? rc : push(w, d->ino);
    }
    if (rec.nlink > 1)
        rc = is_counted(w, d->ino, &counted);
    return rc || counted ? rc : count_inode(w, d->ino, &rec, sum);
}

/* The next entry of the last frame; *any: there was one. */
static int step(struct walk *w, bool *any)
{
    struct frame *f = &w->frame[w->n - 1];
    uint64_t dir, seq;
    struct slice value;
    struct dentry d;
    struct key k;
    int rc;

    if (w->placed)
        lsm_iter_next(w->entries);
    else
        lsm_iter_seek(w->entries, key_dentry(&k, f->dir, f->seq));
    w->placed = true;
    rc = lsm_iter_error(w->entries);
    *any = !rc && is_under(w->entries, KEY_DENTRY, f->dir);
    if (!*any)
        return rc;
    rc = lsm_iter_value(w->entries, &value);
    if (rc || !key_parse_two(lsm_iter_key(w->entries), KEY_DENTRY, &dir, &seq))
        return rc;
    f->seq = seq + 1;
    if (dentry_decode(value, &d))
        return fs_corrupt("bad directory entry", dir, seq);
    if (d.embedded)
        return count_inode(w, d.ino, &d.rec, &f->sum);
    return visit_ref(w, dir, seq, &d);
}

static int walk_tree(struct walk *w)
{
    int rc = push(w, w->top);
    bool any;

    while (!rc && w->n) {
        rc = step(w, &any);
        if (!rc && !any)
            rc = pop(w);
    }
    return rc;
}

/* ---- the whole ---- */

/* Of something that is no directory. */
static int count_one(struct walk *w, const struct record *rec)
{
    struct fs_du sum = {0};
    int rc = count_inode(w, w->top, rec, &sum);

    return rc ? rc : w->fn(w->arg, "", &sum);
}

static int run(struct walk *w, const struct record *rec)
{
    struct lsm_iter_options o = {0};
    int rc;

    o.snap = w->snap = lsm_snapshot_new(w->fs->db);
    if (!w->snap)
        return -ENOMEM;
    rc = lsm_iter_new(w->fs->db, &o, &w->entries);
    if (!rc)
        rc = lsm_iter_new(w->fs->db, &o, &w->extents);
    if (!rc)
        rc = record_is_dir(rec) ? walk_tree(w) : count_one(w, rec);
    lsm_iter_free(w->entries);
    lsm_iter_free(w->extents);
    lsm_snapshot_free(w->fs->db, w->snap);
    lsm_value_release(&w->value);
    known_release(&w->linked);
    buf_release(&w->path);
    free(w->frame);
    return rc;
}

int fs_du(struct fs *fs, uint64_t ino, fs_du_fn *fn, void *arg)
{
    struct walk w = {.fs = fs, .top = ino, .fn = fn, .arg = arg};
    struct record rec;
    struct inode *in;
    int rc = inode_get(fs, ino, &in);

    if (rc)
        return rc;
    rwlock_read(&in->lock);
    rec = in->rec;
    rwlock_unlock(&in->lock);
    rc = run(&w, &rec); /* a symbolic link's target stays while it is pinned */
    inode_put(fs, in);
    return rc;
}
