/*
 * check_quota.c - the quotas of directory trees: do all directories say in which tree
 * they are, and is what is used what the quotas say? (quota.h)
 *
 * A directory with a quota holds its own tree; every other one what the directory holds
 * that it is in. Those a set or a clear has not come to yet say what they said, so while
 * one is unfinished only that is checked that every tree there is has a quota; the next
 * mount goes on with it. Files with keys of their own may lie in the tree of any of their
 * names, and without a name in one that is gone.
 *
 * Figures are compared when the store says that they are exact, as those of limits are.
 */
#include "mend.h"
#include "quota.h"

/* ---- the quotas ---- */

static int bad_quota(void *arg, struct slice key)
{
    return bad_key(arg, key, "a quota");
}

int read_quotas(struct check *c)
{
    return c->quotas ? quota_read_exact(c->db, &c->quotas_exact) : 0;
}

static bool is_unfinished(struct quota *q)
{
    int state = atomic_load(&q->state);

    return state == QUOTA_FILLING || state == QUOTA_CLEARING;
}

static bool any_unfinished(const struct quota_table *t)
{
    unsigned i;

    for (i = 0; i < t->n; i++)
        if (is_unfinished(t->at[i]))
            return true;
    return false;
}

/* ---- in which tree ---- */

static bool has_quota(const struct quota_table *t, uint64_t ino)
{
    struct quota *q = quota_find(t, ino);

    return q && atomic_load(&q->state) != QUOTA_REMOVED;
}

/* What is in this directory: by its quota, else by what its record says; 0 also when it
 * has none. */
static int tree_under(struct check *c, const struct quota_table *t, uint64_t ino,
                      uint64_t *tree)
{
    struct record rec;
    struct key k;
    int rc;

    *tree = ino;
    if (has_quota(t, ino))
        return 0;
    rc = lsm_get(c->db, NULL, key_inode(&k, ino), &c->value);
    if (rc || record_decode_tree(c->value.value, &rec, tree) || !has_quota(t, *tree))
        *tree = 0;
    return rc == -ENOENT ? 0 : rc;
}

/* ... and the directory. */
static int tree_around(struct check *c, const struct quota_table *t, uint64_t ino,
                       uint64_t *tree)
{
    const struct known *k = known_find(&c->inodes, ino);

    *tree = 0;
    return ino == FS_ROOT || !k || !k->parent ? 0 : tree_under(c, t, k->parent, tree);
}

/* Another tree in the record of ino, which has a key of its own. */
static int set_tree(struct check *c, uint64_t ino, uint64_t tree)
{
    struct subject s;
    int rc = subject_load(c, ino, &s);

    if (!rc && s.exists && !s.home) {
        s.tree = tree;
        rc = mend_record(c, &s);
    }
    subject_release(&s);
    return rc;
}

struct label {
    const struct quota_table *table;
    bool unfinished;
};

static int check_label(struct check *c, const struct label *l, struct slice key,
                       struct lsm_iter *it)
{
    uint64_t ino, tree, want;
    struct record rec;
    struct slice value;
    struct text t;
    int rc = lsm_iter_value(it, &value);

    if (rc || !key_parse_one(key, KEY_INODE, &ino) ||
        record_decode_tree(value, &rec, &tree))
        return rc; /* it was told of */
    want = has_quota(l->table, ino) ? ino : tree && quota_find(l->table, tree) ? tree : 0;
    if (record_is_dir(&rec) && !l->unfinished)
        rc = has_quota(l->table, ino) ? 0 : tree_around(c, l->table, ino, &want);
    if (rc || want == tree)
        return rc;
    problem(c, "set right",
            "%s: says that it is of the quota of directory %" PRIu64 ", not %" PRIu64,
            text_inode(c, ino, &t), tree, want);
    return set_tree(c, ino, want);
}

static int check_labels(struct check *c, const struct label *l)
{
    uint8_t first = KEY_INODE, after = KEY_INODE + 1;
    struct slice lower = slice_of(&first, 1), upper = slice_of(&after, 1);
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_iter *it;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    for (lsm_iter_first(it); !rc && lsm_iter_valid(it); lsm_iter_next(it))
        rc = check_label(c, l, lsm_iter_key(it), it);
    if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

/* ---- the quotas against their directories ---- */

static int check_place(struct check *c, const struct quota_table *t, struct quota *q)
{
    const struct known *k = known_find(&c->inodes, q->tree);
    struct quota *outer = atomic_load(&q->outer), *want;
    uint64_t tree = 0;
    struct text text;
    int rc = 0;

    if (atomic_load(&q->state) == QUOTA_REMOVED)
        return 0;
    if (!known_is_dir(k)) {
        if (c->quotas_exact) /* else a crash may have left it */
            problem(c, "dropped",
                    "there is a quota of directory %" PRIu64 ", which is none", q->tree);
        atomic_store(&q->state, QUOTA_REMOVED);
        return mend_quota(c, q); /* once all is exact it would be a problem */
    }
    if (is_unfinished(q) || any_unfinished(t))
        return 0;
    rc = tree_around(c, t, q->tree, &tree);
    want = tree ? quota_find(t, tree) : NULL;
    if (rc || (want == outer && q->stored.outer == tree))
        return rc;
    problem(c, "set right",
            "the quota of %s: says that it lies in that of directory %" PRIu64
            ", not %" PRIu64,
            text_inode(c, q->tree, &text), q->stored.outer, tree);
    atomic_store(&q->outer, want == q ? NULL : want);
    return mend_quota(c, q);
}

/* ---- the figures ---- */

static int check_figures(struct check *c, struct quota *q, bool told)
{
    uint64_t bytes = q->sum_bytes <= INO_MAX ? q->sum_bytes : INO_MAX;
    uint64_t inodes = q->sum_inodes > 0 ? (uint64_t)q->sum_inodes : 0;
    struct text t;

    if (is_unfinished(q) || (q->stored.bytes == bytes && q->stored.inodes == inodes))
        return 0;
    if (told)
        problem(c, "set right",
                "the quota of %s: says %" PRIu64 " bytes and %" PRIu64
                " inodes, which should be exact, not %" PRIu64 " and %" PRIu64,
                text_inode(c, q->tree, &t), q->stored.bytes, q->stored.inodes, bytes,
                inodes);
    atomic_store(&q->bytes, (int64_t)bytes);
    atomic_store(&q->inodes, (int64_t)inodes);
    return mend_quota(c, q);
}

/* Of a damaged tree it is not known what is in use. */
static int check_all_figures(struct check *c, struct quota_table *t)
{
    bool exact = c->quotas_exact;
    unsigned i;
    int rc;

    if (c->problems != c->before)
        return 0;
    rc = quota_count(NULL, c->db, NULL, t);
    for (i = 0; i < t->n && !rc; i++)
        rc = check_figures(c, t->at[i], exact);
    return rc || (exact && c->problems == c->before) ? rc : mend_quotas_exact(c);
}

/* ---- the whole ---- */

static int visit_stray(struct check *c, struct slice key, struct lsm_iter *it)
{
    return bad_key(c, key, "a quota, of which the superblock does not know");
}

int check_quotas(struct check *c)
{
    struct quota_table t = {0};
    struct label l = {.table = &t};
    bool doubt;
    unsigned i;
    int rc;

    if (!c->quotas)
        rc = visit_letter(c, KEY_QUOTA, visit_stray);
    else
        rc = quota_load(c->db, &t, &doubt, bad_quota, c);
    l.unfinished = any_unfinished(&t);
    if (!rc && (c->quotas || c->labelled))
        rc = check_labels(c, &l);
    for (i = 0; i < t.n && !rc; i++)
        rc = check_place(c, &t, t.at[i]);
    if (!rc && c->quotas)
        rc = check_all_figures(c, &t);
    quota_table_release(&t);
    return rc;
}
