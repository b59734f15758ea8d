/*
 * entry.c - see entry.h.
 */
#include "entry.h"

#include "extent.h"
#include "xattr.h"

/* ---- finding ---- */

static int read_seqs(struct fs *fs, struct entry *e)
{
    struct key k;
    int rc = lsm_get(fs->db, NULL, key_names(&k, e->dir, e->hash), &e->value);

    e->seqs.n = 0;
    if (rc && rc != -ENOENT)
        return rc;
    if (!rc && seqs_decode(e->value.value, &e->seqs))
        return fs_corrupt("bad name list", e->dir, e->hash);
    e->seqs_known = true;
    return 0;
}

static int read_dentry(struct fs *fs, uint64_t dir, uint64_t seq, struct dentry *d,
                       struct lsm_value *value)
{
    struct key k;
    int rc = lsm_get(fs->db, NULL, key_dentry(&k, dir, seq), value);

    if (rc == -ENOENT)
        return fs_corrupt("a name leads to no entry", dir, seq);
    if (rc)
        return rc;
    /* An entry of the directory itself would make us lock it twice. */
    if (dentry_decode_name(value->value, d) || d->ino == dir)
        return fs_corrupt("bad directory entry", dir, seq);
    return 0;
}

/* In memory? Then the store need not be asked: it says the same. */
static bool find_live(struct fs *fs, struct entry *e)
{
    bool sole;

    e->live = itable_find_name(&fs->inodes, e->dir, e->hash, slice_str(e->name), &e->seq,
                               &sole);
    if (!e->live)
        return false;
    e->found = true;
    e->d.ino = e->live->ino;
    e->d.type = (uint32_t)atomic_load_explicit(&e->live->kin, memory_order_relaxed);
    e->d.type &= S_IFMT;
    e->seqs_known = sole;
    e->seqs.n = 1;
    e->seqs.seq[0] = e->seq;
    return true;
}

static int find_stored(struct fs *fs, struct entry *e)
{
    unsigned i;
    int rc;

    e->sample = itable_sample(&fs->inodes, e->dir);
    rc = read_seqs(fs, e);
    for (i = 0; !rc && i < e->seqs.n && !e->found; i++) {
        e->seq = e->seqs.seq[i];
        rc = read_dentry(fs, e->dir, e->seq, &e->d, &e->value);
        e->found = !rc && slice_eq(e->d.name, slice_str(e->name));
    }
    return rc;
}

/* The kernel looks for a name before it makes it: so the last that was missing is
 * remembered. */
static bool is_missing(struct inode *dir, uint64_t hash)
{
    return hash && atomic_load_explicit(&dir->missing, memory_order_relaxed) == hash;
}

int entry_find(struct fs *fs, struct inode *dir, const char *name, struct entry *e)
{
    int rc;

    e->value = (struct lsm_value){.owned = NULL};
    e->name = name;
    e->dir = dir->ino;
    e->hash = name_hash(fs->inodes.hash_seed, slice_str(name));
    e->found = false;
    e->live = NULL;
    e->seqs_known = is_missing(dir, e->hash);
    e->seqs.n = 0;
    if (e->seqs_known || find_live(fs, e))
        return 0;
    rc = find_stored(fs, e);
    if (!rc && !e->seqs.n)
        atomic_store_explicit(&dir->missing, e->hash, memory_order_relaxed);
    return rc;
}

int entry_seqs(struct fs *fs, struct entry *e)
{
    int rc;

    if (e->seqs_known)
        return 0;
    rc = read_seqs(fs, e);
    if (!rc && e->seqs.n == 1)
        itable_set_sole(&fs->inodes, e->dir, e->hash, e->d.ino);
    return rc;
}

void entry_put_seqs(struct fs *fs, struct txn *t, struct inode *dir, uint64_t hash,
                    const struct seqs *s)
{
    if (s->n > 1)
        itable_set_sole(&fs->inodes, dir->ino, hash, 0);
    if (s->n && is_missing(dir, hash))
        atomic_store_explicit(&dir->missing, 0, memory_order_relaxed);
    txn_put_seqs(t, dir->ino, hash, s);
}

void entry_release(struct fs *fs, struct entry *e)
{
    lsm_value_release(&e->value);
    inode_put(fs, e->live);
    e->live = NULL;
}

/* ---- the inode ---- */

/* Before anybody locks the inode, which is above the entry if the store is hostile. The
 * directory's lock, which the caller has, keeps what is right from changing. */
static int check_kin(struct fs *fs, uint64_t dir, const struct dentry *d,
                     struct inode **in)
{
    uint64_t want = d->type == S_IFDIR ? dir : KIN_TYPE | d->type;

    if (atomic_load_explicit(&(*in)->kin, memory_order_relaxed) == want)
        return 0;
    inode_put(fs, *in);
    *in = NULL; /* callers put what they have got */
    return fs_corrupt("an entry and its inode disagree", dir, d->ino);
}

/* A reference: its inode has its own key. */
static int load_ref(struct fs *fs, uint64_t dir, const struct dentry *d,
                    struct inode **out)
{
    int rc = inode_get(fs, d->ino, out);
    bool named;

    if (rc == -ESTALE)
        return fs_corrupt("an entry leads to no inode", dir, d->ino);
    if (!rc)
        rc = check_kin(fs, dir, d, out);
    if (rc)
        return rc;
    inode_read_nested(*out);
    named = (*out)->rec.nlink;
    rwlock_unlock(&(*out)->lock);
    if (named)
        return 0;
    inode_put(fs, *out);
    *out = NULL;
    return fs_corrupt("an entry and its inode disagree", dir, d->ino);
}

int entry_load(struct fs *fs, uint64_t dir, uint64_t seq, struct dentry *d,
               uint64_t sample, struct lsm_value *value, struct inode **out)
{
    struct inode *in;
    int rc;

    for (;;) {
        *out = itable_find(&fs->inodes, d->ino);
        if (*out)
            return check_kin(fs, dir, d, out);
        if (!d->embedded)
            return load_ref(fs, dir, d, out);
        if (dentry_decode_inode(d))
            return fs_corrupt("bad directory entry", dir, seq);
        in = inode_new(d->ino, &d->rec, dir, seq, &d->name);
        if (!in)
            return -ENOMEM;
        *out = itable_insert(&fs->inodes, in, sample);
        if (*out)
            return check_kin(fs, dir, d, out);
        sample = itable_sample(&fs->inodes, dir);
        rc = read_dentry(fs, dir, seq, d, value);
        if (rc)
            return rc;
    }
}

int entry_inode(struct fs *fs, struct entry *e, struct inode **out)
{
    int rc;

    if (e->live) {
        *out = e->live;
        e->live = NULL;
        return 0;
    }
    rc = entry_load(fs, e->dir, e->seq, &e->d, e->sample, &e->value, out);
    if (!rc && e->seqs.n == 1)
        itable_set_sole(&fs->inodes, e->dir, e->hash, e->d.ino);
    return rc;
}

/* ---- directories ---- */

int dir_check(const struct inode *dir)
{
    if (!record_is_dir(&dir->rec))
        return -ENOTDIR;
    return dir->rec.nlink ? 0 : -ENOENT;
}

int dir_begin(struct fs *fs, uint64_t ino, struct inode **out)
{
    int rc;

    if (fs->options.read_only)
        return -EROFS;
    rc = inode_get(fs, ino, out);
    if (rc)
        return rc;
    rwlock_write(&(*out)->lock);
    rc = dir_check(*out);
    if (rc)
        dir_end(fs, *out);
    return rc;
}

void dir_end(struct fs *fs, struct inode *dir)
{
    rwlock_unlock(&dir->lock);
    inode_put(fs, dir);
}

void dir_changed(struct record *rec, struct stamp now, int entries, int subdirs)
{
    rec->mtime = now;
    rec->ctime = now;
    /* Damaged counts must not wrap: they would not decode again. */
    if (entries >= 0 || rec->dir.entries)
        rec->dir.entries += (uint64_t)(int64_t)entries;
    if (subdirs >= 0 || rec->dir.subdirs)
        rec->dir.subdirs += (uint32_t)subdirs;
}

/* ---- losing a name ---- */

int unlink_inode(struct fs *fs, struct txn *t, struct inode *in, struct stamp now,
                 struct record *rec, enum fate *fate)
{
    static const struct home own_key = {0};
    struct key k;
    int rc;

    txn_of(fs, t, in);
    *rec = in->rec;
    rec->nlink--;
    rec->ctime = now;
    if (rec->nlink) {
        *fate = FATE_LINKED;
        txn_put_inode(t, in, rec);
        return 0;
    }
    if (!record_is_dir(rec) && itable_referenced(&fs->inodes, in)) {
        *fate = FATE_ORPHAN;
        if (!in->home.parent)
            lsm_batch_delete(t->batch, key_inode(&k, in->ino));
        txn_put_record(t, in, &own_key, rec);
        return 0;
    }
    *fate = FATE_GONE;
    txn_note_gone(t, &in->rec);
    if (!in->home.parent)
        lsm_batch_delete(t->batch, key_inode(&k, in->ino));
    rc = xattr_remove_all(fs, t, in->ino, rec);
    return rc ? rc : extent_remove_all(fs, t, in->ino, rec);
}

/* Of one that is embedded, for the time after that. */
static uint64_t tree_held(struct fs *fs, const struct inode *in)
{
    uint64_t tree = 0;

    if (atomic_load_explicit(&fs->quotas.any, memory_order_relaxed))
        (void)quota_tree_under(fs, in->home.parent, &tree); /* it was found just now */
    return tree;
}

void unlink_done(struct fs *fs, struct inode *in, const struct record *rec,
                 enum fate fate)
{
    inode_set(in, rec);
    if (fate == FATE_LINKED) {
        inode_lost_name(fs, in);
        return;
    }
    if (fate == FATE_ORPHAN && record_is_file(rec) && fs->options.last_name)
        fs->options.last_name(in->ino, rec->file.size);
    in->state |= fate == FATE_ORPHAN ? INODE_ORPHAN : INODE_GONE;
    if (in->home.parent) {
        uint64_t tree = tree_held(fs, in);

        itable_move(&fs->inodes, in, 0, 0, NULL, NULL);
        atomic_store(&in->tree, tree);
    } else if (record_is_dir(rec) && atomic_load(&in->tree) == in->ino) {
        quota_dir_gone(fs, in->ino);
    }
}
