/*
 * mend.c - see mend.h: records, extents, and lost+found. Names are in mend_names.c.
 */
#include "mend_impl.h"
#include "quota.h"

#include <sys/random.h>

enum {
    SYNC_EVERY = 1024, /* batches */
};

/* ---- batches ---- */

static int write_batch(struct check *c)
{
    int rc = 0;

    if (lsm_batch_count(c->batch)) {
        c->written++;
        rc = lsm_write(c->db, c->batch, c->written % SYNC_EVERY ? LSM_NOSYNC : LSM_SYNC);
    }
    lsm_batch_clear(c->batch);
    return rc;
}

static int batch_used(struct check *c, const struct used *used)
{
    buf_clear(&c->scratch);
    used_encode(&c->scratch, used);
    lsm_batch_put(c->batch, key_used(), buf_slice(&c->scratch));
    c->used = *used;
    return buf_error(&c->scratch) ? -ENOMEM : 0;
}

int mend_used(struct check *c, const struct used *used)
{
    int rc;

    if (!c->repair)
        return 0;
    rc = batch_used(c, used);
    return rc ? rc : write_batch(c);
}

static void batch_inexact(struct check *c)
{
    quota_put_exact(c->batch, false);
    c->quotas_exact = false;
}

/* What is used changes now, and is no longer exact. */
int mend_commit(struct check *c, int rc)
{
    struct used used = {.bytes = c->used.bytes};

    if (!rc && buf_error(&c->scratch))
        rc = -ENOMEM;
    if (!rc && c->limited && c->used.exact && lsm_batch_count(c->batch))
        rc = batch_used(c, &used);
    if (!rc && c->quotas && c->quotas_exact && lsm_batch_count(c->batch))
        batch_inexact(c);
    if (!rc)
        rc = write_batch(c);
    lsm_batch_clear(c->batch);
    return rc;
}

void batch_record(struct check *c, uint64_t ino, const struct record *rec, uint64_t tree)
{
    struct key k;

    buf_clear(&c->scratch);
    record_encode_tree(&c->scratch, rec, tree);
    lsm_batch_put(c->batch, key_inode(&k, ino), buf_slice(&c->scratch));
}

static void batch_counter(struct check *c, struct slice key, uint64_t v)
{
    buf_clear(&c->scratch);
    put_varint(&c->scratch, v);
    lsm_batch_put(c->batch, key, buf_slice(&c->scratch));
}

int mend_put(struct check *c, struct slice key, struct slice value)
{
    if (!c->repair)
        return 0;
    lsm_batch_put(c->batch, key, value);
    return mend_commit(c, 0);
}

int mend_drop(struct check *c, struct slice key)
{
    if (!c->repair)
        return 0;
    lsm_batch_delete(c->batch, key);
    return mend_commit(c, 0);
}

int mend_counter(struct check *c, struct slice key, uint64_t v)
{
    if (!c->repair)
        return 0;
    batch_counter(c, key, v);
    return mend_commit(c, 0);
}

int mend_quota(struct check *c, struct quota *q)
{
    struct quota_record rec = quota_record_of(q);
    int rc;

    if (!c->repair)
        return 0;
    rc = quota_put(c->batch, q->tree, &rec);
    return mend_commit(c, rc);
}

int mend_quotas_exact(struct check *c)
{
    if (!c->repair)
        return 0;
    c->quotas_exact = false; /* this change makes them no less so */
    quota_put_exact(c->batch, true);
    return mend_commit(c, 0);
}

int mend_super(struct check *c)
{
    struct super super = {.root = FS_ROOT, .quotas = c->quotas};
    uint8_t from = KEY_NAMES, to = KEY_NAMES + 1;

    if (!c->repair)
        return 0;
    if (getrandom(&super.hash_seed, sizeof(super.hash_seed), 0) !=
        (ssize_t)sizeof(super.hash_seed))
        return -EIO;
    c->hash_seed = super.hash_seed;
    buf_clear(&c->scratch);
    super_encode(&c->scratch, &super);
    lsm_batch_put(c->batch, key_super(), buf_slice(&c->scratch));
    lsm_batch_delete_range(c->batch, slice_of(&from, 1), slice_of(&to, 1));
    lsm_batch_delete(c->batch, key_used()); /* the limits are lost */
    return mend_commit(c, 0);
}

/* A number for something new; that it is given out is in the same batch as its use. */
int batch_number(struct check *c, uint64_t *n)
{
    /* Those below the counter may have been in use, and gone. */
    if (c->next > c->top && c->next <= NUMBER_LIMIT)
        c->top = c->next - 1;
    if (c->top >= INO_MAX - 1)
        return -ENOSPC;
    *n = ++c->top;
    c->next = c->top + 1;
    batch_counter(c, key_next(), c->next);
    return 0;
}

/* ---- records ---- */

struct record new_record(const struct check *c, uint32_t mode)
{
    struct record rec = {0};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    rec.mode = mode;
    rec.uid = c->uid;
    rec.gid = c->gid;
    rec.nlink = 1;
    rec.btime = (struct stamp){.sec = now.tv_sec, .nsec = (uint32_t)now.tv_nsec};
    rec.atime = rec.mtime = rec.ctime = rec.btime;
    if (S_ISDIR(mode))
        rec.dir.parent = FS_ROOT;
    return rec;
}

int mend_record(struct check *c, struct subject *s)
{
    struct key k;

    s->changed = false;
    if (!c->repair)
        return 0;
    if (!s->home) {
        batch_record(c, s->ino, &s->rec, s->tree);
        return mend_commit(c, 0);
    }
    buf_clear(&c->scratch);
    dentry_encode_inode(&c->scratch, s->embedded_name, s->ino, &s->rec);
    lsm_batch_put(c->batch, key_dentry(&k, s->home, s->ino), buf_slice(&c->scratch));
    return mend_commit(c, 0);
}

int mend_new_record(struct check *c, uint64_t ino, const struct record *rec)
{
    if (!c->repair)
        return 0;
    batch_record(c, ino, rec, 0);
    return mend_commit(c, 0);
}

int mend_parent(struct check *c, uint64_t ino, uint64_t dir)
{
    struct subject s;
    int rc;

    if (!c->repair)
        return 0;
    rc = subject_load(c, ino, &s);
    if (!rc && s.exists && record_is_dir(&s.rec)) {
        s.rec.dir.parent = dir;
        rc = mend_record(c, &s);
    }
    subject_release(&s);
    return rc;
}

/* They may be wrong already, and are looked at later; only never impossible. */
static void record_dir_counts(struct record *rec, int entries, int subdirs)
{
    if (entries > 0 || rec->dir.entries)
        rec->dir.entries += (uint64_t)(int64_t)entries;
    if (subdirs > 0 || rec->dir.subdirs)
        rec->dir.subdirs += (uint32_t)subdirs;
    if (rec->dir.subdirs > rec->dir.entries)
        rec->dir.subdirs = (uint32_t)rec->dir.entries;
}

int batch_dir_counts(struct check *c, uint64_t dir, int entries, int subdirs)
{
    struct known *k = known_find(&c->inodes, dir);
    struct subject s;
    int rc;

    if (!known_is_dir(k))
        return 0;
    k->entries += (uint32_t)entries;
    k->subdirs += (uint32_t)subdirs;
    rc = subject_load(c, dir, &s);
    if (!rc && s.exists && record_is_dir(&s.rec)) {
        record_dir_counts(&s.rec, entries, subdirs);
        batch_record(c, dir, &s.rec, s.tree);
    }
    subject_release(&s);
    return rc;
}

/* ---- extents ---- */

void mend_piece(struct check *c, const struct extent_key *x, uint64_t from, uint64_t to)
{
    struct key old, new;

    if (c->repair)
        lsm_batch_share(c->batch, key_extent(&new, x->ino, to),
                        key_extent(&old, x->ino, x->end),
                        (size_t)(from - (x->end - x->len)), (size_t)(to - from));
}

int mend_pieces(struct check *c, const struct extent_key *x, uint64_t last_end)
{
    struct key k;

    if (!c->repair)
        return 0;
    if (last_end != x->end)
        lsm_batch_delete(c->batch, key_extent(&k, x->ino, x->end));
    return mend_commit(c, 0);
}

/* ---- lost+found ---- */

static bool lost_found_usable(struct check *c)
{
    const struct known *k = known_find(&c->inodes, c->lost_found);

    return known_is_dir(k) && (k->bits & KNOWN_KEY) && known_placed(k, FS_ROOT);
}

static int note_lost_found(struct check *c, uint64_t ino)
{
    struct known *k = known_add(&c->inodes, ino);

    if (!k)
        return -ENOMEM;
    k->parent = FS_ROOT;
    k->bits |= KNOWN_KEY | KNOWN_PLACED | KNOWN_REACHED;
    known_set_type(k, S_IFDIR);
    c->lost_found = ino;
    return 0;
}

/* The directory to put lost inodes in, made when there is none. A name that something
 * else has is left to it. */
static int lost_found(struct check *c)
{
    struct record rec = new_record(c, S_IFDIR | 0700);
    char name[32] = "lost+found";
    uint64_t ino;
    unsigned i = 1;
    int rc;

    if (lost_found_usable(c))
        return 0;
    while ((rc = name_taken(c, FS_ROOT, slice_str(name))) == -EEXIST)
        snprintf(name, sizeof(name), "lost+found.%u", ++i);
    if (!rc)
        rc = batch_number(c, &ino);
    if (!rc)
        rc = note_lost_found(c, ino);
    if (!rc)
        rc = batch_new_name(c, FS_ROOT, slice_str(name), ino, S_IFDIR);
    if (!rc)
        batch_record(c, ino, &rec, 0);
    return mend_commit(c, rc);
}

/* "#17", or when that is taken "#17.2". */
static int lost_name(struct check *c, uint64_t ino, char *name, size_t size)
{
    unsigned i = 1;
    int rc;

    snprintf(name, size, "#%" PRIu64, ino);
    while ((rc = name_taken(c, c->lost_found, slice_str(name))) == -EEXIST)
        snprintf(name, size, "#%" PRIu64 ".%u", ino, ++i);
    return rc;
}

int mend_lost(struct check *c, uint64_t ino, uint64_t old_dir)
{
    struct subject s = {0};
    struct known *k;
    struct key key;
    char name[48];
    int rc;

    if (!c->repair)
        return 0;
    rc = lost_found(c);
    if (!rc)
        rc = lost_name(c, ino, name, sizeof(name));
    if (!rc)
        rc = subject_load(c, ino, &s);
    if (rc || !s.exists)
        goto out;
    if (old_dir)
        rc = batch_old_name(c, old_dir, ino, S_IFDIR);
    if (!rc)
        rc = batch_new_name(c, c->lost_found, slice_str(name), ino, s.rec.mode & S_IFMT);
    lsm_batch_delete(c->batch, key_orphan(&key, ino));
    s.rec.nlink = 1;
    if (record_is_dir(&s.rec)) {
        s.rec.dir.parent = c->lost_found;
        if (old_dir == ino) /* it held itself */
            record_dir_counts(&s.rec, -1, -1);
    }
    batch_record(c, ino, &s.rec,
                 s.tree); /* after the one that batch_old_name may have put */
    rc = mend_commit(c, rc);
    k = known_find(&c->inodes, ino);
    if (!rc && k) {
        k->parent = c->lost_found;
        k->bits |= KNOWN_PLACED;
        k->names = 1;
    }
out:
    subject_release(&s);
    return rc;
}
