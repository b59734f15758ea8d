/*
 * check_entries.c - the first two passes: which numbers have records, and which
 * entries are as they should be. The others, which want everything known first, are
 * only counted here; check_doubt.c looks at them again.
 */
#include "mend.h"

bool entry_decode(struct slice value, struct dentry *d)
{
    return !dentry_decode(value, d) && d->ino <= NUMBER_LIMIT;
}

/* ---- records under I ---- */

static int give_up_record(struct check *c, struct slice key, uint64_t ino,
                          const char *why)
{
    problem(c, "given up", "inode %" PRIu64 ": %s", ino, why);
    return mend_drop(c, key);
}

static int visit_record(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct record rec;
    struct slice value;
    struct known *k;
    uint64_t ino, tree;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_one(key, KEY_INODE, &ino) || !ino_valid(ino))
        return bad_key(c, key, "an inode");
    if (record_decode_tree(value, &rec, &tree))
        return give_up_record(c, key, ino, "its record makes no sense");
    if (ino == FS_ROOT && !record_is_dir(&rec))
        return give_up_record(c, key, ino, "it is the root, but no directory");
    k = known_add(&c->inodes, ino);
    if (!k)
        return -ENOMEM;
    k->bits |= KNOWN_KEY;
    c->bytes += usage_of(&rec);
    c->labelled += tree != 0;
    known_set_type(k, rec.mode);
    if (record_is_dir(&rec))
        k->parent = rec.dir.parent <= NUMBER_LIMIT ? rec.dir.parent : 0;
    if (ino == FS_ROOT) {
        c->uid = rec.uid;
        c->gid = rec.gid;
    }
    return 0;
}

static int check_root(struct check *c)
{
    struct known *root = known_add(&c->inodes, FS_ROOT);
    bool made;
    int rc = 0;

    if (!root)
        return -ENOMEM;
    if (!has_record(root))
        rc = remake(c, FS_ROOT, S_IFDIR, &made);
    root->bits |= KNOWN_PLACED | KNOWN_REACHED;
    root->parent = 0; /* no entry leads to it */
    return rc;
}

int check_records(struct check *c)
{
    int rc = visit_letter(c, KEY_INODE, visit_record);

    return rc ? rc : check_root(c);
}

/* ---- entries ---- */

bool entry_is_dir(const struct check *c, const struct dentry *d)
{
    const struct known *k = known_find(&c->inodes, d->ino);

    return (has_record(k) ? known_type(k) : d->type) == S_IFDIR;
}

/* Is the entry right, as far as is known now? Everything under I is. */
static bool entry_fits(const struct check *c, uint64_t dir, uint64_t seq,
                       const struct dentry *d)
{
    const struct known *at = known_find(&c->inodes, seq);
    const struct known *to = known_find(&c->inodes, d->ino);

    if (!known_is_dir(known_find(&c->inodes, dir)) || (at && at->bits & KNOWN_PLACED))
        return false;
    if (d->embedded)
        return seq == d->ino && !has_record(to);
    if (!to || !(to->bits & KNOWN_KEY) || known_type(to) != d->type)
        return false;
    if (d->type == S_IFDIR)
        return seq == d->ino && to->parent == dir;
    return seq == d->ino || !has_record(at);
}

static int note_entry(struct check *c, uint64_t dir, uint64_t seq, const struct dentry *d)
{
    struct known *at = known_add(&c->inodes, seq), *to;

    if (!at)
        return -ENOMEM;
    at->parent = dir;
    at->bits |= KNOWN_PLACED;
    if (d->embedded) {
        note_embedded(c, at, &d->rec);
        return 0;
    }
    to = known_find(&c->inodes, d->ino);
    to->names += to->names < UINT32_MAX;
    if (dir == FS_ROOT && d->type == S_IFDIR &&
        slice_eq(d->name, slice_str("lost+found")))
        c->lost_found = d->ino;
    return 0;
}

void note_embedded(struct check *c, struct known *k, const struct record *rec)
{
    c->bytes += usage_of(rec);
    k->bits |= KNOWN_EMBEDDED;
    known_set_type(k, rec->mode);
    if ((rec->flags & ~(uint32_t)REC_COMPRESSION) || (record_is_file(rec) &&
                       (rec->file.extents || rec->file.bytes || rec->file.unwritten)))
        k->bits |= KNOWN_WANTS;
}

static int count_entry(struct check *c, uint64_t dir, const struct dentry *d)
{
    struct known *k = known_add(&c->inodes, dir);

    if (!k)
        return -ENOMEM;
    k->entries += k->entries < UINT32_MAX;
    k->subdirs += k->subdirs < UINT32_MAX && entry_is_dir(c, d);
    return 0;
}

static int visit_entry(struct check *c, struct slice key, struct lsm_iter *it)
{
    uint64_t dir, seq;
    struct slice value;
    struct dentry d;
    struct text t;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_two(key, KEY_DENTRY, &dir, &seq) || !ino_valid(dir) || !seq_valid(seq))
        return bad_key(c, key, "an entry");
    if (!entry_decode(value, &d)) {
        problem(c, "given up, with the name", "%s: its entry %" PRIu64 " makes no sense",
                text_inode(c, dir, &t), seq);
        return mend_drop(c, key);
    }
    if (c->top < (seq > d.ino ? seq : d.ino))
        c->top = seq > d.ino ? seq : d.ino;
    rc = count_entry(c, dir, &d);
    if (rc)
        return rc;
    if (entry_fits(c, dir, seq, &d))
        return note_entry(c, dir, seq, &d);
    c->doubtful++;
    return 0;
}

int check_entries(struct check *c)
{
    return visit_letter(c, KEY_DENTRY, visit_entry);
}
