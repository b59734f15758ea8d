/*
 * quota_tree.c - how a directory tree becomes one with a quota, or ceases to be one, and
 * how what is in it is counted: the work that quotas leave to a thread.
 *
 * A *walk* goes down from the directory, as far as the next ones with a quota, and
 * rewrites the records that have to say in which tree they are. Each directory is changed
 * before its entries are listed: what is made there afterwards is in the right tree from
 * the start, and directories cannot be moved between those that are changed and those
 * that are not yet, nor, meanwhile, among the first (-EXDEV): what was listed stays where
 * it was. So it misses nothing, and can be cut off and begun again anywhere; state tells
 * a mount that it has to.
 *
 * When it is through, operations are stopped for an instant, in which a snapshot is taken
 * and the figures of that moment are noted. All trees are counted as of the snapshot,
 * while operations go on from the figures; in the end the difference is added. After a
 * crash it is the same without a walk.
 */
#include <stdlib.h>

#include "entry.h"
#include "xattr.h"

enum { LOOK_EVERY = 1024 };

/* ---- counting ---- */

struct counter {
    struct fs *fs; /* NULL, or unmounting ends it */
    struct lsm *db;
    struct quota_table *table;
    struct lsm_iter *inodes, *entries, *xattrs;
    uint64_t seen;
};

static bool stopped(struct fs *fs, uint64_t *seen)
{
    return fs && ++*seen % LOOK_EVERY == 0 && lazy_stopping(fs);
}

/* The keys of this letter and number; `it` is moved to them. */
static bool is_under(const struct lsm_iter *it, enum key_letter letter, uint64_t n)
{
    struct key k;
    struct slice prefix = key_one(&k, letter, n);

    return lsm_iter_valid(it) && lsm_iter_key(it).len >= prefix.len &&
           memcmp(lsm_iter_key(it).data, prefix.data, prefix.len) == 0;
}

static int count_inode(struct counter *c, struct quota *q, uint64_t ino,
                       const struct record *rec)
{
    struct key k;

    q->sum_inodes++;
    q->sum_bytes += usage_of(rec);
    if (!(rec->flags & REC_XATTR))
        return 0;
    lsm_iter_seek(c->xattrs, key_one(&k, KEY_XATTR, ino));
    for (; is_under(c->xattrs, KEY_XATTR, ino); lsm_iter_next(c->xattrs)) {
        size_t len = lsm_iter_key(c->xattrs).len - XATTR_KEY_PREFIX;

        q->sum_bytes += (uint64_t)usage_of_xattr(len, lsm_iter_value_len(c->xattrs));
    }
    return lsm_iter_error(c->xattrs);
}

/* What the entries of a directory embed. */
static int count_entries(struct counter *c, struct quota *q, uint64_t dir)
{
    struct slice value;
    struct dentry d;
    struct key k;
    int rc = 0;

    lsm_iter_seek(c->entries, key_one(&k, KEY_DENTRY, dir));
    for (; !rc && is_under(c->entries, KEY_DENTRY, dir); lsm_iter_next(c->entries)) {
        rc = lsm_iter_value(c->entries, &value);
        if (rc)
            break;
        if (dentry_decode(value, &d))
            fs_corrupt("an entry cannot be counted", dir, 0);
        else if (d.embedded)
            rc = count_inode(c, q, d.ino, &d.rec);
        if (!rc && stopped(c->fs, &c->seen))
            rc = -ECANCELED;
    }
    return rc ? rc : lsm_iter_error(c->entries);
}

static int count_record(struct counter *c, enum key_letter letter)
{
    struct record rec;
    struct slice value;
    struct quota *q, *in;
    uint64_t ino, tree;
    int rc = lsm_iter_value(c->inodes, &value);

    if (rc)
        return rc;
    if (letter == KEY_ORPHAN && !value.len)
        return 0; /* an older version's: its record is under I */
    if (!key_parse_one(lsm_iter_key(c->inodes), letter, &ino) ||
        record_decode_tree(value, &rec, &tree)) {
        fs_corrupt("an inode cannot be counted", 0, 0);
        return 0;
    }
    q = in = tree ? quota_find(c->table, tree) : NULL;
    if (!q)
        return 0;
    if (record_is_dir(&rec) && ino == tree) {
        q->seen = true;
        in = atomic_load(&q->outer);
    }
    if (in)
        rc = count_inode(c, in, ino, &rec);
    return rc || !record_is_dir(&rec) ? rc : count_entries(c, q, ino);
}

/* What is in a tree is in all that it lies in. Their own sums are wanted for that. */
static int add_outers(struct quota_table *t)
{
    struct sum {
        uint64_t bytes;
        int64_t inodes;
    } *own = calloc(t->n + 1, sizeof(*own));
    struct quota *o;
    unsigned i;

    if (!own)
        return -ENOMEM;
    for (i = 0; i < t->n; i++)
        own[i] = (struct sum){t->at[i]->sum_bytes, t->at[i]->sum_inodes};
    for (i = 0; i < t->n; i++) {
        for (o = atomic_load(&t->at[i]->outer); o; o = atomic_load(&o->outer)) {
            o->sum_bytes += own[i].bytes;
            o->sum_inodes += own[i].inodes;
        }
    }
    free(own);
    return 0;
}

static int count_records(struct counter *c, enum key_letter letter)
{
    struct key k;
    int rc = 0;

    lsm_iter_seek(c->inodes, key_one(&k, letter, 0));
    for (; !rc && lsm_iter_valid(c->inodes); lsm_iter_next(c->inodes)) {
        if (lsm_iter_key(c->inodes).data[0] != letter)
            break;
        rc = count_record(c, letter);
        if (!rc && stopped(c->fs, &c->seen))
            rc = -ECANCELED;
    }
    return rc ? rc : lsm_iter_error(c->inodes);
}

static int count_all(struct counter *c)
{
    unsigned i;
    int rc = 0;

    for (i = 0; i < c->table->n; i++) {
        c->table->at[i]->sum_bytes = 0;
        c->table->at[i]->sum_inodes = 0;
        c->table->at[i]->seen = false;
    }
    rc = count_records(c, KEY_INODE);
    if (!rc)
        rc = count_records(c, KEY_ORPHAN);
    return rc ? rc : add_outers(c->table);
}

int quota_count(struct fs *fs, struct lsm *db, const struct lsm_snapshot *snap,
                struct quota_table *t)
{
    struct lsm_iter_options o = {.snap = snap};
    struct counter c = {.fs = fs, .db = db, .table = t};
    int rc = lsm_iter_new(db, &o, &c.inodes);

    if (!rc)
        rc = lsm_iter_new(db, &o, &c.entries);
    if (!rc)
        rc = lsm_iter_new(db, &o, &c.xattrs);
    if (!rc)
        rc = count_all(&c);
    lsm_iter_free(c.xattrs);
    lsm_iter_free(c.entries);
    lsm_iter_free(c.inodes);
    return rc;
}

/* ---- walking ---- */

struct to_visit {
    uint64_t dir, parent;
};

struct walk {
    struct fs *fs;
    struct quota *q;
    uint64_t from, to; /* what was in the first is to be in the second; 0: no tree */
    struct to_visit *dir;
    size_t n, room;
    uint64_t seen;
};

static int push(struct walk *w, uint64_t dir, uint64_t parent)
{
    struct to_visit *more;

    if (w->n == w->room) {
        more = realloc(w->dir, (w->room * 2 + 64) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        w->dir = more;
        w->room = w->room * 2 + 64;
    }
    w->dir[w->n++] = (struct to_visit){dir, parent};
    return 0;
}

/* Is a file that says so, and has a name here, to be in the tree? Not if it is in another
 * one by another name. */
static bool takes_file(struct walk *w, uint64_t tree)
{
    struct quotas *s = &w->fs->quotas;
    struct quota *q, *outer;
    bool is;

    if (tree == w->to || tree == w->from)
        return tree == w->from;
    mutex_lock(&s->mu);
    q = quota_find(&s->table, tree);
    is = !q || atomic_load(&q->state) == QUOTA_CLEARING ||
         atomic_load(&q->state) == QUOTA_REMOVED;
    for (outer = w->q; outer && !is; outer = atomic_load(&outer->outer))
        is = outer == q;
    mutex_unlock(&s->mu);
    return is;
}

/* Needs the lock exclusively. */
static int relabel(struct walk *w, struct inode *in)
{
    struct record rec = in->rec;
    struct txn *t = txn_begin(w->fs);
    int rc;

    if (!t)
        return -ENOMEM;
    txn_put_tree(t, in, &rec, w->to);
    rc = txn_end(w->fs, t, 0);
    if (rc)
        return rc;
    inode_set(in, &rec);
    atomic_store(&in->tree, w->to);
    return 0;
}

/* A tree within this one lies in it, or no more; false: that is none. */
static bool change_outer(struct walk *w, uint64_t tree)
{
    struct quotas *s = &w->fs->quotas;
    bool filling = w->to == w->q->tree;
    struct quota *inner, *outer;

    mutex_lock(&s->mu);
    outer = filling ? w->q : atomic_load(&w->q->outer);
    inner = quota_find(&s->table, tree);
    if (inner && atomic_load(&inner->state) == QUOTA_REMOVED)
        inner = NULL;
    if (inner && !quota_lies_in(outer, inner))
        atomic_store(&inner->outer, outer);
    mutex_unlock(&s->mu);
    return inner;
}

/* A file with a key of its own. */
static int visit_file(struct walk *w, uint64_t ino)
{
    struct inode *in;
    int rc = inode_get(w->fs, ino, &in);

    if (rc)
        return rc == -ESTALE || rc == -EUCLEAN ? 0 : rc;
    rwlock_write(&in->lock);
    if (!record_is_dir(&in->rec) && !in->home.parent && !(in->state & INODE_GONE) &&
        takes_file(w, atomic_load(&in->tree)))
        rc = relabel(w, in);
    rwlock_unlock(&in->lock);
    inode_put(w->fs, in);
    return rc;
}

/* *down: what is in it is to be visited. A hostile store may have it in two directories.
 */
static int visit_dir(struct walk *w, struct to_visit v, bool *down)
{
    struct inode *in;
    uint64_t tree;
    bool inner;
    int rc = inode_get(w->fs, v.dir, &in);

    *down = false;
    if (rc)
        return rc == -ESTALE || rc == -EUCLEAN ? 0 : rc;
    rwlock_write(&in->lock);
    tree = atomic_load(&in->tree);
    if (record_is_dir(&in->rec) && !(in->state & INODE_GONE) &&
        (v.dir == w->q->tree || in->rec.dir.parent == v.parent)) {
        /* One that is being cleared may have its number no more. */
        inner = v.dir != w->q->tree && change_outer(w, v.dir);
        *down = !inner || tree != v.dir;
        if (*down && tree != w->to)
            rc = relabel(w, in);
    }
    rwlock_unlock(&in->lock);
    inode_put(w->fs, in);
    return rc;
}

static int visit_entry(struct walk *w, struct lsm_iter *it)
{
    struct slice value;
    struct dentry d;
    uint64_t dir, seq;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_two(lsm_iter_key(it), KEY_DENTRY, &dir, &seq) ||
        dentry_decode_name(value, &d) || d.embedded)
        return 0;
    if (d.type != S_IFDIR)
        return visit_file(w, d.ino);
    return d.ino == seq && d.ino != w->q->tree ? push(w, d.ino, dir) : 0;
}

static int visit_entries(struct walk *w, uint64_t dir)
{
    struct lsm_iter_options o = {0};
    struct key from, to;
    struct slice lower = key_one(&from, KEY_DENTRY, dir);
    struct slice upper = key_one(&to, KEY_DENTRY, dir + 1);
    struct lsm_iter *it;
    int rc;

    o.lower = &lower;
    o.upper = &upper;
    rc = lsm_iter_new(w->fs->db, &o, &it);
    if (rc)
        return rc;
    for (lsm_iter_first(it); !rc && lsm_iter_valid(it); lsm_iter_next(it)) {
        rc = visit_entry(w, it);
        if (!rc && stopped(w->fs, &w->seen))
            rc = -ECANCELED;
    }
    if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

static int walk(struct walk *w)
{
    int rc = push(w, w->q->tree, 0);
    bool down;

    while (!rc && w->n) {
        struct to_visit v = w->dir[--w->n];

        rc = visit_dir(w, v, &down);
        if (!rc && down)
            rc = visit_entries(w, v.dir);
    }
    free(w->dir);
    return rc;
}

static int walk_tree(struct fs *fs, struct quota *q)
{
    struct quotas *s = &fs->quotas;
    struct quota *outer = atomic_load(&q->outer);
    uint64_t out = outer ? outer->tree : 0;
    bool filling = atomic_load(&q->state) == QUOTA_FILLING;
    struct walk w = {
        .fs = fs, .q = q, .from = filling ? out : q->tree, .to = filling ? q->tree : out};
    int rc;

    atomic_store(&s->walking_to, w.to);
    atomic_store(&s->walking, true);
    rc = walk(&w);
    atomic_store(&s->walking, false);
    mutex_lock(&s->mu);
    q->walked = !rc;
    mutex_unlock(&s->mu);
    return rc;
}

/* ---- the work ---- */

static bool is_unfinished(struct quota *q)
{
    int state = atomic_load(&q->state);

    return state == QUOTA_FILLING || state == QUOTA_CLEARING;
}

/* One that is to be walked, or NULL; *count: all are to be counted. */
static struct quota *next_walk(struct fs *fs, bool *count)
{
    struct quotas *s = &fs->quotas;
    struct quota *q = NULL;
    unsigned i;

    mutex_lock(&s->mu);
    *count = s->table.n && !atomic_load(&s->exact);
    for (i = 0; i < s->table.n && !q; i++) {
        if (!is_unfinished(s->table.at[i]))
            continue;
        *count = true;
        if (!s->table.at[i]->walked)
            q = s->table.at[i];
    }
    mutex_unlock(&s->mu);
    return q;
}

/* The moment as of which is counted, and those that are there then: others may come. */
static int begin_count(struct fs *fs, struct quota_table *t, struct lsm_snapshot **snap)
{
    struct quotas *s = &fs->quotas;
    unsigned i;
    int rc = 0;

    *t = (struct quota_table){0};
    mutex_lock(&s->mu);
    txn_stop(fs);
    for (i = 0; i < s->table.n && !rc; i++) {
        struct quota *q = s->table.at[i];

        q->at_bytes = atomic_load(&q->bytes);
        q->at_inodes = atomic_load(&q->inodes);
        q->at_state = atomic_load(&q->state);
        q->counting = !is_unfinished(q) || q->walked;
        rc = quota_table_add(t, q);
    }
    if (!rc)
        *snap = lsm_snapshot_new(fs->db);
    txn_go_on(fs);
    mutex_unlock(&s->mu);
    return rc || *snap ? rc : -ENOMEM;
}

/* Its figures are right now. What was set or cleared meanwhile is counted once more. */
static void settle(struct quota *q)
{
    int state = q->at_state;

    atomic_fetch_add(&q->bytes, (int64_t)(q->sum_bytes - (uint64_t)q->at_bytes));
    atomic_fetch_add(&q->inodes, q->sum_inodes - q->at_inodes);
    if (atomic_load(&q->state) != state)
        return;
    if (state == QUOTA_FILLING)
        atomic_store(&q->state, QUOTA_READY);
    else if (state == QUOTA_CLEARING || (state == QUOTA_READY && !q->seen))
        atomic_store(&q->state, QUOTA_REMOVED); /* a crash came before that was written */
}

static void end_count(struct fs *fs, struct quota_table *t)
{
    struct quotas *s = &fs->quotas;
    unsigned i;

    mutex_lock(&s->mu);
    for (i = 0; i < t->n; i++)
        if (t->at[i]->counting)
            settle(t->at[i]);
    atomic_store(&s->exact, true);
    mutex_unlock(&s->mu);
}

static int count_trees(struct fs *fs)
{
    struct lsm_snapshot *snap = NULL;
    struct quota_table t;
    int rc = begin_count(fs, &t, &snap);

    if (!rc)
        rc = quota_count(fs, fs->db, snap, &t);
    if (!rc)
        end_count(fs, &t);
    lsm_snapshot_free(fs->db, snap);
    free(t.at);
    return rc;
}

static void set_at_work(struct fs *fs, bool at_work)
{
    mutex_lock(&fs->quotas.mu);
    fs->quotas.at_work = at_work;
    mutex_unlock(&fs->quotas.mu);
}

void quota_work(struct fs *fs)
{
    struct quota *q;
    bool count, done = false;
    int rc = 0;

    if (!atomic_load(&fs->quotas.any) || fs->options.read_only)
        return;
    set_at_work(fs, true);
    while (!rc) {
        q = next_walk(fs, &count);
        if (!q && !count)
            break;
        rc = q ? walk_tree(fs, q) : count_trees(fs);
        done = !rc;
    }
    set_at_work(fs, false);
    if (!rc && done)
        rc = quota_write(fs, false);
    if (rc && rc != -ECANCELED)
        err_log("the quotas cannot be counted: %s", strerror(-rc));
}
