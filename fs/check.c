/*
 * check.c - fs_check: does everything in the store agree with everything else?
 *
 * One iterator per kind of key, in an order such that each finds what it needs
 * from the ones before: inodes, entries (which embed the rest of the inodes),
 * extents, name lists, orphans, extended attributes, unwritten ranges. Entries
 * and name lists are checked against each other by gets. What is known of each
 * inode is kept in a hash table (known.h): memory grows with the number of
 * inodes, 200 to 410 bytes each, not with names or contents. What files hold is
 * in check_extents.c, attributes in check_xattr.c.
 *
 * Not a problem: the count of inodes (S count) and of what is used (S used), which
 * are written lazily and may be off after a crash; numbers that were skipped. Damaged blocks are the
 * engine's to find (lsm_verify); here they end the check with an error.
 */
#include "check_impl.h"

#include <stdarg.h>

void problem(struct check *c, const char *fmt, ...)
{
    char line[256];
    va_list ap;

    c->problems++;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (c->report)
        c->report(c->arg, line);
}

/* ---- one kind of key after the other ---- */

static int visit_all(struct check *c, enum key_letter letter, visit_fn *fn)
{
    uint8_t first = (uint8_t)letter, after = (uint8_t)(letter + 1);
    struct slice lower = slice_of(&first, 1), upper = slice_of(&after, 1);
    struct lsm_iter_options o = {.snap = c->snap, .lower = &lower, .upper = &upper};
    struct lsm_iter *it;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    for (lsm_iter_first(it); !rc && lsm_iter_valid(it); lsm_iter_next(it))
        rc = fn(c, lsm_iter_key(it), it);
    if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

static void saw_number(struct check *c, uint64_t n)
{
    if (n > c->highest)
        c->highest = n;
}

static void note_record(struct check *c, struct known *k, const struct record *rec)
{
    saw_number(c, k->ino);
    c->bytes += usage_of(rec);
    c->n_inodes++;
    k->mode = rec->mode;
    k->nlink = rec->nlink;
    k->flags = rec->flags;
    if (record_is_file(rec)) {
        k->size = rec->file.size;
        k->bytes = rec->file.bytes;
        k->extents = rec->file.extents;
        k->unwritten = rec->file.unwritten;
        k->run_bytes = rec->run_bytes;
        k->run_count = rec->run_count;
        k->run_at = k->size - k->run_bytes;
    } else if (record_is_dir(rec)) {
        k->size = rec->dir.parent;
        k->bytes = rec->dir.entries;
        k->extents = rec->dir.subdirs;
    }
}

static int visit_inode(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct record rec;
    struct slice value;
    struct known *k;
    uint64_t ino;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_one(key, KEY_INODE, &ino) || !ino || ino > INO_MAX ||
        (ino < INO_FIRST && ino != FS_ROOT)) {
        problem(c, "bad inode key");
        return 0;
    }
    if (record_decode(value, &rec)) {
        problem(c, "inode %" PRIu64 ": bad record", ino);
        return 0;
    }
    k = known_add(&c->inodes, ino);
    if (!k)
        return -ENOMEM;
    k->has_key = true;
    note_record(c, k, &rec);
    return 0;
}

/* ---- entries ---- */

/* Does the index lead to this entry? */
static int check_indexed(struct check *c, uint64_t parent, uint64_t seq,
                         struct slice name)
{
    struct seqs seqs;
    struct key k;
    unsigned i;
    int rc = lsm_get(c->db, c->snap, key_names(&k, parent, name_hash(c->hash_seed, name)),
                     &c->value);

    if (rc && rc != -ENOENT)
        return rc;
    if (!rc && !seqs_decode(c->value.value, &seqs)) {
        for (i = 0; i < seqs.n; i++) {
            if (seqs.seq[i] == seq)
                return 0;
        }
    }
    problem(c, "entry %" PRIu64 " of directory %" PRIu64 ": its name is not indexed", seq,
            parent);
    return 0;
}

static int note_dentry(struct check *c, uint64_t parent, uint64_t seq,
                       const struct dentry *d)
{
    struct known *k;

    k = known_add(&c->inodes, parent);
    if (!k)
        return -ENOMEM;
    k->entries++;
    k->subdirs += d->type == S_IFDIR;
    k = known_add(&c->inodes, d->ino);
    if (!k)
        return -ENOMEM;
    saw_number(c, d->ino);
    saw_number(c, seq);
    k->names++;
    k->parent = parent;
    if (!d->embedded) {
        if (has_record(k) && (k->mode & S_IFMT) != d->type)
            problem(c, "entry %" PRIu64 " of directory %" PRIu64 ": wrong type", seq,
                    parent);
        return 0;
    }
    if (has_record(k)) {
        problem(c, "inode %" PRIu64 ": has two records", d->ino);
        return 0;
    }
    k->embedded = true;
    note_record(c, k, &d->rec);
    return 0;
}

static int visit_dentry(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct slice value;
    struct dentry d;
    uint64_t parent, seq;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_two(key, KEY_DENTRY, &parent, &seq) || !parent || parent > INO_MAX ||
        seq < INO_FIRST || seq > INO_MAX) {
        problem(c, "bad entry key");
        return 0;
    }
    if (dentry_decode(value, &d)) {
        problem(c, "entry %" PRIu64 " of directory %" PRIu64 ": bad record", seq, parent);
        return 0;
    }
    c->n_dentries++;
    rc = note_dentry(c, parent, seq, &d);
    return rc ? rc : check_indexed(c, parent, seq, d.name);
}

/* ---- the name index ---- */

/* The name of an entry, copied; one that is not there or damaged has length 0. */
static int get_name(struct check *c, uint64_t parent, uint64_t seq,
                    uint8_t name[FS_NAME_MAX], size_t *len)
{
    struct dentry d;
    struct key k;
    int rc = lsm_get(c->db, c->snap, key_dentry(&k, parent, seq), &c->value);

    *len = 0;
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    if (dentry_decode(c->value.value, &d))
        return 0;
    memcpy(name, d.name.data, d.name.len);
    *len = d.name.len;
    return 0;
}

static int check_list(struct check *c, uint64_t parent, uint64_t hash,
                      const struct seqs *seqs)
{
    uint8_t name[SEQS_MAX][FS_NAME_MAX];
    size_t len[SEQS_MAX];
    unsigned i, j;

    for (i = 0; i < seqs->n; i++) {
        int rc = get_name(c, parent, seqs->seq[i], name[i], &len[i]);
        struct slice s = slice_of(name[i], len[i]);

        if (rc)
            return rc;
        if (!len[i] || name_hash(c->hash_seed, s) != hash)
            problem(c,
                    "directory %" PRIu64 ": the index leads to entry %" PRIu64
                    ", which has another name or is missing",
                    parent, seqs->seq[i]);
        for (j = 0; j < i; j++) {
            if (len[i] && slice_eq(s, slice_of(name[j], len[j])))
                problem(c,
                        "directory %" PRIu64 ": entries %" PRIu64 " and %" PRIu64
                        " have one name",
                        parent, seqs->seq[j], seqs->seq[i]);
        }
    }
    c->n_indexed += seqs->n;
    return 0;
}

static int visit_names(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct slice value;
    struct seqs seqs;
    uint64_t parent, hash;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (!key_parse_two(key, KEY_NAMES, &parent, &hash)) {
        problem(c, "bad name key");
        return 0;
    }
    if (seqs_decode(value, &seqs)) {
        problem(c, "directory %" PRIu64 ": bad name list", parent);
        return 0;
    }
    return check_list(c, parent, hash, &seqs);
}

/* ---- orphans, unknown keys ---- */

static int visit_orphan(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct known *k;
    uint64_t ino;

    if (!key_parse_one(key, KEY_ORPHAN, &ino)) {
        problem(c, "bad orphan key");
        return 0;
    }
    k = known_find(&c->inodes, ino);
    if (!k || !k->has_key)
        problem(c, "orphan %" PRIu64 " has no inode", ino);
    else
        k->orphan = true;
    return 0;
}

/* Is there a key that is none of ours? Skips over ours. */
static int check_letters(struct check *c)
{
    static const char ours[] = "DEINOSUX";
    struct lsm_iter_options o = {.snap = c->snap};
    struct lsm_iter *it;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    lsm_iter_first(it);
    while (lsm_iter_valid(it)) {
        struct slice key = lsm_iter_key(it);
        uint8_t letter = key.len ? key.data[0] : 0;

        if (letter && strchr(ours, letter)) {
            letter++;
            lsm_iter_seek(it, slice_of(&letter, 1));
            continue;
        }
        problem(c, "a key of unknown kind %u", letter);
        lsm_iter_next(it);
    }
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

/* ---- what was found against what the records say ---- */

static void check_dir(struct check *c, const struct known *k)
{
    bool root = k->ino == FS_ROOT;

    if (k->entries != k->bytes || k->subdirs != k->extents)
        problem(c,
                "directory %" PRIu64 ": has %" PRIu64 " entries, %" PRIu64
                " of them directories, not %" PRIu64 ", %" PRIu64,
                k->ino, k->entries, k->subdirs, k->bytes, k->extents);
    if (k->names != !root)
        problem(c, "directory %" PRIu64 ": has %" PRIu64 " names", k->ino, k->names);
    else if (k->size != (root ? FS_ROOT : k->parent))
        problem(c, "directory %" PRIu64 ": wrong parent %" PRIu64, k->ino, k->size);
    if (k->nlink != 1)
        problem(c, "directory %" PRIu64 ": link count %" PRIu32, k->ino, k->nlink);
}

static void check_inode(struct check *c, const struct known *k)
{
    if (!has_record(k)) {
        problem(
            c, "inode %" PRIu64 ": has no record, %" PRIu64 " names, %" PRIu64 " entries",
            k->ino, k->names, k->entries);
        return;
    }
    check_xattrs(c, k);
    if (S_ISDIR(k->mode)) {
        check_dir(c, k);
        return;
    }
    if (k->entries)
        problem(c, "inode %" PRIu64 ": has entries but is no directory", k->ino);
    if (k->nlink != k->names)
        problem(c, "inode %" PRIu64 ": link count %" PRIu32 ", but %" PRIu64 " names",
                k->ino, k->nlink, k->names);
    if (k->orphan != !k->nlink)
        problem(c, "inode %" PRIu64 ": %s", k->ino,
                k->orphan ? "an orphan with links" : "no links, but no orphan");
    if (S_ISREG(k->mode))
        check_file(c, k);
}

/* Follow the parents up to the root or to where somebody has been; a way longer than
 * there are inodes is a loop. Then mark the way. */
static void check_reach(struct check *c, struct known *dir)
{
    struct known *k = dir;
    uint64_t steps = 0;

    while (k && !k->reached && k->ino != FS_ROOT && steps++ <= c->inodes.used)
        k = k->names == 1 ? known_find(&c->inodes, k->parent) : NULL;
    if (!k || (!k->reached && k->ino != FS_ROOT)) {
        problem(c, "directory %" PRIu64 ": cannot be reached from the root", dir->ino);
        return;
    }
    for (k = dir; !k->reached && k->ino != FS_ROOT; k = known_find(&c->inodes, k->parent))
        k->reached = true;
}

static void check_known(struct check *c)
{
    struct known *root = known_find(&c->inodes, FS_ROOT);
    uint64_t i;

    if (!root || !root->has_key || !S_ISDIR(root->mode))
        problem(c, "there is no root directory");
    for (i = 0; i < c->inodes.slots; i++) {
        struct known *k = &c->inodes.slot[i];

        if (!k->ino)
            continue;
        check_inode(c, k);
        if (has_record(k) && S_ISDIR(k->mode))
            check_reach(c, k);
    }
    if (c->n_indexed != c->n_dentries)
        problem(c, "%" PRIu64 " entries, but %" PRIu64 " in the index", c->n_dentries,
                c->n_indexed);
    if (c->next <= c->highest)
        problem(c, "the counter is at %" PRIu64 ", but %" PRIu64 " is in use", c->next,
                c->highest);
}

/* With a limit, and when the last unmount was a clean one, what is used is known. */
static int check_used(struct check *c)
{
    struct used used;
    uint64_t count = 0;
    int rc = lsm_get(c->db, c->snap, key_used(), &c->value);

    if (rc && rc != -ENOENT)
        return rc;
    if (rc || used_decode(c->value.value, &used)) {
        problem(c, "bad record of what is used");
        return 0;
    }
    if (!used.exact)
        return 0;
    rc = lsm_get(c->db, c->snap, key_count(), &c->value);
    if (rc && rc != -ENOENT)
        return rc;
    if (rc || counter_decode(c->value.value, &count) || used.bytes != c->bytes ||
        count != c->n_inodes)
        problem(c,
                "%" PRIu64 " bytes and %" PRIu64 " inodes are in use, not %" PRIu64
                ", %" PRIu64,
                c->bytes, c->n_inodes, used.bytes, count);
    return 0;
}

/* ---- the whole ---- */

static int read_super(struct check *c)
{
    struct super super = {0};
    int rc = lsm_get(c->db, c->snap, key_super(), &c->value);

    if (rc)
        return rc == -ENOENT ? -ENODATA : rc;
    rc = super_decode(c->value.value, &super);
    if (rc == -EPROTONOSUPPORT)
        return rc;
    if (rc)
        problem(c, "bad superblock");
    c->hash_seed = super.hash_seed;
    c->limited = super.limit_bytes || super.limit_inodes;
    rc = lsm_get(c->db, c->snap, key_next(), &c->value);
    if (rc && rc != -ENOENT)
        return rc;
    if (rc || counter_decode(c->value.value, &c->next))
        problem(c, "bad counter of numbers");
    return 0;
}

static int check_all(struct check *c)
{
    static const struct {
        enum key_letter letter;
        visit_fn *fn;
    } kinds[] = {
        {KEY_INODE, visit_inode},         {KEY_DENTRY, visit_dentry},
        {KEY_EXTENT, visit_extent},       {KEY_NAMES, visit_names},
        {KEY_ORPHAN, visit_orphan},       {KEY_XATTR, visit_xattr},
        {KEY_UNWRITTEN, visit_unwritten},
    };
    int rc = read_super(c);
    unsigned i;

    for (i = 0; !rc && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        rc = visit_all(c, kinds[i].letter, kinds[i].fn);
    if (!rc)
        rc = check_letters(c);
    if (!rc)
        check_known(c);
    /* Of a damaged tree it is not known what is in use. */
    if (!rc && c->limited && !c->problems)
        rc = check_used(c);
    return rc;
}

int fs_check(struct lsm *db, fs_report_fn *report, void *arg, uint64_t *problems)
{
    struct check c = {.db = db, .report = report, .arg = arg};
    int rc;

    c.snap = lsm_snapshot_new(db);
    if (!c.snap)
        return -ENOMEM;
    rc = check_all(&c);
    lsm_snapshot_free(db, c.snap);
    lsm_value_release(&c.value);
    known_release(&c.inodes);
    *problems = c.problems;
    return rc;
}
