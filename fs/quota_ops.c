/*
 * quota_ops.c - quotas of directory trees as users see them: set, cleared, asked for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "entry.h"
#include "paths.h"

/* ---- asking ---- */

static struct fs_quota quota_of(struct quota *q)
{
    struct quota_record rec = quota_record_of(q);

    return (struct fs_quota){
        .dir = q->tree,
        .state = rec.state == QUOTA_READY     ? FS_QUOTA_READY
                 : rec.state == QUOTA_FILLING ? FS_QUOTA_COUNTING
                                              : FS_QUOTA_CLEARING,
        .limits = {rec.limit_bytes, rec.limit_inodes},
        .used = {rec.bytes, rec.inodes},
    };
}

/* The innermost tree that inode ino is in, a directory with a quota in its own; 0: none.
 */
static int innermost(struct fs *fs, uint64_t ino, uint64_t *tree)
{
    struct inode *in;
    int rc;

    *tree = 0;
    if (!atomic_load_explicit(&fs->quotas.any, memory_order_relaxed))
        return 0;
    rc = inode_get(fs, ino, &in);
    if (rc)
        return rc;
    rwlock_read(&in->lock);
    if (in->home.parent)
        rc = quota_tree_under(fs, in->home.parent, tree);
    else
        *tree = atomic_load(&in->tree);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    return rc;
}

int fs_quota_get(struct fs *fs, uint64_t ino, struct fs_quota *out)
{
    struct quota *q;
    uint64_t tree;
    int rc = innermost(fs, ino, &tree);

    if (rc)
        return rc;
    mutex_lock(&fs->quotas.mu);
    q = quota_find(&fs->quotas.table, tree);
    while (q && atomic_load(&q->state) == QUOTA_REMOVED)
        q = atomic_load(&q->outer);
    if (q)
        *out = quota_of(q);
    mutex_unlock(&fs->quotas.mu);
    return q ? 0 : -ENODATA;
}

#define RBYTES "user.siltfs.rbytes"
#define RFILES "user.siltfs.rfiles"

bool quota_owns_xattr(const char *name)
{
    return strcmp(name, RBYTES) == 0 || strcmp(name, RFILES) == 0;
}

int quota_getxattr(struct fs *fs, uint64_t ino, const char *name, void *to, size_t size,
                   size_t *len)
{
    char text[32];
    struct fs_quota q;
    int rc = fs_quota_get(fs, ino, &q);

    if (!rc && (q.dir != ino || q.state != FS_QUOTA_READY))
        rc = -ENODATA;
    if (rc)
        return rc;
    *len = (size_t)snprintf(text, sizeof(text), "%" PRIu64,
                            strcmp(name, RBYTES) == 0 ? q.used.bytes : q.used.inodes);
    if (size && *len > size)
        return -ERANGE;
    if (size)
        memcpy(to, text, *len);
    return 0;
}

/* Of limits with so much used of them, does this one have the least left so far? */
static void tighten(uint64_t limit, uint64_t used, uint64_t *tight, uint64_t *tight_used)
{
    uint64_t left = limit > used ? limit - used : 0;

    if (!limit)
        return;
    if (*tight && left >= (*tight > *tight_used ? *tight - *tight_used : 0))
        return;
    *tight = limit;
    *tight_used = used;
}

void quota_tightest(struct fs *fs, uint64_t ino, struct fs_limits *tight,
                    struct fs_limits *used)
{
    struct quota *q;
    uint64_t tree;

    *tight = *used = (struct fs_limits){0, 0};
    if (innermost(fs, ino, &tree) || !tree)
        return;
    mutex_lock(&fs->quotas.mu);
    q = quota_find(&fs->quotas.table, tree);
    for (; q; q = atomic_load(&q->outer)) {
        struct fs_quota one = quota_of(q);

        if (one.state != FS_QUOTA_READY)
            continue;
        tighten(one.limits.bytes, one.used.bytes, &tight->bytes, &used->bytes);
        tighten(one.limits.inodes, one.used.inodes, &tight->inodes, &used->inodes);
    }
    mutex_unlock(&fs->quotas.mu);
}

int fs_quota_list(struct fs *fs, fs_quota_fn *fn, void *arg)
{
    struct quotas *s = &fs->quotas;
    struct paths paths;
    struct buf path = {0};
    unsigned i;
    int rc = 0;

    paths_init(&paths, fs->db);
    mutex_lock(&s->mu);
    for (i = 0; i < s->table.n && !rc; i++) {
        struct fs_quota q = quota_of(s->table.at[i]);

        if (atomic_load(&s->table.at[i]->state) == QUOTA_REMOVED)
            continue;
        buf_clear(&path);
        (void)paths_of(&paths, q.dir, &path); /* a number, if it cannot be told */
        rc = buf_error(&path);
        if (!rc)
            rc = fn(arg, &q, (const char *)path.data);
    }
    mutex_unlock(&s->mu);
    buf_release(&path);
    paths_release(&paths);
    return rc;
}

/* ---- changing ---- */

/* The one who does the work: a thread, or else the caller. */
static void wake(struct fs *fs)
{
    if (!fs->lazy_running) {
        quota_work(fs);
        return;
    }
    mutex_lock(&fs->lazy_mu);
    pthread_cond_signal(&fs->lazy_wake);
    mutex_unlock(&fs->lazy_mu);
}

static int put_super(struct fs *fs, struct lsm_batch *b)
{
    struct super super;
    int rc = super_read(fs->db, &super);

    if (rc)
        return rc;
    super.quotas = true;
    quota_put_exact(b, false);
    return super_put(b, &super);
}

/* Under mu: q as rec says, and with dir (its lock is held, too) that it is its directory.
 */
static int write_quota(struct fs *fs, struct quota *q, const struct quota_record *rec,
                       struct inode *dir)
{
    struct quotas *s = &fs->quotas;
    struct lsm_batch *b = lsm_batch_new();
    struct buf value = {0};
    struct key k;
    int rc;

    if (!b)
        return -ENOMEM;
    rc = quota_put(b, q->tree, rec);
    if (!rc && !s->in_super)
        rc = put_super(fs, b);
    if (dir) {
        record_encode_tree(&value, &dir->rec, dir->ino);
        rc = rc ? rc : buf_error(&value);
        if (!rc)
            lsm_batch_put(b, key_inode(&k, dir->ino), buf_slice(&value));
    }
    if (!rc)
        rc = lsm_write(fs->db, b, LSM_SYNC);
    lsm_batch_free(b);
    buf_release(&value);
    if (rc)
        return rc;
    s->in_super = true;
    q->stored = *rec;
    atomic_store(&q->limit_bytes, rec->limit_bytes);
    atomic_store(&q->limit_inodes, rec->limit_inodes);
    atomic_store(&q->state, rec->state);
    if (dir) {
        struct record written = dir->rec;

        inode_set(dir, &written);
    }
    return 0;
}

static int change_table(struct fs *fs, struct quota *q)
{
    int rc;

    txn_stop(fs);
    rc = quota_table_add(&fs->quotas.table, q);
    txn_go_on(fs);
    return rc;
}

/* A quota that the directory has not got yet; of one that was cleared something may be
 * left. */
static int begin_quota(struct fs *fs, struct inode *dir, struct quota *q,
                       const struct fs_limits *limits)
{
    struct quotas *s = &fs->quotas;
    struct quota *outer = quota_find(&s->table, atomic_load(&dir->tree));
    struct quota_record rec = {.state = QUOTA_REMOVED};
    int rc = 0;

    if (!q) {
        q = quota_new(dir->ino, &rec);
        if (!q)
            return -ENOMEM;
        atomic_store(&s->any, true);
        rc = change_table(fs, q);
        if (rc) {
            free(q);
            return rc;
        }
    }
    atomic_store(&q->outer, quota_lies_in(outer, q) ? NULL : outer);
    rec = quota_record_of(q);
    rec.state = QUOTA_FILLING;
    rec.limit_bytes = limits->bytes;
    rec.limit_inodes = limits->inodes;
    q->walked = false;
    /* If that fails, what was added is forgotten with the next figures written. */
    rc = write_quota(fs, q, &rec, dir);
    if (!rc)
        atomic_store(&dir->tree, dir->ino);
    return rc;
}

/* Under mu. */
static int set_locked(struct fs *fs, struct inode *dir, const struct fs_limits *limits)
{
    struct quota *q = quota_find(&fs->quotas.table, dir->ino);
    struct quota_record rec;

    if (!q || atomic_load(&q->state) == QUOTA_REMOVED)
        return begin_quota(fs, dir, q, limits);
    if (atomic_load(&q->state) == QUOTA_CLEARING)
        return -EBUSY;
    rec = quota_record_of(q);
    rec.limit_bytes = limits->bytes;
    rec.limit_inodes = limits->inodes;
    return write_quota(fs, q, &rec, NULL);
}

static int clear_locked(struct fs *fs, uint64_t ino)
{
    struct quota *q = quota_find(&fs->quotas.table, ino);
    struct quota_record rec;

    if (!q || atomic_load(&q->state) == QUOTA_REMOVED)
        return -ENODATA;
    if (atomic_load(&q->state) == QUOTA_FILLING)
        return -EBUSY;
    rec = quota_record_of(q);
    rec.state = QUOTA_CLEARING;
    rec.limit_bytes = rec.limit_inodes = 0;
    q->walked = false;
    return write_quota(fs, q, &rec, NULL);
}

/* limits NULL: clear. */
static int change(struct fs *fs, uint64_t ino, const struct fs_limits *limits)
{
    struct inode *dir;
    int rc = dir_begin(fs, ino, &dir);

    if (rc)
        return rc;
    mutex_lock(&fs->quotas.mu);
    rc = limits ? set_locked(fs, dir, limits) : clear_locked(fs, ino);
    mutex_unlock(&fs->quotas.mu);
    dir_end(fs, dir);
    if (!rc)
        wake(fs);
    return rc;
}

int fs_quota_set(struct fs *fs, uint64_t ino, const struct fs_limits *limits)
{
    if (limits->bytes > INT64_MAX || limits->inodes > INO_MAX)
        return -EINVAL;
    return change(fs, ino, limits);
}

int fs_quota_clear(struct fs *fs, uint64_t ino)
{
    return change(fs, ino, NULL);
}
