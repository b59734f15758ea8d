/*
 * check_names.c - the index of a directory's names: do its lists lead to the entries
 * whose names have that hash, and to all of them?
 *
 * Each item of a list is looked up. If all are good and there are as many of them as
 * entries, no entry is missing; only if not, the entries are gone through.
 */
#include "mend.h"

/* A name under a hash, copied: the value it was read into is used again. */
struct found {
    uint8_t name[FS_NAME_MAX];
    size_t len;
};

static struct slice found_name(const struct found *f)
{
    return slice_of(f->name, f->len);
}

/* *d of the entry, borrowed from c->value; *there is false when it is missing or bad. */
static int get_entry(struct check *c, uint64_t dir, uint64_t seq, struct dentry *d,
                     bool *there)
{
    struct key k;
    int rc = lsm_get(c->db, NULL, key_dentry(&k, dir, seq), &c->value);

    *there = !rc && entry_decode(c->value.value, d);
    return rc == -ENOENT ? 0 : rc;
}

/* ---- lists ---- */

enum verdict {
    GOOD,
    MISSING, /* there is no such entry, or it cannot be read */
    OTHER,   /* it has another name */
    TWICE,   /* it is in the list already */
    SAME,    /* another entry has that name */
};

/* One item, beside the good ones before it. */
static int judge(struct check *c, uint64_t dir, uint64_t hash, uint64_t seq,
                 const struct seqs *good, struct found *found, enum verdict *v)
{
    struct dentry d;
    unsigned i;
    bool there;
    int rc = get_entry(c, dir, seq, &d, &there);

    *v = !there ? MISSING : name_hash(c->hash_seed, d.name) != hash ? OTHER : GOOD;
    if (rc || *v != GOOD)
        return rc;
    for (i = 0; i < good->n && *v == GOOD; i++) {
        if (good->seq[i] == seq)
            *v = TWICE;
        else if (slice_eq(found_name(&found[i]), d.name))
            *v = SAME;
    }
    memcpy(found[good->n].name, d.name.data, d.name.len);
    found[good->n].len = d.name.len;
    return 0;
}

/* The items of one list that are good, and those whose entries need another name. */
static int check_items(struct check *c, uint64_t dir, uint64_t hash,
                       const struct seqs *seqs, struct seqs *good, struct seqs *same)
{
    static const char *const why[] = {
        [MISSING] = "is missing",
        [OTHER] = "has another name",
        [TWICE] = "it leads to already",
    };
    struct found found[SEQS_MAX];
    struct text t;
    unsigned i;

    good->n = same->n = 0;
    for (i = 0; i < seqs->n; i++) {
        enum verdict v;
        int rc = judge(c, dir, hash, seqs->seq[i], good, found, &v);

        if (rc)
            return rc;
        if (v == GOOD) {
            good->seq[good->n++] = seqs->seq[i];
        } else if (v == SAME) {
            same->seq[same->n++] = seqs->seq[i];
            problem(c, "the later one renamed", "%s: two entries have that name",
                    text_entry(c, dir, found_name(&found[good->n]), &t));
        } else {
            problem(c, "forgotten",
                    "%s: its index of names leads to entry %" PRIu64 ", which %s",
                    text_inode(c, dir, &t), seqs->seq[i], why[v]);
        }
    }
    return 0;
}

static int rename_entries(struct check *c, uint64_t dir, const struct seqs *same)
{
    struct lsm_value v = {0};
    unsigned i;
    int rc = 0;

    for (i = 0; i < same->n && !rc; i++) {
        struct dentry d;
        struct place p = {.dir = dir, .seq = same->seq[i], .d = &d};
        struct key k;

        rc = lsm_get(c->db, NULL, key_dentry(&k, dir, p.seq), &v);
        if (!rc && !dentry_decode(v.value, &d))
            rc = mend_rename(c, &p);
    }
    lsm_value_release(&v);
    return rc;
}

/* *indexed grows by the entries that it leads to, if need be after mending. */
static int visit_list(struct check *c, struct subject *s, struct cursor *at,
                      uint64_t *indexed)
{
    struct seqs seqs, good, same;
    struct slice value;
    struct text t;
    int rc = lsm_iter_value(at->it, &value);

    if (rc)
        return rc;
    if (seqs_decode(value, &seqs)) {
        problem(c, "given up", "%s: a list in its index of names makes no sense",
                text_inode(c, s->ino, &t));
        return cursor_drop(c, at);
    }
    rc = check_items(c, s->ino, at->second, &seqs, &good, &same);
    if (!rc && good.n < seqs.n)
        rc = mend_seqs(c, s->ino, at->second, &good);
    *indexed += good.n + same.n;
    return rc || !c->repair ? rc : rename_entries(c, s->ino, &same);
}

/* ---- entries that no list leads to ---- */

static int visit_entry(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct dentry d;
    struct place p = {.d = &d};
    struct seqs seqs;
    struct slice value;
    struct text t;
    struct key k;
    unsigned i = 0;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_two(key, KEY_DENTRY, &p.dir, &p.seq) || !seq_valid(p.seq) ||
        !entry_decode(value, &d))
        return 0; /* told already */
    rc = lsm_get(c->db, NULL, key_names(&k, p.dir, name_hash(c->hash_seed, d.name)),
                 &c->value);
    if (!rc && !seqs_decode(c->value.value, &seqs)) {
        while (i < seqs.n && seqs.seq[i] != p.seq)
            i++;
        if (i < seqs.n)
            return 0;
    }
    if (rc && rc != -ENOENT)
        return rc;
    if (!c->seed_lost)
        problem(c, "put there", "%s: the name is not in the index",
                text_entry(c, p.dir, d.name, &t));
    return mend_index(c, &p);
}

static int find_missing(struct check *c, uint64_t dir)
{
    struct key from, to;

    return visit_range(c, key_dentry(&from, dir, 0), key_dentry(&to, dir + 1, 0),
                       visit_entry);
}

/* ---- the whole ---- */

static int drop_lists(struct check *c, struct subject *s, struct cursor *at)
{
    struct text t;
    int rc = 0;

    if (at->ino == s->ino)
        problem(c, "removed", "%s: no directory, but has an index of names",
                text_inode(c, s->ino, &t));
    while (!rc && at->ino == s->ino) {
        rc = cursor_drop(c, at);
        if (!rc)
            rc = cursor_next(c, at);
    }
    return rc;
}

int check_names(struct check *c, struct subject *s, struct cursor *at)
{
    bool unknown = c->seed_lost && !c->repair; /* what the hashes should be */
    uint64_t indexed = 0;
    int rc = 0;

    if (!record_is_dir(&s->rec))
        return drop_lists(c, s, at);
    while (!rc && at->ino == s->ino) {
        if (!unknown)
            rc = visit_list(c, s, at, &indexed);
        if (!rc)
            rc = cursor_next(c, at);
    }
    if (rc || unknown || indexed == known_find(&c->inodes, s->ino)->entries)
        return rc;
    return find_missing(c, s->ino);
}
