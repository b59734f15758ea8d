/*
 * super.c - a filesystem as a whole: format, mount, unmount,
 * and the counter that numbers inodes and entries.
 *
 * The counter in the store is a ceiling: numbers below it may have been given
 * out. It is raised NUMBERS_STEP at a time, so that making a file does not
 * write it; a crash skips at most so many numbers, of 2^63.
 */
#include "quota.h"
#include "txn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

int fs_corrupt(const char *why, uint64_t a, uint64_t b)
{
    err_log("filesystem damaged: %s (%" PRIu64 ", %" PRIu64 ")", why, a, b);
    return -EUCLEAN;
}

void fs_options_init(struct fs_options *o)
{
    *o = (struct fs_options){.writeback_ms = 5000};
}

/* ---- the superblock ---- */

int super_read(struct lsm *db, struct super *super)
{
    struct lsm_value value = {0};
    int rc = lsm_get(db, NULL, key_super(), &value);

    if (!rc)
        rc = super_decode(value.value, super);
    if (rc == -EUCLEAN)
        fs_corrupt("bad superblock", value.value.len, 0);
    lsm_value_release(&value);
    return rc == -ENOENT ? -ENODATA : rc;
}

int super_put(struct lsm_batch *b, const struct super *super)
{
    struct buf value = {0};
    int rc;

    super_encode(&value, super);
    rc = buf_error(&value);
    if (!rc)
        lsm_batch_put(b, key_super(), buf_slice(&value));
    buf_release(&value);
    return rc;
}

/* ---- format ---- */

/* -EEXIST, -ENOTEMPTY, or 0 when there is nothing. */
static int check_empty(struct lsm *db)
{
    struct lsm_iter_options o = {0};
    struct lsm_iter *it;
    int rc = lsm_exists(db, NULL, key_super());

    if (rc == 0)
        return -EEXIST;
    if (rc != -ENOENT)
        return rc;
    rc = lsm_iter_new(db, &o, &it);
    if (rc)
        return rc;
    lsm_iter_first(it);
    rc = lsm_iter_valid(it) ? -ENOTEMPTY : lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

static struct record root_record(uid_t uid, gid_t gid, mode_t mode)
{
    struct record rec = {0};

    rec.mode = S_IFDIR | (mode & 07777);
    rec.uid = uid;
    rec.gid = gid;
    rec.nlink = 1;
    rec.btime = rec.atime = rec.mtime = rec.ctime = stamp_now();
    rec.dir.parent = FS_ROOT;
    return rec;
}

static void put_counter(struct lsm_batch *b, struct slice key, struct buf *value,
                        uint64_t v)
{
    buf_clear(value);
    put_varint(value, v);
    lsm_batch_put(b, key, buf_slice(value));
}

/* What an empty filesystem consists of. */
static int format_put(struct lsm_batch *b, const struct super *super,
                      const struct record *root)
{
    struct buf value = {0};
    struct key k;
    int rc = 0;

    super_encode(&value, super);
    lsm_batch_put(b, key_super(), buf_slice(&value));
    put_counter(b, key_next(), &value, INO_FIRST);
    put_counter(b, key_count(), &value, 1);
    buf_clear(&value);
    record_encode(&value, root);
    lsm_batch_put(b, key_inode(&k, FS_ROOT), buf_slice(&value));
    if (super->limit_bytes || super->limit_inodes)
        rc = usage_put(b, usage_of(root), 1, true);
    if (!rc)
        rc = buf_error(&value);
    buf_release(&value);
    return rc;
}

int fs_format(struct lsm *db, uid_t uid, gid_t gid, mode_t mode,
              const struct fs_limits *limits)
{
    struct record root = root_record(uid, gid, mode);
    struct super super = {.root = FS_ROOT};
    struct lsm_batch *b;
    int rc = check_empty(db);

    if (rc)
        return rc;
    if (limits && (limits->bytes > INT64_MAX || limits->inodes > INO_MAX))
        return -EINVAL;
    if (limits) {
        super.limit_bytes = limits->bytes;
        super.limit_inodes = limits->inodes;
    }
    if (getrandom(&super.hash_seed, sizeof(super.hash_seed), 0) !=
        (ssize_t)sizeof(super.hash_seed))
        return -EIO;
    b = lsm_batch_new();
    if (!b)
        return -ENOMEM;
    rc = format_put(b, &super, &root);
    if (!rc)
        rc = lsm_write(db, b, LSM_SYNC);
    KILL_POINT("format-written");
    lsm_batch_free(b);
    return rc;
}

/* ---- numbers ---- */

/* Under fs->state: whoever gets a number beyond the ceiling waits until the new one is in
 * the log, before anything that uses it. */
static int raise_ceiling_locked(struct fs *fs)
{
    uint64_t ceiling = fs->ceiling + NUMBERS_STEP;
    uint8_t value[VARINT_MAX];
    int rc;

    if (ceiling > INO_MAX)
        return -ENOSPC;
    rc = lsm_put(fs->db, key_next(), slice_of(value, store_varint(value, ceiling)));
    KILL_POINT("ceiling-raised");
    if (!rc)
        fs->ceiling = ceiling;
    return rc;
}

int fs_new_number(struct fs *fs, uint64_t *ino)
{
    int rc = 0;

    mutex_lock(&fs->state);
    if (fs->next == fs->ceiling)
        rc = raise_ceiling_locked(fs);
    if (!rc)
        *ino = fs->next++;
    mutex_unlock(&fs->state);
    return rc;
}

/* ---- mount ---- */

static int read_counter(struct fs *fs, struct slice key, uint64_t *v)
{
    struct lsm_value value = {0};
    int rc = lsm_get(fs->db, NULL, key, &value);

    if (rc == -ENOENT || (!rc && counter_decode(value.value, v)))
        rc = fs_corrupt("bad counter in the superblock", key.len, 0);
    lsm_value_release(&value);
    return rc;
}

static int read_super(struct fs *fs)
{
    struct super super;
    int rc = super_read(fs->db, &super);

    if (rc)
        return rc;
    fs->inodes.hash_seed = super.hash_seed;
    rc = read_counter(fs, key_next(), &fs->next);
    if (!rc && fs->next < INO_FIRST)
        rc = fs_corrupt("bad counter in the superblock", fs->next, 0);
    if (rc)
        return rc;
    fs->ceiling = fs->next;
    rc = usage_open(fs, &super);
    return rc ? rc : quota_open(fs, &super);
}

static int read_root(struct fs *fs)
{
    int rc = inode_get(fs, FS_ROOT, &fs->root);

    if (rc == -ESTALE || (!rc && !record_is_dir(&fs->root->rec)))
        return fs_corrupt("no root directory", FS_ROOT, 0);
    return rc;
}

static int init_locks(struct fs *fs)
{
    mutex_init(&fs->rename, LOCK_FS_RENAME);
    mutex_init(&fs->state, LOCK_FS_STATE);
    mutex_init(&fs->lazy_mu, LOCK_FS_STATE);
    mutex_init(&fs->deleting, LOCK_FS_DEAD);
    mutex_init(&fs->dead_mu, LOCK_FS_STATE);
    mutex_init(&fs->quotas.mu, LOCK_FS_QUOTA);
    mutex_init(&fs->usage.writing, LOCK_FS_USAGE);
    around_init(&fs->around);
    cond_init(&fs->lazy_wake);
    cond_init(&fs->txn_wake);
    return itable_init(&fs->inodes);
}

struct drain {
    struct fs *fs;
    int rc; /* the first error */
};

/* What the last reference would have done. */
static void drain_one(void *arg, struct inode *in)
{
    struct drain *d = arg;
    int rc = 0;

    if (in->state & (INODE_ATIME | INODE_ORPHAN))
        rc = inode_settle(d->fs, in);
    if (!d->rc)
        d->rc = rc;
}

static int drain(struct fs *fs)
{
    struct drain d = {.fs = fs};

    itable_drain(&fs->inodes, drain_one, &d);
    return d.rc;
}

static void fs_free(struct fs *fs)
{
    usage_close(fs);
    quota_close(fs);
    free(fs->lazy);
    itable_release(&fs->inodes);
    around_release(&fs->around);
    txn_free_all(fs);
    mutex_release(&fs->rename);
    mutex_release(&fs->quotas.mu);
    mutex_release(&fs->usage.writing);
    mutex_release(&fs->state);
    mutex_release(&fs->lazy_mu);
    mutex_release(&fs->dead_mu);
    mutex_release(&fs->deleting);
    pthread_cond_destroy(&fs->lazy_wake);
    pthread_cond_destroy(&fs->txn_wake);
    free(fs);
}

int fs_mount(struct lsm *db, const struct fs_options *o, struct fs **out)
{
    struct fs *fs = aligned_alloc(_Alignof(struct fs), sizeof(*fs));
    int rc;

    if (!fs)
        return -ENOMEM;
    memset(fs, 0, sizeof(*fs));
    fs->db = db;
    fs->options = *o;
    rc = init_locks(fs);
    if (!rc)
        rc = read_super(fs);
    if (!rc)
        rc = read_root(fs);
    if (!rc && !o->read_only)
        rc = orphans_remove(fs);
    if (!rc)
        rc = usage_begin_recount(fs);
    if (!rc)
        rc = lazy_start(fs);
    if (rc) {
        (void)drain(fs); /* rc tells already */
        fs_free(fs);
        return rc;
    }
    *out = fs;
    return 0;
}

/* The exact value: a clean mount skips no numbers. */
static int write_next(struct fs *fs)
{
    uint8_t value[VARINT_MAX];
    int rc;

    if (fs->next == fs->ceiling)
        return 0;
    rc = lsm_put(fs->db, key_next(), slice_of(value, store_varint(value, fs->next)));
    return rc == -ENOSPC ? 0 : rc; /* then it skips some, as a crash does */
}

int fs_unmount(struct fs *fs)
{
    int rc, rc2;

    lazy_stop(fs);
    rc = drain(fs);
    KILL_POINT("unmount-drained");
    if (!fs->options.read_only) {
        rc2 = lazy_write(fs); /* no inode is live: the count */
        if (!rc)
            rc = rc2;
        rc2 = write_next(fs);
        if (!rc)
            rc = rc2;
        rc2 = usage_write(fs, true);
        if (!rc)
            rc = rc2;
        rc2 = quota_write(fs, true);
        if (!rc)
            rc = rc2;
    }
    fs_free(fs);
    return rc;
}

struct lsm *fs_store(struct fs *fs)
{
    return fs->db;
}

/* ---- figures ---- */

void fs_get_stats(struct fs *fs, struct fs_stats *out)
{
    uint64_t inodes = usage_inodes(fs); /* too few, perhaps, since a crash */

    mutex_lock(&fs->dead_mu);
    out->inodes = inodes > fs->n_dead ? inodes - fs->n_dead : 1;
    mutex_unlock(&fs->dead_mu);
    out->live_inodes = itable_count(&fs->inodes);
    out->orphans_removed = fs->orphans_removed;
    out->limits = fs->usage.limits;
    out->used_bytes = usage_bytes(fs);
}
