/*
 * rename.c - rename, in one batch.
 *
 * An entry keeps its seq wherever it goes: seqs come from one counter and are
 * never reused, so (directory, seq) cannot be taken. Within a directory a scan
 * under way therefore sees a renamed file once.
 *
 * Between directories the rename lock is held. As parents of directories
 * change only under it, what lies above what stands still, and one walk up
 * answers both whether the move would make a loop and which directory is
 * locked first.
 */
#include "entry.h"
#include "xattr.h"

#include <linux/fs.h>
#include <stdlib.h>

/* One end of a rename. */
struct side {
    const char *name;
    struct inode *dir;
    struct record dir_rec;
    struct entry e;
    struct seqs *seqs; /* e.seqs, or the other side's if they share the key */
    uint64_t above;    /* the entry that leads from dir down to the other's dir; or 0 */
    struct inode *in;  /* NULL: no such name */
    struct record rec; /* its new record */
    uint64_t tree;     /* its new quota tree, if it has a key of its own */
    char *name_memory; /* for an embedded inode that gets a new home, and has no room */
};

struct rename {
    struct side from, to;
    bool same_dir;
    bool exchange;
    bool replace;                   /* `to` exists and goes away */
    const struct fs_cred *whiteout; /* whose is left at `from`; NULL: none */
    uint64_t whiteout_ino;
    enum fate fate;
    struct stamp now;
};

/* ---- the directories ---- */

/* The child of `top` that is `ino` or above it, or 0 when top is not above ino. Needs
 * the rename lock. */
static int walk_up(struct fs *fs, uint64_t ino, uint64_t top, uint64_t *child)
{
    uint64_t steps, mark = 0;

    *child = 0;
    for (steps = 1; ino != FS_ROOT && ino != mark; steps++) {
        struct inode *in;
        uint64_t parent = 0;
        int rc = inode_get(fs, ino, &in);

        if (rc)
            return rc;
        rwlock_read(&in->lock);
        rc = record_is_dir(&in->rec) ? 0 : -ENOTDIR;
        if (!rc)
            parent = in->rec.dir.parent;
        rwlock_unlock(&in->lock);
        inode_put(fs, in);
        if (rc)
            return rc;
        if (parent == top) {
            *child = ino;
            return 0;
        }
        /* Who meets a mark again goes in a circle (Brent): that is damage. */
        if ((steps & (steps - 1)) == 0)
            mark = ino;
        ino = parent;
    }
    return ino == FS_ROOT ? 0 : fs_corrupt("a directory is its own ancestor", ino, top);
}

static void lock_two(struct inode *first, struct inode *second)
{
    rwlock_write(&first->lock);
    rwlock_write_nested(&second->lock);
}

/* Takes the rename lock when it returns 0, and both directories' locks. */
static int lock_apart(struct fs *fs, struct rename *r)
{
    struct side *from = &r->from, *to = &r->to;
    int rc;

    mutex_lock(&fs->rename);
    rc = walk_up(fs, to->dir->ino, from->dir->ino, &from->above);
    if (!rc && !from->above)
        rc = walk_up(fs, from->dir->ino, to->dir->ino, &to->above);
    if (rc) {
        mutex_unlock(&fs->rename);
        return rc;
    }
    if (from->above || (!to->above && from->dir->ino < to->dir->ino))
        lock_two(from->dir, to->dir);
    else
        lock_two(to->dir, from->dir);
    return 0;
}

static int lock_dirs(struct fs *fs, struct rename *r)
{
    if (!r->same_dir)
        return lock_apart(fs, r);
    rwlock_write(&r->from.dir->lock);
    return 0;
}

static void unlock_dirs(struct fs *fs, struct rename *r)
{
    rwlock_unlock(&r->from.dir->lock);
    if (r->same_dir)
        return;
    rwlock_unlock(&r->to.dir->lock);
    mutex_unlock(&fs->rename);
}

/* ---- the entries ---- */

static int find_sides(struct fs *fs, struct rename *r, unsigned flags)
{
    struct side *from = &r->from, *to = &r->to;
    int rc = dir_check(from->dir);

    if (!rc)
        rc = dir_check(to->dir);
    if (!rc)
        rc = entry_find(fs, from->dir, from->name, &from->e);
    if (!rc && !from->e.found)
        rc = -ENOENT;
    if (!rc)
        rc = entry_find(fs, to->dir, to->name, &to->e);
    if (rc)
        return rc;
    if (to->e.found && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (!to->e.found && r->exchange)
        return -ENOENT;
    rc = entry_seqs(fs, &from->e);
    if (!rc)
        rc = entry_seqs(fs, &to->e);
    r->replace = to->e.found && !r->exchange;
    from->seqs = &from->e.seqs;
    to->seqs = &to->e.seqs;
    if (r->same_dir && from->e.hash == to->e.hash)
        to->seqs = from->seqs;
    return rc;
}

/* What can be told before the inodes are locked; must be, for some of these could not be
 * locked: they are directories above those that are. */
static int check_loops(const struct rename *r)
{
    const struct side *from = &r->from, *to = &r->to;

    if (from->above && from->e.d.ino == from->above)
        return -EINVAL;
    if (to->e.found && to->above && to->e.d.ino == to->above)
        return r->exchange ? -EINVAL : -ENOTEMPTY;
    if (from->e.d.ino == to->dir->ino || (to->e.found && to->e.d.ino == from->dir->ino))
        return fs_corrupt("a directory has two parents", from->dir->ino, to->dir->ino);
    return 0;
}

static int check_types(const struct rename *r)
{
    const struct record *from = &r->from.in->rec, *to = r->to.in ? &r->to.in->rec : NULL;
    uint32_t full = FS_LINK_MAX - 2;

    if (!from->nlink || (to && !to->nlink))
        return fs_corrupt("an entry leads to an inode without links", r->from.in->ino, 0);
    if (r->replace) {
        if (record_is_dir(from) && !record_is_dir(to))
            return -ENOTDIR;
        if (!record_is_dir(from) && record_is_dir(to))
            return -EISDIR;
        if (record_is_dir(to) && to->dir.entries)
            return -ENOTEMPTY;
    }
    if (r->same_dir)
        return 0;
    if (record_is_dir(from) && !(to && record_is_dir(to)) &&
        r->to.dir->rec.dir.subdirs >= full)
        return -EMLINK;
    if (r->exchange && record_is_dir(to) && !record_is_dir(from) &&
        r->from.dir->rec.dir.subdirs >= full)
        return -EMLINK;
    return 0;
}

/* Directories before files, then by number: files have several parents, and another
 * rename may want the same two from elsewhere. */
static bool locks_before(const struct side *a, const struct side *b)
{
    bool a_dir = a->e.d.type == S_IFDIR, b_dir = b->e.d.type == S_IFDIR;

    if (a_dir != b_dir)
        return a_dir;
    return a->in->ino < b->in->ino;
}

static void lock_inodes(struct rename *r)
{
    struct side *from = &r->from, *to = &r->to;

    if (to->in && locks_before(to, from)) {
        rwlock_write_nested(&to->in->lock);
        rwlock_write_nested(&from->in->lock);
        return;
    }
    rwlock_write_nested(&from->in->lock);
    if (to->in)
        rwlock_write_nested(&to->in->lock);
}

static void unlock_inodes(struct rename *r)
{
    rwlock_unlock(&r->from.in->lock);
    if (r->to.in)
        rwlock_unlock(&r->to.in->lock);
}

/* ---- the batch ---- */

static int add_use(void *arg, struct slice name, size_t value_len)
{
    *(uint64_t *)arg += (uint64_t)usage_of_xattr(name.len, value_len);
    return 0;
}

/*
 * Into another quota tree: a file takes what it uses there. A directory cannot, for all
 * that is below it would; nor a file with names that stay, unless it belongs there
 * already.
 */
static int change_tree(struct fs *fs, struct txn *t, const struct inode *in, uint64_t to,
                       uint64_t *own)
{
    uint64_t use = usage_of(&in->rec), from = 0;
    int rc = quota_tree_of(fs, in, &from);

    if (rc || (from == to && !record_is_dir(&in->rec)))
        return rc;
    if (record_is_dir(&in->rec) || in->rec.nlink > 1)
        return -EXDEV;
    if (in->rec.flags & REC_XATTR)
        rc = xattr_names(fs, in->ino, add_use, &use);
    if (!rc)
        rc = charges_add(fs, &t->charges, from, -(int64_t)use, -1);
    *own = to;
    return rc ? rc : charges_add(fs, &t->charges, to, (int64_t)use, 1);
}

/* Is somebody about to visit what is in directories of that tree (quota_tree.c)? */
static bool is_walked(struct fs *fs, uint64_t tree)
{
    return atomic_load(&fs->quotas.walking) &&
           atomic_load(&fs->quotas.walking_to) == tree;
}

/* The entry of `what` goes under the other side's name. */
static int put_moved(struct fs *fs, struct txn *t, const struct rename *r,
                     struct side *what, const struct side *where)
{
    struct inode *in = what->in;
    uint64_t seq = what->e.seq, to = atomic_load(&where->dir->tree);
    int rc = 0;

    what->tree = in->home.parent ? 0 : atomic_load(&in->tree);
    if (t->trees && atomic_load(&what->dir->tree) != to)
        rc = change_tree(fs, t, in, to, &what->tree);
    else if (t->trees && !r->same_dir && record_is_dir(&in->rec) && is_walked(fs, to))
        rc = -EXDEV;
    if (rc)
        return rc;
    what->rec = in->rec;
    what->rec.ctime = r->now;
    if (record_is_dir(&what->rec))
        what->rec.dir.parent = where->dir->ino;
    if (!r->same_dir)
        txn_delete_dentry(t, what->dir->ino, seq);
    if (in->home.parent) {
        struct home home = {.parent = where->dir->ino, .seq = seq};

        rc = inode_name_room(in, where->name, &what->name_memory);
        if (rc)
            return rc;
        home.name = where->name;
        txn_put_record(t, in, &home, &what->rec);
    } else {
        txn_put_ref(t, where->dir->ino, seq, where->name, in->ino,
                    what->rec.mode & S_IFMT);
        txn_put_tree(t, in, &what->rec, what->tree);
    }
    return 0;
}

static int change_seqs(struct rename *r)
{
    struct side *from = &r->from, *to = &r->to;
    int rc;

    seqs_remove(from->seqs, from->e.seq);
    if (to->in)
        seqs_remove(to->seqs, to->e.seq);
    rc = seqs_add(to->seqs, from->e.seq);
    if (!rc && r->exchange)
        rc = seqs_add(from->seqs, to->e.seq);
    if (!rc && r->whiteout)
        rc = seqs_add(from->seqs, r->whiteout_ino);
    return rc;
}

static void change_dirs(struct rename *r)
{
    struct side *from = &r->from, *to = &r->to;
    int from_dir = record_is_dir(&from->in->rec);
    int to_dir = to->in && record_is_dir(&to->in->rec);
    int left = r->whiteout ? 1 : 0;

    from->dir_rec = from->dir->rec;
    to->dir_rec = to->dir->rec;
    if (r->same_dir) {
        dir_changed(&from->dir_rec, r->now, left - (r->replace ? 1 : 0),
                    r->replace ? -to_dir : 0);
    } else if (r->exchange) {
        dir_changed(&from->dir_rec, r->now, 0, to_dir - from_dir);
        dir_changed(&to->dir_rec, r->now, 0, from_dir - to_dir);
    } else {
        dir_changed(&from->dir_rec, r->now, left - 1, -from_dir);
        dir_changed(&to->dir_rec, r->now, r->replace ? 0 : 1, from_dir - to_dir);
    }
}

/* Nobody has looked it up yet, so it is not made live. */
static void put_whiteout(struct fs *fs, struct txn *t, const struct rename *r)
{
    const struct side *from = &r->from;
    struct home home = {.parent = from->dir->ino, .seq = r->whiteout_ino};
    struct record rec = {
        .mode = S_IFCHR,
        .uid = r->whiteout->uid,
        .gid = from->dir->rec.mode & S_ISGID ? from->dir->rec.gid : r->whiteout->gid,
        .nlink = 1,
        .atime = r->now,
        .mtime = r->now,
        .ctime = r->now,
        .btime = r->now,
    };

    home.name = (char *)from->name;
    txn_under(fs, t, from->dir);
    txn_put_new(t, r->whiteout_ino, &home, &rec);
}

static int fill(struct fs *fs, struct txn *t, struct rename *r)
{
    struct side *from = &r->from, *to = &r->to;
    int rc = r->whiteout ? fs_new_number(fs, &r->whiteout_ino) : 0;

    if (!rc)
        rc = change_seqs(r);
    if (rc)
        return rc;
    change_dirs(r);
    txn_put_inode(t, from->dir, &from->dir_rec);
    entry_put_seqs(fs, t, from->dir, from->e.hash, from->seqs);
    if (to->seqs != from->seqs)
        entry_put_seqs(fs, t, to->dir, to->e.hash, to->seqs);
    if (!r->same_dir)
        txn_put_inode(t, to->dir, &to->dir_rec);
    if (r->replace) {
        txn_delete_dentry(t, to->dir->ino, to->e.seq);
        rc = unlink_inode(fs, t, to->in, r->now, &to->rec, &r->fate);
    }
    if (!rc)
        rc = put_moved(fs, t, r, from, to);
    if (!rc && r->exchange)
        rc = put_moved(fs, t, r, to, from);
    if (!rc && r->whiteout)
        put_whiteout(fs, t, r);
    return rc;
}

/* ---- afterwards ---- */

static void moved_done(struct fs *fs, struct side *what, const struct side *where)
{
    uint64_t was = what->in->home.parent;

    inode_set(what->in, &what->rec);
    if (!was) {
        atomic_store(&what->in->tree, what->tree);
        return;
    }
    itable_note(&fs->inodes, was);
    itable_move(&fs->inodes, what->in, where->dir->ino, what->e.seq, where->name,
                what->name_memory);
    if (where->seqs->n == 1)
        itable_set_sole(&fs->inodes, where->dir->ino, where->e.hash, what->in->ino);
    what->name_memory = NULL;
}

static void done(struct fs *fs, struct rename *r)
{
    struct side *from = &r->from, *to = &r->to;

    moved_done(fs, from, to);
    if (r->exchange)
        moved_done(fs, to, from);
    if (r->replace)
        unlink_done(fs, to->in, &to->rec, r->fate);
    inode_set(from->dir, &from->dir_rec);
    if (!r->same_dir)
        inode_set(to->dir, &to->dir_rec);
}

static int apply(struct fs *fs, struct rename *r)
{
    struct txn *t;
    int rc = check_types(r);

    if (rc)
        return rc;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    rc = txn_end(fs, t, fill(fs, t, r));
    if (!rc)
        done(fs, r);
    free(r->from.name_memory);
    free(r->to.name_memory);
    return rc;
}

/* Needs the directories' locks. */
static int rename_locked(struct fs *fs, struct rename *r, unsigned flags)
{
    struct side *from = &r->from, *to = &r->to;
    int rc = find_sides(fs, r, flags);

    if (rc)
        return rc;
    if (to->e.found && from->e.d.ino == to->e.d.ino)
        return 0; /* two names of one inode, or one name: nothing happens */
    rc = check_loops(r);
    if (!rc)
        rc = entry_inode(fs, &from->e, &from->in);
    if (!rc && to->e.found)
        rc = entry_inode(fs, &to->e, &to->in);
    if (rc)
        return rc;
    lock_inodes(r);
    r->now = stamp_now();
    rc = apply(fs, r);
    unlock_inodes(r);
    return rc;
}

static int check_arguments(struct fs *fs, const char *name, const char *new_name,
                           unsigned flags)
{
    int rc = name_check(slice_str(name));

    if (!rc)
        rc = name_check(slice_str(new_name));
    if (rc)
        return rc == -EEXIST ? -EINVAL : rc;
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
        return -EINVAL;
    if ((flags & RENAME_EXCHANGE) && flags != RENAME_EXCHANGE)
        return -EINVAL;
    return fs->options.read_only ? -EROFS : 0;
}

int fs_rename(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
              uint64_t new_parent, const char *new_name, unsigned flags)
{
    struct rename r = {.same_dir = parent == new_parent};
    int rc = check_arguments(fs, name, new_name, flags);

    if (rc)
        return rc;
    r.exchange = flags & RENAME_EXCHANGE;
    r.whiteout = flags & RENAME_WHITEOUT ? c : NULL;
    r.from.name = name;
    r.to.name = new_name;
    rc = inode_get(fs, parent, &r.from.dir);
    if (!rc && r.same_dir)
        r.to.dir = r.from.dir;
    else if (!rc)
        rc = inode_get(fs, new_parent, &r.to.dir);
    if (!rc)
        rc = lock_dirs(fs, &r);
    if (!rc) {
        rc = rename_locked(fs, &r, flags);
        unlock_dirs(fs, &r);
    }
    entry_release(fs, &r.from.e);
    entry_release(fs, &r.to.e);
    inode_put(fs, r.to.in);
    inode_put(fs, r.from.in);
    if (!r.same_dir)
        inode_put(fs, r.to.dir);
    inode_put(fs, r.from.dir);
    return rc;
}
