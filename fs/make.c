/*
 * make.c - making inodes: mknod and its kin, and files that have no name yet.
 */
#include "entry.h"
#include "xattr.h"

#include <sys/sysmacros.h>

/* What is to be made. */
struct make {
    const struct fs_cred *cred;
    const char *name; /* NULL: none, for now */
    mode_t mode;      /* with the type; as asked for, before the umask */
    dev_t rdev;
    const char *target;
};

static struct record make_record(const struct make *m, const struct inode *dir,
                                 struct stamp now)
{
    struct record rec = {0};
    bool sgid = dir->rec.mode & S_ISGID;

    rec.mode = m->mode;
    rec.uid = m->cred->uid;
    rec.gid = sgid ? dir->rec.gid : m->cred->gid;
    rec.nlink = m->name ? 1 : 0;
    rec.btime = rec.atime = rec.mtime = rec.ctime = now;
    if (S_ISDIR(m->mode) || S_ISREG(m->mode))
        rec.flags = dir->rec.flags & REC_COMPRESSION;
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

/* The name of the new inode, and what it changes in the directory. */
static int put_name(struct fs *fs, struct txn *t, const struct make *m, struct inode *dir,
                    struct entry *e, const struct inode *in, struct record *dir_rec)
{
    bool is_dir = S_ISDIR(m->mode);
    int rc = seqs_add(&e->seqs, in->ino);

    dir_changed(dir_rec, in->rec.btime, 1, is_dir);
    txn_put_inode(t, dir, dir_rec);
    entry_put_seqs(fs, t, dir, e->hash, &e->seqs);
    if (is_dir)
        txn_put_ref(t, dir->ino, in->ino, m->name, in->ino, S_IFDIR);
    return rc;
}

/* Write the new inode; e NULL: without a name. */
static int make_write(struct fs *fs, const struct make *m, struct inode *dir,
                      struct entry *e, struct inode *in,
                      const struct inherited *inherited)
{
    struct record dir_rec = dir->rec;
    struct txn *t = txn_begin(fs);
    int rc = 0;

    if (!t)
        return -ENOMEM;
    txn_under(fs, t, dir);
    if (!in->home.parent)
        atomic_store(&in->tree, t->trees ? t->tree : 0);
    if (e)
        rc = put_name(fs, t, m, dir, e, in, &dir_rec);
    txn_put_new(t, in->ino, &in->home, &in->rec);
    xattr_put_inherited(t, in->ino, inherited);
    rc = txn_end_later(fs, t, rc);
    if (!rc && e)
        inode_set(dir, &dir_rec);
    return rc;
}

/* An inode that is embedded in its entry knows where; others have a key of their own. */
static struct inode *new_inode(uint64_t ino, const struct record *rec,
                               const struct inode *dir, const char *name)
{
    struct slice s = slice_str(name ? name : "");

    if (!name)
        return inode_new(ino, rec, 0, 0, NULL);
    return inode_new(ino, rec, dir->ino, ino, S_ISDIR(rec->mode) ? NULL : &s);
}

/* e: the place of its name, which is free; NULL when it is to have none. */
static int make_inode(struct fs *fs, const struct make *m, struct inode *dir,
                      struct entry *e, struct inode **out)
{
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
        in = new_inode(ino, &rec, dir, m->name);
        rc = in ? make_write(fs, m, dir, e, in, &inherited) : -ENOMEM;
    }
    inherited_release(&inherited);
    if (rc) {
        inode_free(in);
        return rc;
    }
    in->nlookup = 1;
    in->sole = e && e->seqs.n == 1;
    if (!e)
        in->state |= INODE_ORPHAN | INODE_LINKABLE;
    /* Before the directory's lock goes: until then nobody can have found it. */
    itable_add(&fs->inodes, in);
    *out = in;
    return 0;
}

static int make(struct fs *fs, const struct make *m, uint64_t parent, struct fs_attr *out)
{
    struct inode *dir, *in = NULL;
    struct entry e;
    int rc = m->name ? name_check(slice_str(m->name)) : 0;

    if (rc)
        return rc;
    rc = dir_begin(fs, parent, &dir);
    if (rc)
        return rc;
    if (m->name) {
        rc = entry_find(fs, dir, m->name, &e);
        if (!rc)
            rc = e.found ? -EEXIST : make_inode(fs, m, dir, &e, &in);
        entry_release(fs, &e);
    } else {
        rc = make_inode(fs, m, dir, NULL, &in);
    }
    dir_end(fs, dir);
    if (rc)
        return rc;
    inode_attr(fs, in, out);
    inode_put(fs, in);
    return 0;
}

int fs_mknod(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
             mode_t mode, dev_t rdev, struct fs_attr *out)
{
    struct make m = {.cred = c, .name = name, .rdev = rdev};

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

int fs_tmpfile(struct fs *fs, const struct fs_cred *c, uint64_t parent, mode_t mode,
               struct fs_attr *out)
{
    struct make m = {.cred = c, .mode = S_IFREG | (mode & 07777)};

    return make(fs, &m, parent, out);
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
