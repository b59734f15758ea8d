/*
 * mend_names.c - see mend.h: entries of directories, with the index of names.
 */
#include "mend_impl.h"

#include <sys/random.h>

enum {
    RENAME_TRIES = 8,
};

/* ---- the index ---- */

static uint64_t hash_of(const struct check *c, struct slice name)
{
    return name_hash(c->hash_seed, name);
}

/* A list that is missing or damaged is empty. */
static int list_load(struct check *c, uint64_t dir, uint64_t hash, struct seqs *seqs)
{
    struct lsm_value v = {0};
    struct key k;
    int rc = lsm_get(c->db, NULL, key_names(&k, dir, hash), &v);

    if (rc == -ENOENT || (!rc && seqs_decode(v.value, seqs))) {
        seqs->n = 0;
        rc = 0;
    }
    lsm_value_release(&v);
    return rc;
}

static void batch_list(struct check *c, uint64_t dir, uint64_t hash,
                       const struct seqs *seqs)
{
    struct key k;

    if (!seqs->n) {
        lsm_batch_delete(c->batch, key_names(&k, dir, hash));
        return;
    }
    buf_clear(&c->scratch);
    seqs_encode(&c->scratch, seqs);
    lsm_batch_put(c->batch, key_names(&k, dir, hash), buf_slice(&c->scratch));
}

int mend_seqs(struct check *c, uint64_t dir, uint64_t hash, const struct seqs *seqs)
{
    if (!c->repair)
        return 0;
    batch_list(c, dir, hash, seqs);
    return mend_commit(c, 0);
}

/* The entry old_seq under old_name is now new_seq under new_name; 0 is none. */
static int batch_index(struct check *c, uint64_t dir, struct slice old_name,
                       uint64_t old_seq, struct slice new_name, uint64_t new_seq)
{
    uint64_t old = hash_of(c, old_name), new = hash_of(c, new_name);
    struct seqs seqs;
    int rc = list_load(c, dir, old, &seqs);

    if (rc)
        return rc;
    seqs_remove(&seqs, old_seq);
    if (new_seq && new != old) {
        batch_list(c, dir, old, &seqs);
        rc = list_load(c, dir, new, &seqs);
        if (rc)
            return rc;
    }
    if (new_seq) {
        seqs_remove(&seqs, new_seq);
        /* A full list is left as it is: check_names finds the entry, and renames it. */
        (void)seqs_add(&seqs, new_seq);
    }
    batch_list(c, dir, new_seq ? new : old, &seqs);
    return 0;
}

/* -EEXIST, or -ENOSPC when its list is full; `except` is not looked at. */
static int name_free(struct check *c, uint64_t dir, struct slice name, uint64_t except)
{
    struct lsm_value v = {0};
    struct seqs seqs;
    struct dentry d;
    struct key k;
    unsigned i;
    int rc = list_load(c, dir, hash_of(c, name), &seqs);

    seqs_remove(&seqs, except);
    for (i = 0; i < seqs.n && !rc; i++) {
        rc = lsm_get(c->db, NULL, key_dentry(&k, dir, seqs.seq[i]), &v);
        if (!rc && !dentry_decode(v.value, &d) && slice_eq(d.name, name))
            rc = -EEXIST;
        else if (rc == -ENOENT)
            rc = 0;
    }
    lsm_value_release(&v);
    return !rc && seqs.n == SEQS_MAX ? -ENOSPC : rc;
}

int name_taken(struct check *c, uint64_t dir, struct slice name)
{
    int rc = name_free(c, dir, name, 0);

    return rc == -ENOSPC ? -EEXIST : rc;
}

/* ---- entries ---- */

static void batch_ref(struct check *c, uint64_t dir, uint64_t seq, struct slice name,
                      uint64_t ino, uint32_t type)
{
    struct key k;

    buf_clear(&c->scratch);
    dentry_encode_ref(&c->scratch, name, ino, type);
    lsm_batch_put(c->batch, key_dentry(&k, dir, seq), buf_slice(&c->scratch));
}

static void batch_no_entry(struct check *c, uint64_t dir, uint64_t seq)
{
    struct key k;

    lsm_batch_delete(c->batch, key_dentry(&k, dir, seq));
}

int batch_new_name(struct check *c, uint64_t dir, struct slice name, uint64_t ino,
                   uint32_t type)
{
    int rc = batch_index(c, dir, name, 0, name, ino);

    if (rc)
        return rc;
    batch_ref(c, dir, ino, name, ino, type);
    return batch_dir_counts(c, dir, 1, type == S_IFDIR);
}

int batch_old_name(struct check *c, uint64_t dir, uint64_t ino, uint32_t type)
{
    struct lsm_value v = {0};
    struct dentry d;
    struct key k;
    int rc = lsm_get(c->db, NULL, key_dentry(&k, dir, ino), &v);

    if (!rc && !dentry_decode(v.value, &d)) {
        batch_no_entry(c, dir, ino);
        rc = batch_index(c, dir, d.name, ino, d.name, 0);
        if (!rc)
            rc = batch_dir_counts(c, dir, -1, -(type == S_IFDIR));
    }
    lsm_value_release(&v);
    return rc == -ENOENT ? 0 : rc;
}

/* A record under I; what is known of the inode follows. */
static void batch_key_record(struct check *c, uint64_t ino, const struct record *rec)
{
    struct known *k = known_find(&c->inodes, ino);

    batch_record(c, ino, rec, 0);
    if (!k)
        return;
    k->bits = (k->bits & ~(uint32_t)(KNOWN_EMBEDDED | KNOWN_MADE)) | KNOWN_KEY;
    known_set_type(k, rec->mode);
    k->names = rec->nlink;
}

int mend_remove(struct check *c, const struct place *p)
{
    struct known *k = known_find(&c->inodes, p->d->ino);
    int rc;

    if (!c->repair)
        return 0;
    batch_no_entry(c, p->dir, p->seq);
    if (p->d->embedded && k && !(k->bits & (KNOWN_KEY | KNOWN_EMBEDDED))) {
        batch_key_record(c, p->d->ino, &p->d->rec);
        k->names = 0; /* lost+found gives it one */
    }
    rc = batch_index(c, p->dir, p->d->name, p->seq, p->d->name, 0);
    if (!rc)
        rc = batch_dir_counts(c, p->dir, -1, -entry_is_dir(c, p->d));
    return mend_commit(c, rc);
}

/* More links for what is under I. */
static int batch_links(struct check *c, uint64_t ino, uint32_t links)
{
    struct known *k = known_find(&c->inodes, ino);
    struct subject s;
    int rc = links ? subject_load(c, ino, &s) : 0;

    if (!links)
        return 0;
    if (!rc && s.exists && k) {
        s.rec.nlink += links;
        k->names += links;
        batch_record(c, ino, &s.rec, s.tree);
    }
    subject_release(&s);
    return rc;
}

int mend_refer(struct check *c, const struct place *p, uint32_t type, bool fresh_seq,
               const struct record *rec, uint32_t links)
{
    uint64_t seq = p->seq;
    struct known *k;
    int rc = 0;

    if (!c->repair)
        return 0;
    if (fresh_seq)
        rc = batch_number(c, &seq);
    if (!rc && seq != p->seq) {
        batch_no_entry(c, p->dir, p->seq);
        rc = batch_index(c, p->dir, p->d->name, p->seq, p->d->name, seq);
    }
    batch_ref(c, p->dir, seq, p->d->name, p->d->ino, type);
    if (!rc && rec)
        batch_key_record(c, p->d->ino, rec);
    else if (!rc)
        rc = batch_links(c, p->d->ino, links);
    rc = mend_commit(c, rc);
    k = rc ? NULL : known_add(&c->inodes, seq);
    if (!rc && !k)
        return -ENOMEM;
    if (!rc) {
        k->parent = p->dir;
        k->bits |= KNOWN_PLACED;
    }
    return rc;
}

int mend_dir_seq(struct check *c, const struct place *p)
{
    if (!c->repair)
        return 0;
    batch_no_entry(c, p->dir, p->seq);
    batch_ref(c, p->dir, p->d->ino, p->d->name, p->d->ino, S_IFDIR);
    return mend_commit(c,
                       batch_index(c, p->dir, p->d->name, p->seq, p->d->name, p->d->ino));
}

static bool is_newer(const struct record *a, const struct record *b)
{
    if (a->ctime.sec != b->ctime.sec)
        return a->ctime.sec > b->ctime.sec;
    return a->ctime.nsec > b->ctime.nsec;
}

int mend_promote(struct check *c, uint64_t ino, const struct record *other)
{
    struct subject s;
    int rc;

    if (!c->repair)
        return 0;
    rc = subject_load(c, ino, &s);
    if (!rc && s.exists && s.home) {
        if (other && is_newer(other, &s.rec))
            s.rec = *other;
        batch_ref(c, s.home, ino, s.embedded_name, ino, s.rec.mode & S_IFMT);
        batch_key_record(c, ino, &s.rec);
        rc = mend_commit(c, 0);
    }
    subject_release(&s);
    return rc;
}

/* ---- names that cannot stay ---- */

static void batch_renamed(struct check *c, const struct place *p, struct slice name)
{
    struct key k;

    if (!p->d->embedded) {
        batch_ref(c, p->dir, p->seq, name, p->d->ino, p->d->type);
        return;
    }
    buf_clear(&c->scratch);
    dentry_encode_inode(&c->scratch, name, p->d->ino, &p->d->rec);
    lsm_batch_put(c->batch, key_dentry(&k, p->dir, p->seq), buf_slice(&c->scratch));
}

/* For the n-th try. Who made the store can have foreseen the first ones. */
static int rename_suffix(char suffix[48], uint64_t seq, unsigned n)
{
    uint64_t random;

    if (n <= RENAME_TRIES) {
        snprintf(suffix, 48, "~%" PRIu64 ".%u", seq, n);
        return 0;
    }
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return -EIO;
    snprintf(suffix, 48, "~%" PRIu64 ".%" PRIx64, seq, random);
    return 0;
}

int mend_rename(struct check *c, const struct place *p)
{
    char name[FS_NAME_MAX + 1], suffix[48];
    unsigned i;
    int rc = -EEXIST;

    if (!c->repair)
        return 0;
    for (i = 1; rc == -EEXIST || rc == -ENOSPC; i++) {
        size_t room, len;

        rc = rename_suffix(suffix, p->seq, i);
        if (rc)
            return rc;
        room = FS_NAME_MAX - strlen(suffix);
        len = p->d->name.len < room ? p->d->name.len : room;
        memcpy(name, p->d->name.data, len);
        strcpy(name + len, suffix);
        rc = name_free(c, p->dir, slice_str(name), p->seq);
    }
    if (rc)
        return rc;
    batch_renamed(c, p, slice_str(name));
    return mend_commit(
        c, batch_index(c, p->dir, p->d->name, p->seq, slice_str(name), p->seq));
}

int mend_index(struct check *c, const struct place *p)
{
    int rc;

    if (!c->repair)
        return 0;
    rc = name_free(c, p->dir, p->d->name, p->seq);
    if (rc == -EEXIST || rc == -ENOSPC)
        return mend_rename(c, p);
    if (rc)
        return rc;
    return mend_commit(c, batch_index(c, p->dir, p->d->name, 0, p->d->name, p->seq));
}
