/*
 * quota.c - see quota.h: the table of quotas, what operations take from them, and what
 * the store is told.
 */
#include "quota.h"

#include <stdlib.h>

#include "txn.h"

/* ---- the table ---- */

static unsigned place_of(const struct quota_table *t, uint64_t tree)
{
    unsigned from = 0, to = t->n;

    while (from < to) {
        unsigned mid = from + (to - from) / 2;

        if (t->at[mid]->tree < tree)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

struct quota *quota_find(const struct quota_table *t, uint64_t tree)
{
    unsigned i = place_of(t, tree);

    return i < t->n && t->at[i]->tree == tree ? t->at[i] : NULL;
}

bool quota_lies_in(struct quota *q, const struct quota *outer)
{
    while (q && q != outer)
        q = atomic_load(&q->outer);
    return q;
}

int quota_table_add(struct quota_table *t, struct quota *q)
{
    struct quota **at = realloc(t->at, (t->n + 1) * sizeof(*at));
    unsigned i;

    if (!at)
        return -ENOMEM;
    t->at = at;
    i = place_of(t, q->tree);
    memmove(at + i + 1, at + i, (t->n - i) * sizeof(*at));
    at[i] = q;
    t->n++;
    return 0;
}

void quota_table_release(struct quota_table *t)
{
    while (t->n)
        free(t->at[--t->n]);
    free(t->at);
    t->at = NULL;
}

/* ---- what the store says ---- */

struct quota_record quota_record_of(struct quota *q)
{
    struct quota *outer = atomic_load(&q->outer);
    int64_t bytes = atomic_load(&q->bytes), inodes = atomic_load(&q->inodes);

    return (struct quota_record){
        .state = (enum quota_state)atomic_load(&q->state),
        .outer = outer ? outer->tree : 0,
        .limit_bytes = atomic_load(&q->limit_bytes),
        .limit_inodes = atomic_load(&q->limit_inodes),
        .bytes = bytes > 0 ? (uint64_t)bytes : 0,
        .inodes = inodes > 0 ? (uint64_t)inodes : 0,
    };
}

int quota_put(struct lsm_batch *b, uint64_t tree, const struct quota_record *rec)
{
    struct buf value = {0};
    struct key k;
    int rc;

    quota_encode(&value, rec);
    rc = buf_error(&value);
    if (!rc)
        lsm_batch_put(b, key_quota(&k, tree), buf_slice(&value));
    buf_release(&value);
    return rc;
}

void quota_put_exact(struct lsm_batch *b, bool exact)
{
    uint8_t v = exact;

    lsm_batch_put(b, key_quotas(), slice_of(&v, 1));
}

struct quota *quota_new(uint64_t tree, const struct quota_record *rec)
{
    struct quota *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->tree = tree;
    q->stored = *rec;
    atomic_init(&q->limit_bytes, rec->limit_bytes);
    atomic_init(&q->limit_inodes, rec->limit_inodes);
    atomic_init(&q->bytes, (int64_t)rec->bytes);
    atomic_init(&q->inodes, (int64_t)rec->inodes);
    atomic_init(&q->state, rec->state);
    return q;
}

static int load_one(struct lsm_iter *it, struct quota_table *t, quota_bad_fn *bad,
                    void *arg)
{
    struct quota_record rec;
    struct slice value;
    struct quota *q;
    uint64_t tree;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_one(lsm_iter_key(it), KEY_QUOTA, &tree) || !tree || tree > INO_MAX ||
        quota_decode(value, &rec))
        return bad ? bad(arg, lsm_iter_key(it)) : fs_corrupt("bad quota", 0, 0);
    q = quota_new(tree, &rec);
    rc = q ? quota_table_add(t, q) : -ENOMEM;
    if (rc)
        free(q);
    return rc;
}

/* From what their records say; each way out ends, or is cut. */
static void link_outers(struct quota_table *t, bool *doubt)
{
    unsigned i, steps;
    struct quota *o;

    for (i = 0; i < t->n; i++) {
        uint64_t outer = t->at[i]->stored.outer;

        atomic_store(&t->at[i]->outer, outer ? quota_find(t, outer) : NULL);
        *doubt |= outer && !atomic_load(&t->at[i]->outer);
    }
    for (i = 0; i < t->n; i++) {
        o = t->at[i];
        for (steps = 0; o && steps <= t->n; steps++)
            o = atomic_load(&o->outer);
        if (!o)
            continue;
        fs_corrupt("a quota tree lies in itself", t->at[i]->tree, 0);
        atomic_store(&t->at[i]->outer, NULL);
        *doubt = true;
    }
}

int quota_load(struct lsm *db, struct quota_table *t, bool *doubt, quota_bad_fn *bad,
               void *arg)
{
    uint8_t first = KEY_QUOTA, after = KEY_QUOTA + 1;
    struct slice lower = slice_of(&first, 1), upper = slice_of(&after, 1);
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_iter *it;
    int rc = lsm_iter_new(db, &o, &it);

    *t = (struct quota_table){0};
    *doubt = false;
    if (rc)
        return rc;
    for (lsm_iter_first(it); !rc && lsm_iter_valid(it); lsm_iter_next(it)) {
        rc = load_one(it, t, bad, arg);
        if (rc == -EUCLEAN) {
            *doubt = true;
            rc = 0;
        }
    }
    if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    link_outers(t, doubt);
    return rc;
}

int quota_read_exact(struct lsm *db, bool *exact)
{
    struct lsm_value value = {0};
    int rc = lsm_get(db, NULL, key_quotas(), &value);

    *exact = false;
    if (!rc && exact_decode(value.value, exact))
        *exact = false;
    lsm_value_release(&value);
    return rc == -ENOENT ? 0 : rc;
}

/* ---- which tree ---- */

int quota_tree_under(struct fs *fs, uint64_t dir, uint64_t *tree)
{
    struct lsm_value value = {0};
    struct record rec;
    struct key k;
    int rc;

    *tree = 0;
    if (itable_tree(&fs->inodes, dir, tree))
        return 0;
    /* It says the same as when it was live. */
    rc = lsm_get(fs->db, NULL, key_inode(&k, dir), &value);
    if (!rc)
        rc = record_decode_tree(value.value, &rec, tree);
    lsm_value_release(&value);
    return rc == -ENOENT || rc == -EUCLEAN ? fs_corrupt("no directory", dir, 0) : rc;
}

int quota_tree_of(struct fs *fs, const struct inode *in, uint64_t *tree)
{
    struct quota *q;

    if (in->home.parent)
        return quota_tree_under(fs, in->home.parent, tree);
    *tree = atomic_load(&in->tree);
    /* A directory that holds the tree; else, in a store that was mended, another inode
     * that has the number of one that is gone. */
    if (*tree != in->ino || (atomic_load(&in->kin) & KIN_TYPE))
        return 0;
    q = quota_find(&fs->quotas.table, *tree);
    q = q ? atomic_load(&q->outer) : NULL;
    *tree = q ? q->tree : 0;
    return 0;
}

/* ---- taking and giving ---- */

static int add_one(struct charges *c, struct quota *q, int64_t bytes, int64_t inodes)
{
    struct charge *at;
    unsigned i;

    for (i = 0; i < c->n && c->at[i].q != q; i++)
        ;
    if (i == c->room) {
        at = realloc(c->at, (c->room + 8) * sizeof(*at));
        if (!at)
            return -ENOMEM;
        c->at = at;
        c->room += 8;
    }
    if (i == c->n)
        c->at[c->n++] = (struct charge){.q = q};
    c->at[i].bytes += bytes;
    c->at[i].inodes += inodes;
    return 0;
}

int charges_add(struct fs *fs, struct charges *c, uint64_t tree, int64_t bytes,
                int64_t inodes)
{
    struct quota *q = tree ? quota_find(&fs->quotas.table, tree) : NULL;
    int rc = 0;

    for (; q && !rc; q = atomic_load(&q->outer))
        rc = add_one(c, q, bytes, inodes);
    return rc;
}

static void add(struct quota *q, int64_t bytes, int64_t inodes)
{
    atomic_fetch_add_explicit(&q->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&q->inodes, inodes, memory_order_relaxed);
}

static int64_t above(int64_t v)
{
    return v > 0 ? v : 0;
}

/* Of one whose tree is not yet known nothing is refused. */
static int take_one(const struct charge *c)
{
    struct quota *q = c->q;
    bool heed = atomic_load(&q->state) == QUOTA_READY;
    int64_t bytes = above(c->bytes), inodes = above(c->inodes);

    if (bytes && !usage_grow(&q->bytes, heed ? atomic_load(&q->limit_bytes) : 0, bytes))
        return -EDQUOT;
    if (!inodes ||
        usage_grow(&q->inodes, heed ? atomic_load(&q->limit_inodes) : 0, inodes))
        return 0;
    add(q, -bytes, 0);
    return -EDQUOT;
}

static void untake(const struct charges *c, unsigned n)
{
    while (n--)
        add(c->at[n].q, -above(c->at[n].bytes), -above(c->at[n].inodes));
}

int charges_take(const struct charges *c)
{
    unsigned i;

    for (i = 0; i < c->n; i++) {
        if (take_one(&c->at[i]) == 0)
            continue;
        untake(c, i);
        return -EDQUOT;
    }
    return 0;
}

void charges_untake(const struct charges *c)
{
    untake(c, c->n);
}

void charges_give(const struct charges *c)
{
    unsigned i;

    for (i = 0; i < c->n; i++)
        add(c->at[i].q, c->at[i].bytes - above(c->at[i].bytes),
            c->at[i].inodes - above(c->at[i].inodes));
}

/* ---- the mount ---- */

static int write_batch(struct fs *fs, struct lsm_batch *b, int rc)
{
    if (!rc && lsm_batch_count(b))
        rc = lsm_write(fs->db, b, LSM_NOSYNC);
    lsm_batch_free(b);
    return rc;
}

/* On a full disk only what deletes is taken, and a mount begins with this. */
static int unmark(struct fs *fs)
{
    struct lsm_batch *b = lsm_batch_new();

    if (!b)
        return -ENOMEM;
    lsm_batch_delete(b, key_quotas());
    quota_put_exact(b, false);
    return write_batch(fs, b, 0);
}

int quota_open(struct fs *fs, const struct super *super)
{
    struct quotas *s = &fs->quotas;
    bool doubt, exact;
    int rc;

    s->in_super = super->quotas;
    if (!super->quotas)
        return 0;
    rc = quota_load(fs->db, &s->table, &doubt, NULL, NULL);
    if (!rc)
        rc = quota_read_exact(fs->db, &exact);
    if (rc)
        return rc;
    atomic_store(&s->any, true);
    atomic_store(&s->exact, exact && !doubt);
    return exact && !fs->options.read_only ? unmark(fs) : 0;
}

static bool same(const struct quota_record *a, const struct quota_record *b)
{
    return a->state == b->state && a->outer == b->outer &&
           a->limit_bytes == b->limit_bytes && a->limit_inodes == b->limit_inodes &&
           a->bytes == b->bytes && a->inodes == b->inodes;
}

/* Of a tree without a directory nothing is kept when nothing counts there any more. *all:
 * of none is anything. */
static void look_for_over(struct fs *fs, bool *all)
{
    struct quotas *s = &fs->quotas;
    unsigned i;

    *all = true;
    for (i = 0; i < s->table.n; i++) {
        struct quota *q = s->table.at[i];

        q->over = atomic_load(&q->state) == QUOTA_REMOVED &&
                  atomic_load(&q->inodes) <= 0 && atomic_load(&s->exact) && !s->at_work;
        *all = *all && q->over;
    }
}

static int put_changed(struct fs *fs, struct lsm_batch *b)
{
    struct quota_table *t = &fs->quotas.table;
    unsigned i;
    int rc = 0;

    for (i = 0; i < t->n && !rc; i++) {
        struct quota_record now = quota_record_of(t->at[i]);
        struct key k;

        if (t->at[i]->over)
            lsm_batch_delete(b, key_quota(&k, t->at[i]->tree));
        else if (!same(&now, &t->at[i]->stored))
            rc = quota_put(b, t->at[i]->tree, &now);
        t->at[i]->stored = now;
    }
    return rc;
}

static void forget(struct quota_table *t, struct quota *q)
{
    unsigned i;

    for (i = 0; i < t->n; i++)
        if (atomic_load(&t->at[i]->outer) == q)
            atomic_store(&t->at[i]->outer, atomic_load(&q->outer));
    i = place_of(t, q->tree);
    t->n--;
    memmove(t->at + i, t->at + i + 1, (t->n - i) * sizeof(*t->at));
    free(q);
}

static void forget_over(struct fs *fs)
{
    struct quota_table *t = &fs->quotas.table;
    bool any = false;
    unsigned i;

    for (i = 0; i < t->n; i++)
        any |= t->at[i]->over;
    if (!any)
        return;
    txn_stop(fs);
    for (i = t->n; i--;)
        if (t->at[i]->over)
            forget(t, t->at[i]);
    txn_go_on(fs);
}

/* Without a quota the store is as it was before the first. */
static int put_super_without(struct fs *fs, struct lsm_batch *b)
{
    struct super super;
    int rc = super_read(fs->db, &super);

    if (rc)
        return rc;
    super.quotas = false;
    lsm_batch_delete(b, key_quotas());
    return super_put(b, &super);
}

static int write_locked(struct fs *fs, bool last)
{
    struct quotas *s = &fs->quotas;
    struct lsm_batch *b = lsm_batch_new();
    bool none;
    unsigned i;
    int rc;

    if (!b)
        return -ENOMEM;
    look_for_over(fs, &none);
    rc = put_changed(fs, b);
    if (!rc && none)
        rc = put_super_without(fs, b);
    else if (!rc && last && atomic_load(&s->exact) && !atomic_load(&fs->usage.lost))
        quota_put_exact(b, true);
    rc = write_batch(fs, b, rc);
    for (i = 0; rc && i < s->table.n; i++)
        s->table.at[i]->stored.state = 0; /* try again */
    if (rc)                               /* no mark says that they are exact, then */
        return rc == -ENOSPC ? 0 : rc;
    s->in_super = !none;
    forget_over(fs);
    return 0;
}

int quota_write(struct fs *fs, bool last)
{
    int rc = 0;

    if (!atomic_load(&fs->quotas.any))
        return 0;
    mutex_lock(&fs->quotas.mu);
    if (fs->quotas.in_super)
        rc = write_locked(fs, last);
    mutex_unlock(&fs->quotas.mu);
    return rc;
}

void quota_dir_gone(struct fs *fs, uint64_t tree)
{
    struct quota *q;

    mutex_lock(&fs->quotas.mu);
    q = quota_find(&fs->quotas.table, tree);
    if (q) {
        atomic_store(&q->limit_bytes, 0);
        atomic_store(&q->limit_inodes, 0);
        atomic_store(&q->state, QUOTA_REMOVED);
    }
    mutex_unlock(&fs->quotas.mu);
}

void quota_close(struct fs *fs)
{
    quota_table_release(&fs->quotas.table);
}
