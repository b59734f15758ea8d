/*
 * check_doubt.c - the entries that did not fit at first sight (check_entries.c), now
 * that all records are known: each is made to fit, or goes. In a sound store there
 * are none, and this pass is skipped.
 *
 * Records that are lost are made anew here where something depends on them: a
 * directory that has entries, a file that has contents. So the damage of one record
 * does not scatter what lies below it.
 */
#include "mend.h"

/* ---- lost records ---- */

/* Where the contents of a file end; 0: there are none. */
static int find_end(struct check *c, uint64_t ino, uint64_t *end)
{
    struct lsm_iter_options o = {0};
    struct lsm_iter *it;
    uint64_t other, at;
    struct key k;
    int rc = lsm_iter_new(c->db, &o, &it);

    *end = 0;
    if (rc)
        return rc;
    lsm_iter_seek_prev(it, key_extent(&k, ino, FS_SIZE_MAX));
    if (lsm_iter_valid(it) && key_parse_two(lsm_iter_key(it), KEY_EXTENT, &other, &at) &&
        other == ino)
        *end = at;
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

/* What type has it, by what depends on it? 0: nothing does. */
static int find_type(struct check *c, uint64_t ino, uint32_t *type, uint64_t *size)
{
    bool entries = false;
    int rc = exists_under(c, KEY_DENTRY, ino, &entries);

    *size = 0;
    if (!rc && !entries && *type != S_IFDIR) {
        rc = find_end(c, ino, size);
        *type = *size ? S_IFREG : 0;
    } else if (!rc) {
        *type = S_IFDIR;
    }
    return rc;
}

int remake(struct check *c, uint64_t ino, uint32_t type, bool *made)
{
    bool nameless = !type; /* nothing but its contents is there */
    struct known *k = known_add(&c->inodes, ino);
    struct record rec;
    struct text t;
    uint64_t size;
    int rc = k ? find_type(c, ino, &type, &size) : -ENOMEM;

    *made = !rc && type;
    if (rc || !*made)
        return rc;
    problem(c,
            nameless ? "made anew, for the root's owner only, in /lost+found"
                     : "made anew, for the root's owner only",
            "%s: its record is missing, but there %s", text_inode(c, ino, &t),
            nameless          ? "are contents of it"
            : type == S_IFDIR ? "is a directory of it"
                              : "are a name and contents of it");
    rec = new_record(c, type == S_IFDIR ? S_IFDIR | 0700 : S_IFREG | 0600);
    if (type == S_IFREG)
        rec.file.size = size;
    k->bits |= KNOWN_MADE | (c->repair ? KNOWN_KEY : 0);
    known_set_type(k, type);
    return mend_new_record(c, ino, &rec);
}

/* ---- entries that embed an inode ---- */

/* Has another entry this one's seq, or is it the number of another inode? */
static bool seq_taken(const struct check *c, const struct place *p)
{
    const struct known *at = known_find(&c->inodes, p->seq);

    return at && ((at->bits & KNOWN_PLACED) || (p->seq != p->d->ino && has_record(at)));
}

static int place(struct check *c, const struct place *p)
{
    struct known *at = known_add(&c->inodes, p->seq);

    if (!at)
        return -ENOMEM;
    at->parent = p->dir;
    at->bits |= KNOWN_PLACED;
    return 0;
}

/* Its record has no other place: it stays, or goes under I if this is the wrong one. */
static int doubt_embedded(struct check *c, const struct place *p)
{
    struct known *to;
    struct text t;

    if (p->seq == p->d->ino && !seq_taken(c, p)) {
        int rc = place(c, p);

        if (!rc)
            note_embedded(c, known_find(&c->inodes, p->seq), &p->d->rec);
        return rc;
    }
    to = known_add(&c->inodes, p->d->ino);
    if (!to)
        return -ENOMEM;
    problem(c, "made a link",
            "%s: inode %" PRIu64 " is embedded under a number, %" PRIu64
            ", that is not its own or taken",
            text_entry(c, p->dir, p->d->name, &t), p->d->ino, p->seq);
    to->bits |= KNOWN_MADE;
    known_set_type(to, p->d->type);
    return mend_refer(c, p, p->d->type, seq_taken(c, p), &p->d->rec, 1);
}

/* The inode has a record elsewhere: that under I counts, else the newer one. Two of them
 * is what a rename leaves when the store has lost that the old entry is deleted. */
static int doubt_second_record(struct check *c, const struct place *p, struct known *to)
{
    bool promote = to->bits & KNOWN_EMBEDDED, is_dir = known_type(to) == S_IFDIR;
    struct text t;
    int rc = 0;

    problem(c, is_dir ? "removed" : "made a link to the first",
            "%s: holds a second record of inode %" PRIu64,
            text_entry(c, p->dir, p->d->name, &t), p->d->ino);
    if (is_dir)
        return mend_remove(c, p);
    if (promote)
        rc = mend_promote(c, p->d->ino, &p->d->rec);
    else
        to->names += to->names < UINT32_MAX;
    return rc ? rc : mend_refer(c, p, known_type(to), seq_taken(c, p), NULL, promote);
}

/* ---- references ---- */

/* Is another entry where this one, of a directory, would have to be? */
static int dir_place_taken(struct check *c, const struct place *p, bool *taken)
{
    struct key k;
    int rc = p->seq == p->d->ino
                 ? -ENOENT
                 : lsm_exists(c->db, NULL, key_dentry(&k, p->dir, p->d->ino));

    *taken = !rc;
    return rc == -ENOENT ? 0 : rc;
}

/* The only name of a directory, which its record or its number do not fit. */
static int adopt_dir(struct check *c, const struct place *p, struct known *to)
{
    struct text t;
    int rc;

    if (to->parent != p->dir && !(to->bits & KNOWN_MADE))
        problem(c, "set right",
                "%s: directory %" PRIu64 " says that it lies in directory %" PRIu64,
                text_entry(c, p->dir, p->d->name, &t), p->d->ino, to->parent);
    if (p->seq != p->d->ino)
        problem(c, "given its own",
                "%s: directory %" PRIu64 " lies under a number, %" PRIu64
                ", that is not its own",
                text_entry(c, p->dir, p->d->name, &t), p->d->ino, p->seq);
    to->parent = p->dir;
    to->bits |= KNOWN_PLACED;
    rc = mend_parent(c, p->d->ino, p->dir);
    if (!rc && p->seq != p->d->ino)
        return mend_dir_seq(c, p);
    if (!rc && p->d->type != S_IFDIR)
        rc = mend_refer(c, p, S_IFDIR, false, NULL, 0);
    return rc;
}

/* Directories have one name, and their number is its seq. */
static int doubt_dir(struct check *c, const struct place *p, struct known *to)
{
    struct text t;
    bool taken;
    int rc = dir_place_taken(c, p, &taken);

    if (rc)
        return rc;
    if (!taken && !(to->bits & KNOWN_PLACED))
        return adopt_dir(c, p, to);
    problem(c, "removed", "%s: a second name of directory %" PRIu64 "%s",
            text_entry(c, p->dir, p->d->name, &t), p->d->ino,
            taken ? ", or one that has no place" : "");
    return mend_remove(c, p);
}

static int doubt_file(struct check *c, const struct place *p, struct known *to)
{
    uint32_t type = known_type(to);
    bool embedded = to->bits & KNOWN_EMBEDDED, taken = seq_taken(c, p);
    struct text t;
    int rc = 0;

    if (embedded) {
        problem(c, "both made links",
                "%s: a link to inode %" PRIu64 ", which another entry embeds",
                text_entry(c, p->dir, p->d->name, &t), p->d->ino);
        rc = mend_promote(c, p->d->ino, NULL);
    } else {
        to->names += to->names < UINT32_MAX;
    }
    if (taken)
        problem(c, "given another", "%s: its number %" PRIu64 " is that of another entry",
                text_entry(c, p->dir, p->d->name, &t), p->seq);
    if (!rc && (taken || embedded || p->d->type != type))
        rc = mend_refer(c, p, type, taken, NULL, embedded);
    return rc || taken ? rc : place(c, p);
}

static int doubt_type(struct check *c, const struct place *p, struct known *to)
{
    struct text t;

    if (known_type(to) != p->d->type)
        problem(c, "set right", "%s: says another type than inode %" PRIu64,
                text_entry(c, p->dir, p->d->name, &t), p->d->ino);
    return known_type(to) == S_IFDIR ? doubt_dir(c, p, to) : doubt_file(c, p, to);
}

/* ---- the pass ---- */

static int doubt_target(struct check *c, const struct place *p)
{
    struct known *to = known_find(&c->inodes, p->d->ino);
    struct text t;
    bool made;
    int rc;

    if (p->d->embedded)
        return has_record(to) ? doubt_second_record(c, p, to) : doubt_embedded(c, p);
    if (!has_record(to)) {
        rc = remake(c, p->d->ino, p->d->type, &made);
        if (!rc && !made) {
            problem(c, "removed", "%s: leads to inode %" PRIu64 ", which does not exist",
                    text_entry(c, p->dir, p->d->name, &t), p->d->ino);
            rc = mend_remove(c, p);
        }
        if (rc || !made)
            return rc;
    }
    return doubt_type(c, p, known_find(&c->inodes, p->d->ino));
}

/* It lies in what is no directory. An inode that it embeds goes to lost+found, with
 * nothing more to be said of it (KNOWN_MADE). */
static int misplaced(struct check *c, const struct place *p)
{
    struct known *to = p->d->embedded ? known_add(&c->inodes, p->d->ino) : NULL;
    bool lost = to && !has_record(to);
    struct text t;
    int rc;

    if (p->d->embedded && !to)
        return -ENOMEM;
    problem(c, lost ? "moved to /lost+found" : "removed", "%s: that is no directory",
            text_entry(c, p->dir, p->d->name, &t));
    if (lost)
        known_set_type(to, p->d->type);
    rc = mend_remove(c, p);
    if (lost)
        known_find(&c->inodes, p->d->ino)->bits |= KNOWN_MADE;
    return rc;
}

static int visit_doubtful(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct place p;
    struct dentry d;
    struct slice value;
    bool made;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    p.d = &d;
    if (!key_parse_two(key, KEY_DENTRY, &p.dir, &p.seq) || !ino_valid(p.dir) ||
        !seq_valid(p.seq) || !entry_decode(value, &d) ||
        known_placed(known_find(&c->inodes, p.seq), p.dir))
        return 0; /* told already, or it fits */
    if (!has_record(known_find(&c->inodes, p.dir))) {
        rc = remake(c, p.dir, S_IFDIR, &made);
        if (rc)
            return rc;
    }
    if (known_is_dir(known_find(&c->inodes, p.dir)))
        return doubt_target(c, &p);
    return misplaced(c, &p);
}

int check_doubtful(struct check *c)
{
    return c->doubtful ? visit_letter(c, KEY_DENTRY, visit_doubtful) : 0;
}
