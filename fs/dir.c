/*
 * dir.c - names of what is there: lookup, link, unlink, rmdir. What makes inodes is in
 * make.c.
 */
#include "entry.h"
#include "xattr.h"

/* ---- lookup: each adds one to *out's lookups ---- */

static int lookup_parent(struct fs *fs, struct inode *dir, struct inode **out)
{
    uint64_t parent;
    int rc;

    rwlock_read(&dir->lock);
    rc = record_is_dir(&dir->rec) ? 0 : -ENOTDIR;
    parent = rc ? 0 : dir->rec.dir.parent;
    rwlock_unlock(&dir->lock);
    return rc ? rc : number_lookup(fs, parent, out);
}

static int lookup_entry(struct fs *fs, struct inode *dir, const char *name,
                        struct inode **out)
{
    struct entry e;
    int rc;

    rwlock_read(&dir->lock);
    rc = dir_check(dir);
    if (!rc) {
        rc = entry_find(fs, dir, name, &e);
        if (!rc)
            rc = e.found ? entry_inode(fs, &e, out) : -ENOENT;
        entry_release(fs, &e);
    }
    /* Under the lock: who unlinks it next decides by this whether it lives on. */
    if (!rc)
        itable_add_lookup(&fs->inodes, *out);
    rwlock_unlock(&dir->lock);
    return rc;
}

static int lookup_in(struct fs *fs, uint64_t parent, const char *name, struct inode **out)
{
    struct inode *dir;
    int rc = inode_get(fs, parent, &dir);

    if (rc)
        return rc;
    if (strcmp(name, "..") == 0)
        rc = lookup_parent(fs, dir, out);
    else
        rc = lookup_entry(fs, dir, name, out);
    inode_put(fs, dir);
    return rc;
}

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fs_attr *out)
{
    struct inode *in = NULL;
    int rc = name_check(slice_str(name));

    if (rc && rc != -EEXIST)
        return rc;
    if (strcmp(name, ".") == 0)
        rc = number_lookup(fs, parent, &in);
    else
        rc = lookup_in(fs, parent, name, &in);
    if (!rc) {
        inode_attr(fs, in, out);
        inode_put(fs, in);
    }
    return rc;
}

/* ---- link ---- */

static int link_allowed(const struct inode *in)
{
    if (!in->rec.nlink)
        return in->state & INODE_LINKABLE ? 0 : -ENOENT;
    return in->rec.nlink >= FS_LINK_MAX ? -EMLINK : 0;
}

/* An embedded inode moves to a key of its own: two entries will refer to it. */
static void link_promote(struct fs *fs, struct inode *in, uint64_t tree)
{
    uint64_t was = in->home.parent;

    if (!was)
        return;
    itable_move(&fs->inodes, in, 0, 0, NULL, NULL);
    atomic_store(&in->tree, tree);
    itable_note(&fs->inodes, was);
}

/* Needs both locks. */
static int link_locked(struct fs *fs, struct inode *in, struct inode *dir,
                       struct entry *e)
{
    static const struct home own_key = {0};
    uint32_t type = in->rec.mode & S_IFMT;
    struct record rec = in->rec, dir_rec = dir->rec;
    struct stamp now = stamp_now();
    struct txn *t;
    uint64_t seq, tree;
    int rc = fs_new_number(fs, &seq);

    if (!rc)
        rc = seqs_add(&e->seqs, seq);
    if (rc)
        return rc;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    txn_of(fs, t, in);
    tree = t->trees ? t->tree : 0;
    if (tree != atomic_load(&dir->tree))
        rc = -EXDEV;
    rec.nlink++;
    rec.ctime = now;
    dir_changed(&dir_rec, now, 1, 0);
    txn_put_inode(t, dir, &dir_rec);
    entry_put_seqs(fs, t, dir, e->hash, &e->seqs);
    txn_put_ref(t, dir->ino, seq, e->name, in->ino, type);
    if (in->home.parent)
        txn_put_ref(t, in->home.parent, in->home.seq, in->home.name, in->ino, type);
    txn_put_record(t, in, &own_key, &rec);
    if (in->state & INODE_ORPHAN)
        txn_delete_orphan(t, in->ino);
    rc = txn_end(fs, t, rc);
    if (rc)
        return rc;
    in->state &= ~(unsigned)(INODE_ORPHAN | INODE_LINKABLE);
    link_promote(fs, in, tree);
    inode_set(in, &rec);
    inode_set(dir, &dir_rec);
    return 0;
}

static int link_in(struct fs *fs, struct inode *in, uint64_t parent, const char *name)
{
    struct inode *dir;
    struct entry e;
    int rc;

    if (in->ino == parent)
        return -ENOTDIR; /* and would be locked twice */
    rc = dir_begin(fs, parent, &dir);
    if (rc)
        return rc;
    rc = entry_find(fs, dir, name, &e);
    if (!rc && e.found)
        rc = -EEXIST;
    if (!rc) {
        rwlock_write_nested(&in->lock);
        rc = link_allowed(in);
        if (!rc)
            rc = link_locked(fs, in, dir, &e);
        rwlock_unlock(&in->lock);
    }
    entry_release(fs, &e);
    dir_end(fs, dir);
    return rc;
}

int fs_link(struct fs *fs, uint64_t ino, uint64_t parent, const char *name,
            struct fs_attr *out)
{
    struct inode *in;
    bool is_dir;
    int rc = name_check(slice_str(name));

    if (rc)
        return rc;
    rc = inode_get(fs, ino, &in);
    if (rc)
        return rc;
    /* Refused before `parent` is locked, which may be its descendant. */
    rwlock_read(&in->lock);
    is_dir = record_is_dir(&in->rec);
    rwlock_unlock(&in->lock);
    rc = is_dir ? -EPERM : link_in(fs, in, parent, name);
    if (!rc) {
        itable_add_lookup(&fs->inodes, in);
        inode_attr(fs, in, out);
    }
    inode_put(fs, in);
    return rc;
}

/* ---- unlink, rmdir ---- */

static int remove_locked(struct fs *fs, struct inode *dir, struct entry *e,
                         struct inode *in)
{
    struct record rec, dir_rec = dir->rec;
    struct stamp now = stamp_now();
    struct txn *t = txn_begin(fs);
    enum fate fate = FATE_LINKED;
    int rc;

    if (!t)
        return -ENOMEM;
    seqs_remove(&e->seqs, e->seq);
    dir_changed(&dir_rec, now, -1, record_is_dir(&in->rec) ? -1 : 0);
    txn_put_inode(t, dir, &dir_rec);
    entry_put_seqs(fs, t, dir, e->hash, &e->seqs);
    txn_delete_dentry(t, dir->ino, e->seq);
    rc = unlink_inode(fs, t, in, now, &rec, &fate);
    rc = txn_end(fs, t, rc);
    if (rc)
        return rc;
    unlink_done(fs, in, &rec, fate);
    inode_set(dir, &dir_rec);
    return 0;
}

static int remove_check(const struct inode *in, bool want_dir)
{
    bool is_dir = record_is_dir(&in->rec);

    if (!in->rec.nlink)
        return fs_corrupt("an entry leads to an inode without links", in->ino, 0);
    if (is_dir && !want_dir)
        return -EISDIR;
    if (!is_dir && want_dir)
        return -ENOTDIR;
    return is_dir && in->rec.dir.entries ? -ENOTEMPTY : 0;
}

static int remove_entry(struct fs *fs, uint64_t parent, const char *name, bool want_dir)
{
    struct inode *dir, *in = NULL;
    struct entry e;
    int rc;

    rc = dir_begin(fs, parent, &dir);
    if (rc)
        return rc;
    rc = entry_find(fs, dir, name, &e);
    if (!rc)
        rc = e.found ? entry_seqs(fs, &e) : -ENOENT;
    if (!rc)
        rc = entry_inode(fs, &e, &in);
    if (!rc) {
        rwlock_write_nested(&in->lock);
        rc = remove_check(in, want_dir);
        if (!rc)
            rc = remove_locked(fs, dir, &e, in);
        rwlock_unlock(&in->lock);
    }
    entry_release(fs, &e);
    dir_end(fs, dir);
    inode_put(fs, in);
    return rc;
}

int fs_unlink(struct fs *fs, uint64_t parent, const char *name)
{
    int rc = name_check(slice_str(name));

    if (rc)
        return rc == -EEXIST ? -EISDIR : rc;
    return remove_entry(fs, parent, name, false);
}

int fs_rmdir(struct fs *fs, uint64_t parent, const char *name)
{
    int rc = name_check(slice_str(name));

    if (rc == -EEXIST)
        return strcmp(name, ".") == 0 ? -EINVAL : -ENOTEMPTY;
    return rc ? rc : remove_entry(fs, parent, name, true);
}
