/*
 * inode.c - from an inode's number to its live inode, and its record back to
 * the store.
 */
#include <sys/sysmacros.h>

#include "extent.h"
#include "txn.h"

/* ---- times ---- */

struct stamp stamp_of(struct timespec t)
{
    return (struct stamp){t.tv_sec, (uint32_t)t.tv_nsec};
}

struct stamp stamp_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return stamp_of(t);
}

static struct timespec timespec_of(struct stamp s)
{
    return (struct timespec){.tv_sec = s.sec, .tv_nsec = s.nsec};
}

/* ---- getting and putting ---- */

static int load(struct fs *fs, uint64_t ino, struct record *rec, uint64_t *tree,
                struct lsm_value *value)
{
    struct key k;
    int rc = lsm_get(fs->db, NULL, key_inode(&k, ino), value);

    if (rc == -ENOENT)
        return -ESTALE;
    if (rc)
        return rc;
    if (record_decode_tree(value->value, rec, tree))
        return fs_corrupt("bad inode record", ino, 0);
    /* An orphan of the last mount, in a store that may not be written. */
    return rec->nlink ? 0 : -ESTALE;
}

int inode_get(struct fs *fs, uint64_t ino, struct inode **out)
{
    struct lsm_value value = {0};
    struct record rec;
    uint64_t tree;
    struct inode *in;
    int rc = 0;

    *out = itable_find(&fs->inodes, ino);
    while (!*out && !rc) {
        uint64_t sample = itable_sample(&fs->inodes, ino);

        rc = load(fs, ino, &rec, &tree, &value);
        if (rc)
            break;
        in = inode_new(ino, &rec, 0, 0, NULL);
        if (!in) {
            rc = -ENOMEM;
            break;
        }
        atomic_store(&in->tree, tree);
        *out = itable_insert(&fs->inodes, in, sample);
    }
    lsm_value_release(&value);
    return rc;
}

int inode_begin(struct fs *fs, uint64_t ino, struct inode **out)
{
    int rc = fs->options.read_only ? -EROFS : inode_get(fs, ino, out);

    if (!rc)
        rwlock_write(&(*out)->lock);
    return rc;
}

void inode_end(struct fs *fs, struct inode *in)
{
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
}

int inode_settle(struct fs *fs, struct inode *in)
{
    int rc = 0;

    rwlock_write_nested(&in->lock); /* perhaps below its directory's */
    /* number_lookup may have found it just now. */
    if ((in->state & INODE_ORPHAN) && !itable_referenced(&fs->inodes, in))
        rc = orphan_retire(fs, in);
    if (!rc)
        rc = inode_write_atime(fs, in);
    in->state &= ~(unsigned)INODE_ATIME;
    rwlock_unlock(&in->lock);
    return rc;
}

void inode_put(struct fs *fs, struct inode *in)
{
    int rc;

    if (!in)
        return;
    while (!itable_put(&fs->inodes, in)) {
        rc = inode_settle(fs, in);
        if (rc)
            err_log("inode %llu: cannot be tidied up: %s", (unsigned long long)in->ino,
                    strerror(-rc));
    }
}

void fs_forget(struct fs *fs, uint64_t ino, uint64_t lookups)
{
    struct inode *in = itable_find(&fs->inodes, ino);

    if (!in)
        return;
    itable_take_lookups(&fs->inodes, in, lookups);
    inode_put(fs, in);
}

/* ---- writing ---- */

void inode_set(struct inode *in, const struct record *rec)
{
    if (rec->mode != in->rec.mode)
        in->state |= INODE_MODE;
    in->rec = *rec;
    atomic_store_explicit(&in->kin, kin_of(rec), memory_order_relaxed);
    in->state &= ~(unsigned)INODE_ATIME;
    in->state |= INODE_CHANGED;
}

int inode_write(struct fs *fs, struct inode *in, const struct record *rec)
{
    struct record copy = *rec; /* rec may be in->rec */
    struct txn *t;
    int rc;

    if (!(in->state & INODE_GONE)) {
        t = txn_begin(fs);
        if (!t)
            return -ENOMEM;
        txn_put_inode(t, in, &copy);
        rc = txn_end(fs, t, 0);
        if (rc)
            return rc;
    }
    inode_set(in, &copy);
    return 0;
}

int inode_write_atime(struct fs *fs, struct inode *in)
{
    int rc = in->state & INODE_ATIME ? inode_write(fs, in, &in->rec) : 0;

    return rc == -ENOSPC ? 0 : rc;
}

/* ---- attributes ---- */

static dev_t device_of(const struct record *rec)
{
    if (!S_ISCHR(rec->mode) && !S_ISBLK(rec->mode))
        return 0;
    return makedev((unsigned)(rec->rdev >> 32), (unsigned)rec->rdev);
}

void attr_fill(struct fs_attr *out, uint64_t ino, const struct record *rec)
{
    struct stat *st = &out->st;

    memset(out, 0, sizeof(*out));
    st->st_ino = ino;
    st->st_mode = rec->mode;
    st->st_uid = rec->uid;
    st->st_gid = rec->gid;
    st->st_nlink = rec->nlink;
    st->st_rdev = device_of(rec);
    st->st_blksize = FS_BLOCK;
    st->st_atim = timespec_of(rec->atime);
    st->st_mtim = timespec_of(rec->mtime);
    st->st_ctim = timespec_of(rec->ctime);
    out->btime = timespec_of(rec->btime);
    if (record_is_file(rec)) {
        st->st_size = (off_t)rec->file.size;
        st->st_blocks = (blkcnt_t)((rec->file.bytes + rec->file.unwritten + 511) / 512);
    } else if (record_is_dir(rec)) {
        st->st_nlink = rec->nlink ? 2 + (nlink_t)rec->dir.subdirs : 0;
        st->st_size = (off_t)rec->dir.entries;
    } else if (S_ISLNK(rec->mode)) {
        st->st_size = (off_t)rec->target.len;
    }
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void inode_lost_name(struct fs *fs, const struct inode *in)
{
    atomic_store_explicit(&fs->lost_name[in->ino % LOST_NAMES], now_ms(),
                          memory_order_relaxed);
}

void inode_attr_locked(struct fs *fs, const struct inode *in, struct fs_attr *out)
{
    int64_t lost;

    attr_fill(out, in->ino, &in->rec);
    /* An embedded inode never had two names. */
    if (in->home.parent || record_is_dir(&in->rec) || !in->rec.nlink ||
        (in->state & INODE_MODE))
        return;
    lost =
        atomic_load_explicit(&fs->lost_name[in->ino % LOST_NAMES], memory_order_relaxed);
    out->lost_name = lost && now_ms() - lost <= LOST_NAME_MS;
}

void inode_attr(struct fs *fs, struct inode *in, struct fs_attr *out)
{
    rwlock_read(&in->lock);
    inode_attr_locked(fs, in, out);
    rwlock_unlock(&in->lock);
}

/* ---- whose bits ---- */

bool cred_in_group(const struct fs_cred *c, gid_t gid)
{
    return !c || c->uid == 0 || c->gid == gid || (c->in_group && c->in_group(c, gid));
}

uint32_t mode_without_suid(uint32_t mode, uint32_t gid, const struct fs_cred *c)
{
    mode &= ~(uint32_t)S_ISUID;
    /* sgid without group execution is not a privilege to members of the group. */
    if ((mode & S_IXGRP) || !cred_in_group(c, gid))
        mode &= ~(uint32_t)S_ISGID;
    return mode;
}
