/*
 * check_inode.c - each inode beside all that lies under its number: contents,
 * attributes, names, the note that it is an orphan; and its links.
 *
 * One iterator for each kind of key, and all go up by inode number together, so that
 * an inode's record is read once, corrected in memory by whoever finds something, and
 * written once. Of embedded inodes only those are read that have such keys, or say
 * that they have.
 */
#include "mend.h"

/* ---- cursors ---- */

static const struct {
    enum key_letter letter;
    const char *kind;
} kinds[] = {
    {KEY_INODE, "an inode"},     {KEY_NAMES, "a name list"},
    {KEY_EXTENT, "an extent"},   {KEY_UNWRITTEN, "an unwritten range"},
    {KEY_XATTR, "an attribute"}, {KEY_ORPHAN, "an orphan"},
};

enum {
    AT_INODE,
    AT_NAMES,
    AT_EXTENT,
    AT_UNWRITTEN,
    AT_XATTR,
    AT_ORPHAN,
    CURSORS,
};

/* Is it a key of this kind? Then ino, second and name are its parts. */
static bool cursor_parse(struct cursor *at, struct slice key)
{
    switch (at->letter) {
    case KEY_INODE:
    case KEY_ORPHAN:
        return key_parse_one(key, at->letter, &at->ino);
    case KEY_XATTR:
        return key_parse_xattr(key, &at->ino, &at->name);
    default:
        return key_parse_two(key, at->letter, &at->ino, &at->second);
    }
}

static const char *kind_of(const struct cursor *at)
{
    unsigned i = 0;

    while (kinds[i].letter != at->letter)
        i++;
    return kinds[i].kind;
}

/* Where the iterator is now, or the first good key after it. */
static int cursor_settle(struct check *c, struct cursor *at)
{
    for (; lsm_iter_valid(at->it); lsm_iter_next(at->it)) {
        int rc = 0;

        if (cursor_parse(at, lsm_iter_key(at->it)) && ino_valid(at->ino))
            return 0;
        if (at->letter != KEY_INODE) /* those were told of */
            rc = bad_key(c, lsm_iter_key(at->it), kind_of(at));
        if (rc)
            return rc;
    }
    at->ino = UINT64_MAX;
    return lsm_iter_error(at->it);
}

int cursor_next(struct check *c, struct cursor *at)
{
    lsm_iter_next(at->it);
    return cursor_settle(c, at);
}

int cursor_drop(struct check *c, struct cursor *at)
{
    return mend_drop(c, lsm_iter_key(at->it));
}

static int cursor_open(struct check *c, struct cursor *at, enum key_letter letter)
{
    uint8_t first = (uint8_t)letter, after = (uint8_t)(letter + 1);
    struct slice lower = slice_of(&first, 1), upper = slice_of(&after, 1);
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    int rc = lsm_iter_new(c->db, &o, &at->it);

    at->letter = letter;
    if (rc)
        return rc;
    lsm_iter_first(at->it);
    return cursor_settle(c, at);
}

/* ---- the record ---- */

int subject_load(struct check *c, uint64_t ino, struct subject *s)
{
    const struct known *k = known_find(&c->inodes, ino);
    struct dentry d;
    struct key key;
    int rc;

    *s = (struct subject){.ino = ino, .bits = k ? k->bits : 0};
    if (!(s->bits & (KNOWN_KEY | KNOWN_EMBEDDED)))
        return 0;
    s->quiet = s->bits & KNOWN_MADE;
    if (s->bits & KNOWN_KEY) {
        rc = lsm_get(c->db, NULL, key_inode(&key, ino), &s->value);
        s->exists = !rc && !record_decode_tree(s->value.value, &s->rec, &s->tree);
    } else {
        rc = lsm_get(c->db, NULL, key_dentry(&key, k->parent, ino), &s->value);
        s->exists =
            !rc && !dentry_decode(s->value.value, &d) && d.embedded && d.ino == ino;
        if (s->exists) {
            s->rec = d.rec;
            s->embedded_name = d.name;
            s->home = k->parent;
        }
    }
    return rc == -ENOENT ? 0 : rc;
}

void subject_release(struct subject *s)
{
    lsm_value_release(&s->value);
}

/* ---- numbers without a record ---- */

/* Count and remove the keys of that kind; their bytes too, if they are contents. */
static int give_up_keys(struct check *c, uint64_t ino, struct cursor *at, uint64_t *keys,
                        uint64_t *bytes)
{
    int rc = 0;

    *keys = *bytes = 0;
    while (!rc && at->ino == ino) {
        ++*keys;
        *bytes += lsm_iter_value_len(at->it);
        rc = cursor_drop(c, at);
        if (!rc)
            rc = cursor_next(c, at);
    }
    return rc;
}

static int give_up(struct check *c, uint64_t ino, struct cursor *at)
{
    uint64_t keys, bytes;
    unsigned i;
    int rc = 0;

    for (i = 0; i < CURSORS && !rc; i++) {
        if (at[i].ino != ino)
            continue;
        rc = give_up_keys(c, ino, &at[i], &keys, &bytes);
        if (rc || i == AT_INODE) /* it was told of */
            continue;
        if (i == AT_EXTENT)
            problem(c, "given up",
                    "inode %" PRIu64 ": does not exist, but has %" PRIu64
                    " bytes of contents in %" PRIu64 " extents",
                    ino, bytes, keys);
        else
            problem(c, "removed",
                    "inode %" PRIu64 ": does not exist, but there is %s of it (%" PRIu64
                    ")",
                    ino, kinds[i].kind, keys);
    }
    return rc;
}

/* Contents that nothing leads to are worth a file; a note that they were to be deleted
 * says that they are not. */
static int visit_nobody(struct check *c, uint64_t ino, struct cursor *at, bool *made)
{
    *made = false;
    if (at[AT_EXTENT].ino == ino && at[AT_ORPHAN].ino != ino)
        return remake(c, ino, 0, made);
    return 0;
}

/* ---- links ---- */

static int check_orphan(struct check *c, struct subject *s, struct cursor *at)
{
    struct text t;
    struct key k;
    bool noted = at->ino == s->ino, wanted = !s->rec.nlink && !(s->bits & KNOWN_EMBEDDED);
    int rc = 0;

    if (noted && wanted && lsm_iter_value_len(at->it)) {
        problem(c, "removed", "%s: the note that it is an orphan says more than that",
                text_inode(c, s->ino, &t));
        rc = mend_put(c, key_orphan(&k, s->ino), slice_of(NULL, 0));
    } else if (noted && !wanted) {
        problem(c, "no longer noted", "%s: noted as an orphan, but has links",
                text_inode(c, s->ino, &t));
        rc = cursor_drop(c, at);
    } else if (!noted && wanted) {
        problem(c, "noted; the next mount removes it",
                "%s: has no links, and is not noted as an orphan",
                text_inode(c, s->ino, &t));
        rc = mend_put(c, key_orphan(&k, s->ino), slice_of(NULL, 0));
    }
    return !rc && noted ? cursor_next(c, at) : rc;
}

static void set_links(struct check *c, struct subject *s, uint32_t names)
{
    struct text t;

    if (s->rec.nlink == names)
        return;
    if (!s->quiet)
        problem(c, "set right", "%s: says %" PRIu32 " links, but has %" PRIu32 " names",
                text_inode(c, s->ino, &t), s->rec.nlink, names);
    s->rec.nlink = names;
    s->changed = true;
}

/* After everything else: its record may be written here. */
static int check_links(struct check *c, struct subject *s, struct cursor *orphan)
{
    const struct known *k = known_find(&c->inodes, s->ino);
    bool lost = !(s->bits & KNOWN_EMBEDDED) && !record_is_dir(&s->rec) && !k->names &&
                (s->rec.nlink || s->quiet);
    struct text t;
    int rc;

    if (record_is_dir(&s->rec))
        set_links(c, s, 1);
    else if (!(s->bits & KNOWN_EMBEDDED) && k->names)
        set_links(c, s, k->names);
    rc = check_orphan(c, s, orphan);
    if (!rc && s->changed)
        rc = mend_record(c, s);
    if (rc || !lost)
        return rc;
    if (!s->quiet)
        problem(c, "moved to /lost+found",
                "%s: says %" PRIu32 " links, but nobody names it",
                text_inode(c, s->ino, &t), s->rec.nlink);
    return mend_lost(c, s->ino, 0);
}

/* ---- directories ---- */

static void check_counts(struct check *c, struct subject *s)
{
    const struct known *k = known_find(&c->inodes, s->ino);
    struct text t;

    if (s->ino == FS_ROOT && s->rec.dir.parent != FS_ROOT) {
        problem(c, "set right", "the root says that it lies in directory %" PRIu64,
                s->rec.dir.parent);
        s->rec.dir.parent = FS_ROOT;
        s->changed = true;
    }
    if (s->rec.dir.entries == k->entries && s->rec.dir.subdirs == k->subdirs)
        return;
    if (!s->quiet)
        problem(c, "set right",
                "%s: says %" PRIu64 " entries, %" PRIu32
                " of them directories, but has %" PRIu32 ", %" PRIu32,
                text_inode(c, s->ino, &t), s->rec.dir.entries, s->rec.dir.subdirs,
                k->entries, k->subdirs);
    s->rec.dir.entries = k->entries;
    s->rec.dir.subdirs = k->subdirs;
    s->changed = true;
}

/* ---- one inode ---- */

static int check_subject(struct check *c, struct subject *s, struct cursor *at)
{
    int rc = check_extents(c, s, &at[AT_EXTENT]);

    if (!rc)
        rc = check_unwritten(c, s, &at[AT_UNWRITTEN]);
    if (!rc)
        rc = check_xattrs(c, s, &at[AT_XATTR]);
    if (!rc)
        rc = check_names(c, s, &at[AT_NAMES]);
    if (rc)
        return rc;
    if (record_is_dir(&s->rec))
        check_counts(c, s);
    if (at[AT_INODE].ino == s->ino)
        rc = cursor_next(c, &at[AT_INODE]);
    return rc ? rc : check_links(c, s, &at[AT_ORPHAN]);
}

/* What is known of it, but not read: a record that this check would make. */
static int pass_over(struct check *c, uint64_t ino, struct cursor *at)
{
    unsigned i;
    int rc = 0;

    for (i = 0; i < CURSORS; i++) {
        while (!rc && at[i].ino == ino)
            rc = cursor_next(c, &at[i]);
    }
    return rc;
}

/* Does what lies under the number of an orphan go with a record like that? */
static bool goes_with(uint64_t ino, const struct record *rec, const struct cursor *at)
{
    bool file = record_is_file(rec);

    return at[AT_INODE].ino != ino && at[AT_NAMES].ino != ino &&
           (at[AT_EXTENT].ino != ino || (file && rec->file.extents)) &&
           (at[AT_UNWRITTEN].ino != ino || (file && rec->file.unwritten)) &&
           (at[AT_XATTR].ino != ino || (rec->flags & REC_XATTR));
}

/* An orphan with its record under O: the next mount removes it, and what is its own. */
static bool is_leaving(struct check *c, uint64_t ino, struct cursor *at)
{
    struct slice value;
    struct record rec;
    uint64_t tree;

    if (at[AT_ORPHAN].ino != ino || lsm_iter_value(at[AT_ORPHAN].it, &value) ||
        orphan_decode(value, &rec, &tree) || !goes_with(ino, &rec, at))
        return false;
    c->bytes += usage_of(&rec);
    c->leaving++;
    return true;
}

static int pass_leaving(struct check *c, uint64_t ino, struct cursor *at)
{
    struct cursor *x = &at[AT_XATTR];
    int rc = 0;

    while (!rc && x->ino == ino) {
        c->bytes += (uint64_t)usage_of_xattr(x->name.len, lsm_iter_value_len(x->it));
        rc = cursor_next(c, x);
    }
    return rc ? rc : pass_over(c, ino, at);
}

static int visit_number(struct check *c, uint64_t ino, struct cursor *at)
{
    struct known *k = known_find(&c->inodes, ino);
    struct subject s;
    bool made = has_record(k);
    int rc;

    if (!made && is_leaving(c, ino, at))
        return pass_leaving(c, ino, at);
    rc = made ? 0 : visit_nobody(c, ino, at, &made);
    if (rc || !made)
        return rc ? rc : give_up(c, ino, at);
    known_find(&c->inodes, ino)->bits |= KNOWN_VISITED;
    rc = subject_load(c, ino, &s);
    if (!rc)
        rc = s.exists ? check_subject(c, &s, at) : pass_over(c, ino, at);
    subject_release(&s);
    return rc;
}

/* ---- the pass ---- */

static int visit_all(struct check *c, struct cursor *at)
{
    int rc = 0;

    while (!rc) {
        uint64_t least = UINT64_MAX;
        unsigned i;

        for (i = 0; i < CURSORS; i++)
            least = at[i].ino < least ? at[i].ino : least;
        if (least == UINT64_MAX)
            break;
        rc = visit_number(c, least, at);
    }
    return rc;
}

/* Embedded inodes that say they have what there was no sign of. */
static int visit_wanting(struct check *c, struct cursor *at)
{
    uint64_t i = 0, slots = c->inodes.slots;
    int rc = 0;

    while (i < slots && !rc) {
        const struct known *k = &c->inodes.slot[i++];

        if ((k->bits & (KNOWN_WANTS | KNOWN_VISITED)) == KNOWN_WANTS)
            rc = visit_number(c, k->ino, at);
        if (c->inodes.slots != slots) {
            slots = c->inodes.slots;
            i = 0;
        }
    }
    return rc;
}

int check_inodes(struct check *c)
{
    struct cursor at[CURSORS] = {0};
    unsigned i;
    int rc = 0;

    for (i = 0; i < CURSORS && !rc; i++)
        rc = cursor_open(c, &at[i], kinds[i].letter);
    if (!rc)
        rc = visit_all(c, at);
    if (!rc)
        rc = visit_wanting(c, at);
    for (i = 0; i < CURSORS; i++)
        lsm_iter_free(at[i].it);
    return rc;
}
