/*
 * dir.c - making and removing names: lookup, mknod and its kin, link, unlink,
 * rmdir.
 */
#include "entry.h"
#include "xattr.h"

#include <sys/sysmacros.h>

/* ---- lookup: each adds one to *out's lookups ---- */

static int lookup_number(struct fs *fs, uint64_t ino, struct inode **out)
{
    int rc = inode_get(fs, ino, out);

    if (!rc)
        itable_add_lookup(&fs->inodes, *out);
    return rc;
}

static int lookup_parent(struct fs *fs, struct inode *dir, struct inode **out)
{
    uint64_t parent;
    int rc;

    rwlock_read(&dir->lock);
    rc = record_is_dir(&dir->rec) ? 0 : -ENOTDIR;
    parent = rc ? 0 : dir->rec.dir.parent;
    rwlock_unlock(&dir->lock);
    return rc ? rc : lookup_number(fs, parent, out);
}

static int lookup_self(struct fs *fs, struct inode *dir, struct inode **out)
{
    int rc;

    rwlock_read(&dir->lock);
    rc = record_is_dir(&dir->rec) ? 0 : -ENOTDIR;
    rwlock_unlock(&dir->lock);
    return rc ? rc : lookup_number(fs, dir->ino, out);
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
        entry_release(&e);
    }
    /* Under the lock: who unlinks it next decides by this whether it lives on. */
    if (!rc)
        itable_add_lookup(&fs->inodes, *out);
    rwlock_unlock(&dir->lock);
    return rc;
}

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fs_attr *out)
{
    struct inode *dir, *in = NULL;
    int rc = name_check(slice_str(name));

    if (rc && rc != -EEXIST)
        return rc;
    rc = inode_get(fs, parent, &dir);
    if (rc)
        return rc;
    if (strcmp(name, ".") == 0)
        rc = lookup_self(fs, dir, &in);
    else if (strcmp(name, "..") == 0)
        rc = lookup_parent(fs, dir, &in);
    else
        rc = lookup_entry(fs, dir, name, &in);
    if (!rc) {
        inode_attr(in, out);
        inode_put(fs, in);
    }
    inode_put(fs, dir);
    return rc;
}

/* ---- making an inode ---- */

/* What is to be made. */
struct make {
    const struct fs_cred *cred;
    const char *name;
    mode_t mode; /* with the type; as asked for, before the umask */
    dev_t rdev;
    const char *target;
    bool open;
};

static struct record make_record(const struct make *m, const struct inode *dir,
                                 struct stamp now)
{
    struct record rec = {0};
    bool sgid = dir->rec.mode & S_ISGID;

    rec.mode = m->mode;
    rec.uid = m->cred->uid;
    rec.gid = sgid ? dir->rec.gid : m->cred->gid;
    rec.nlink = 1;
    rec.btime = rec.atime = rec.mtime = rec.ctime = now;
    if (S_ISDIR(m->mode)) {
        rec.dir.parent = dir->ino;
        if (sgid)
            rec.mode |= S_ISGID;
    } else if (S_ISLNK(m->mode)) {
        rec.target = slice_str(m->target);
    } else if (S_ISCHR(m->mode) || S_ISBLK(m->mode)) {
        rec.rdev = (uint64_t)major(m->rdev) << 32 | minor(m->rdev);
    }
    /* Nobody gets the privileges of a group that he is not in. */
    if (!S_ISDIR(m->mode) && (rec.mode & S_ISGID) && (rec.mode & S_IXGRP) &&
        !cred_in_group(m->cred, rec.gid))
        rec.mode &= ~(uint32_t)S_ISGID;
    return rec;
}

/* Write the new inode under its name; the directory's new record goes with it. */
static int make_write(struct fs *fs, const struct make *m, struct inode *dir,
                      struct entry *e, struct inode *in,
                      const struct inherited *inherited)
{
    bool is_dir = S_ISDIR(m->mode);
    struct record dir_rec = dir->rec;
    struct txn *t;
    int rc = seqs_add(&e->seqs, in->ino);

    if (rc)
        return rc;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    dir_changed(&dir_rec, in->rec.btime, 1, is_dir);
    txn_put_inode(t, dir, &dir_rec);
    txn_put_seqs(t, dir->ino, e->hash, &e->seqs);
    txn_put_new(t, in->ino, &in->home, &in->rec);
    xattr_put_inherited(t, in->ino, inherited);
    if (is_dir)
        txn_put_ref(t, dir->ino, in->ino, m->name, in->ino, S_IFDIR);
    rc = txn_end(fs, t, 0);
    if (!rc)
        inode_set(dir, &dir_rec);
    return rc;
}

static int make_inode(struct fs *fs, const struct make *m, struct inode *dir,
                      struct entry *e, struct inode **out)
{
    struct slice name = slice_str(m->name);
    struct record rec = make_record(m, dir, stamp_now());
    struct inherited inherited;
    struct inode *in = NULL;
    uint64_t ino;
    int rc;

    if (S_ISDIR(m->mode) && dir->rec.dir.subdirs >= FS_LINK_MAX - 2)
        return -EMLINK;
    rc = xattr_inherit(fs, dir, m->cred->umask, &rec, &inherited);
    if (!rc)
        rc = fs_new_number(fs, &ino);
    if (!rc) {
        in = inode_new(ino, &rec, dir->ino, ino, S_ISDIR(m->mode) ? NULL : &name);
        rc = in ? make_write(fs, m, dir, e, in, &inherited) : -ENOMEM;
    }
    inherited_release(&inherited);
    if (rc) {
        inode_free(in);
        return rc;
    }
    in->nlookup = 1;
    in->nopen = m->open;
    /* Before the directory's lock goes: until then nobody can have found it. */
    itable_add(&fs->inodes, in);
    *out = in;
    return 0;
}

static int make(struct fs *fs, const struct make *m, uint64_t parent, struct fs_attr *out)
{
    struct inode *dir, *in = NULL;
    struct entry e;
    int rc = name_check(slice_str(m->name));

    if (rc)
        return rc;
    rc = dir_begin(fs, parent, &dir);
    if (rc)
        return rc;
    rc = entry_find(fs, dir, m->name, &e);
    if (!rc)
        rc = e.found ? -EEXIST : make_inode(fs, m, dir, &e, &in);
    entry_release(&e);
    dir_end(fs, dir);
    if (rc)
        return rc;
    inode_attr(in, out);
    inode_put(fs, in);
    return 0;
}

static int make_node(struct fs *fs, const struct fs_cred *c, uint64_t parent,
                     const char *name, mode_t mode, dev_t rdev, bool open,
                     struct fs_attr *out)
{
    struct make m = {.cred = c, .name = name, .rdev = rdev, .open = open};

    if (!(mode & S_IFMT))
        mode |= S_IFREG;
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    m.mode = mode & (S_IFMT | 07777);
    return make(fs, &m, parent, out);
}

int fs_mknod(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
             mode_t mode, dev_t rdev, struct fs_attr *out)
{
    return make_node(fs, c, parent, name, mode, rdev, false, out);
}

int fs_create(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
              mode_t mode, struct fs_attr *out)
{
    return make_node(fs, c, parent, name, S_IFREG | (mode & 07777), 0, true, out);
}

int fs_mkdir(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
             mode_t mode, struct fs_attr *out)
{
    struct make m = {.cred = c, .name = name};

    m.mode = S_IFDIR | (mode & 01777);
    return make(fs, &m, parent, out);
}

int fs_symlink(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
               const char *target, struct fs_attr *out)
{
    struct make m = {.cred = c, .name = name, .target = target, .mode = S_IFLNK | 0777};

    if (!*target)
        return -ENOENT;
    if (strlen(target) > FS_SYMLINK_MAX)
        return -ENAMETOOLONG;
    return make(fs, &m, parent, out);
}

/* ---- link ---- */

static int link_allowed(const struct inode *in)
{
    if (!in->rec.nlink)
        return -ENOENT;
    return in->rec.nlink >= FS_LINK_MAX ? -EMLINK : 0;
}

/* An embedded inode moves to a key of its own: two entries will refer to it. */
static void link_promote(struct fs *fs, struct inode *in)
{
    uint64_t was = in->home.parent;

    if (!was)
        return;
    inode_move(in, 0, 0, NULL);
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
    uint64_t seq;
    int rc = fs_new_number(fs, &seq);

    if (!rc)
        rc = seqs_add(&e->seqs, seq);
    if (rc)
        return rc;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    rec.nlink++;
    rec.ctime = now;
    dir_changed(&dir_rec, now, 1, 0);
    txn_put_inode(t, dir, &dir_rec);
    txn_put_seqs(t, dir->ino, e->hash, &e->seqs);
    txn_put_ref(t, dir->ino, seq, e->name, in->ino, type);
    if (in->home.parent)
        txn_put_ref(t, in->home.parent, in->home.seq, in->home.name, in->ino, type);
    txn_put_record(t, in, &own_key, &rec);
    rc = txn_end(fs, t, 0);
    if (rc)
        return rc;
    link_promote(fs, in);
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
    entry_release(&e);
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
        inode_attr(in, out);
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
    txn_put_seqs(t, dir->ino, e->hash, &e->seqs);
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
        rc = e.found ? entry_inode(fs, &e, &in) : -ENOENT;
    if (!rc) {
        rwlock_write_nested(&in->lock);
        rc = remove_check(in, want_dir);
        if (!rc)
            rc = remove_locked(fs, dir, &e, in);
        rwlock_unlock(&in->lock);
    }
    entry_release(&e);
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
