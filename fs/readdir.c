/*
 * readdir.c - listing a directory: one scan of its entries in the order of
 * their seqs, which is the order of creation and lasts.
 *
 * The cookie of an entry is its seq (1 and 2 are "." and ".."; seqs begin at
 * INO_FIRST), so no state is kept between calls. The directory's lock is held
 * shared, so names and numbers agree with the iterator's moment; an embedded
 * inode may be newer in memory than there, so a live inode speaks for itself.
 */
#include "entry.h"

enum {
    COOKIE_DOT = 1,
    COOKIE_DOTDOT = 2,
};

struct scan {
    struct fs *fs;
    struct inode *dir;
    bool plus;
    fs_dirent_fn *fn;
    void *arg;
    struct lsm_iter *it;
    uint64_t sample; /* of dir, from before the iterator was made */
    struct lsm_value value;
    uint64_t seq; /* the current entry */
    struct dentry d;
    char name[FS_NAME_MAX + 1];
};

/* ---- one entry ---- */

/*
 * *in is the entry's inode, pinned, with plus; else NULL. What the iterator shows of an
 * embedded inode may be older than the store by now, and the kernel will keep what it
 * is told: so the inode is made live first and asked then.
 */
static int entry_attr(struct scan *s, struct fs_attr *attr, struct inode **in)
{
    int rc;

    *in = NULL;
    if (!s->plus) {
        memset(attr, 0, sizeof(*attr));
        attr->st.st_ino = s->d.ino;
        attr->st.st_mode = s->d.type;
        return 0;
    }
    rc = entry_load(s->fs, s->dir->ino, s->seq, &s->d, s->sample, &s->value, in);
    if (rc)
        return rc;
    inode_read_nested(*in);
    inode_attr_locked(s->fs, *in, attr);
    rwlock_unlock(&(*in)->lock);
    return 0;
}

/* Give the current entry to the sink; *more is whether it wants another. */
static int emit(struct scan *s, bool *more)
{
    struct fs_attr attr;
    struct inode *in;
    enum fs_taken taken;
    int rc;

    *more = false;
    /* Before the attributes, which may read the entry anew. */
    memcpy(s->name, s->d.name.data, s->d.name.len);
    s->name[s->d.name.len] = 0;
    rc = entry_attr(s, &attr, &in);
    if (rc)
        return rc;
    taken = s->fn(s->arg, s->name, &attr, s->seq);
    *more = taken != FS_FULL;
    if (taken == FS_TAKEN_LOOKUP && in)
        itable_keep_lookup(&s->fs->inodes, in);
    else
        inode_put(s->fs, in);
    return 0;
}

/* ---- the scan ---- */

static int load(struct scan *s)
{
    struct slice value;
    uint64_t dir;
    int rc = lsm_iter_value(s->it, &value);

    if (rc)
        return rc;
    if (!key_parse_two(lsm_iter_key(s->it), KEY_DENTRY, &dir, &s->seq) ||
        s->seq < INO_FIRST || s->seq > INO_MAX || dentry_decode_name(value, &s->d) ||
        s->d.ino == dir)
        return fs_corrupt("bad directory entry", s->dir->ino, s->seq);
    return 0;
}

static int scan_entries(struct scan *s, uint64_t cookie)
{
    struct lsm_iter_options o = {0};
    struct key from_key, to_key;
    struct slice from, to;
    bool more = true;
    int rc;

    from = key_dentry(&from_key, s->dir->ino, cookie + 1);
    to = key_dentry(&to_key, s->dir->ino + 1, 0);
    o.lower = &from;
    o.upper = &to;
    s->sample = itable_sample(&s->fs->inodes, s->dir->ino);
    rc = lsm_iter_new(s->fs->db, &o, &s->it);
    if (rc)
        return rc;
    for (lsm_iter_first(s->it); lsm_iter_valid(s->it) && more; lsm_iter_next(s->it)) {
        rc = load(s);
        if (!rc)
            rc = emit(s, &more);
        if (rc)
            break;
    }
    if (!rc)
        rc = lsm_iter_error(s->it);
    lsm_iter_free(s->it);
    lsm_value_release(&s->value);
    return rc;
}

/* ---- "." and ".." ---- */

/* Before the directory is locked: its parent comes before it in the order of locks. */
static int dots_attr(struct fs *fs, struct inode *dir, struct fs_attr attr[2])
{
    struct inode *parent;
    uint64_t ino;
    int rc;

    rwlock_read(&dir->lock);
    rc = dir_check(dir);
    ino = rc ? 0 : dir->rec.dir.parent;
    attr_fill(&attr[0], dir->ino, &dir->rec);
    rwlock_unlock(&dir->lock);
    if (!rc)
        rc = inode_get(fs, ino, &parent);
    if (rc)
        return rc;
    inode_attr(fs, parent, &attr[1]);
    inode_put(fs, parent);
    return 0;
}

static bool emit_dots(struct fs_attr attr[2], uint64_t *cookie, fs_dirent_fn *fn,
                      void *arg)
{
    if (*cookie < COOKIE_DOT && fn(arg, ".", &attr[0], COOKIE_DOT) == FS_FULL)
        return false;
    if (*cookie < COOKIE_DOTDOT && fn(arg, "..", &attr[1], COOKIE_DOTDOT) == FS_FULL)
        return false;
    *cookie = COOKIE_DOTDOT;
    return true;
}

int fs_readdir(struct fs *fs, uint64_t ino, uint64_t cookie, bool plus, fs_dirent_fn *fn,
               void *arg)
{
    struct scan s = {.fs = fs, .plus = plus, .fn = fn, .arg = arg};
    struct fs_attr dots[2];
    struct stamp now = {0};
    bool touch = false;
    int rc;

    if (cookie > INO_MAX)
        return -EINVAL;
    rc = inode_get(fs, ino, &s.dir);
    if (rc)
        return rc;
    if (cookie < COOKIE_DOTDOT) {
        rc = dots_attr(fs, s.dir, dots);
        if (rc || !emit_dots(dots, &cookie, fn, arg))
            goto out;
    }
    rwlock_read(&s.dir->lock);
    rc = dir_check(s.dir);
    if (!rc) {
        rc = scan_entries(&s, cookie);
        now = stamp_now();
        touch = !rc && atime_wanted(fs, s.dir, now);
    }
    rwlock_unlock(&s.dir->lock);
    if (touch)
        inode_accessed(fs, s.dir, now);
out:
    inode_put(fs, s.dir);
    return rc;
}
