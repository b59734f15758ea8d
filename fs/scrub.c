/*
 * scrub.c - fs_scrub: the engine verifies every byte; what it finds damaged is told by
 * the files concerned.
 *
 * The engine tells keys: of a value the one, of a table's block between which two they
 * lie. What that means to a user is asked of the store itself afterwards: a file
 * whose contents may be concerned is read there, and named if that fails. So what was
 * deleted or overwritten since is told as that, and old versions frighten nobody.
 * Names are found in the end, by one scan for all (paths.h).
 */
#include "fs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "keys.h"
#include "paths.h"
#include "record.h"

enum {
    LOSSES_MAX = 10000, /* told one by one */
    LIST_MAX = 100,     /* files told of one damaged block */
    PIECE = 16 * 1024,  /* what of an extent can be read is told so exactly: a frame of
                           the value log */
};

struct loss {
    char file[40];
    uint64_t offset;
    int err;
    enum lsm_lost lost;
    struct buf first, last;
};

struct scrub {
    struct lsm *db;
    const struct fs_scrub_options *o;
    struct loss *loss;
    size_t n;
    uint64_t found; /* also those beyond LOSSES_MAX */
    int rc;         /* -ENOMEM */
    struct paths paths;
    struct buf path;
};

/* ---- hearing of damage ---- */

static void note_loss(void *arg, const struct lsm_damage *d)
{
    struct scrub *s = arg;
    struct loss *l;
    void *more;

    s->found++;
    if (s->n == LOSSES_MAX)
        return;
    more = realloc(s->loss, (s->n + 1) * sizeof(*s->loss));
    if (!more) {
        s->rc = -ENOMEM;
        return;
    }
    s->loss = more;
    l = &s->loss[s->n++];
    *l = (struct loss){.offset = d->offset, .err = d->err, .lost = d->lost};
    snprintf(l->file, sizeof(l->file), "%s", d->file);
    buf_assign(&l->first, d->first);
    buf_assign(&l->last, d->last);
}

static int pass_progress(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    struct scrub *s = arg;

    if (s->rc)
        return s->rc;
    return s->o->progress ? s->o->progress(s->o->arg, done, total, position) : 0;
}

/* ---- telling of it ---- */

static void tell(struct scrub *s, const struct loss *l, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(struct scrub *s, const struct loss *l, const char *fmt, ...)
{
    char what[1200], line[8192]; /* an attribute's name may have 255 bytes, escaped */
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    snprintf(line, sizeof(line), "%s: %s (%s at %" PRIu64 "%s)",
             s->path.len ? (const char *)s->path.data : "the store", what, l->file,
             l->offset, l->err == -EIO ? ": the disk cannot read it" : "");
    s->o->report(s->o->arg, line);
    buf_clear(&s->path);
}

/* The numbers that follow a key's letter, which may be cut off: the rest is `fill`. */
static void numbers(struct slice key, uint8_t fill, uint64_t *a, uint64_t *b)
{
    uint8_t bytes[16];
    unsigned i;

    for (i = 0; i < 16; i++)
        bytes[i] = i + 1 < key.len ? key.data[i + 1] : fill;
    for (*a = *b = 0, i = 0; i < 8; i++) {
        *a = *a << 8 | bytes[i];
        *b = *b << 8 | bytes[8 + i];
    }
}

/* The part of a range of keys that begins with one letter. */
struct part {
    uint64_t lo, hi;           /* first numbers */
    uint64_t lo_next, hi_next; /* second ones, of lo and of hi */
};

static bool part_of(const struct loss *l, uint8_t letter, struct part *p)
{
    struct slice first = buf_slice(&l->first), last = buf_slice(&l->last);

    *p = (struct part){0, UINT64_MAX, 0, UINT64_MAX};
    if (!last.len || first.len == 0 || first.data[0] > letter || last.data[0] < letter)
        return false;
    if (first.data[0] == letter)
        numbers(first, 0, &p->lo, &p->lo_next);
    if (last.data[0] == letter)
        numbers(last, 0xff, &p->hi, &p->hi_next);
    return p->lo <= p->hi;
}

/* ---- reading what may be lost ---- */

/* Can all keys of the letter from (a, b) to (a, c) be read? 0, or why not. */
static int probe(struct lsm *db, enum key_letter letter, uint64_t a, uint64_t b,
                 uint64_t c)
{
    struct key from, to;
    struct slice lower = key_two(&from, letter, a, b);
    struct slice upper =
        c == UINT64_MAX ? key_one(&to, letter, a + 1) : key_two(&to, letter, a, c + 1);
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_iter *it;
    int rc = lsm_iter_new(db, &o, &it);

    if (rc)
        return rc;
    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it))
        ;
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

struct bad_piece {
    uint64_t from, to; /* offsets in the file */
};

/* The pieces of an extent that cannot be read; -ENOENT when it is gone. */
static int read_extent(struct scrub *s, uint64_t ino, uint64_t end, struct bad_piece *bad)
{
    struct key k;
    struct slice lower = key_extent(&k, ino, end);
    struct lsm_iter_options o = {.lower = &lower};
    struct lsm_iter *it;
    uint8_t piece[PIECE];
    uint64_t off, len, begin;
    int rc = lsm_iter_new(s->db, &o, &it);

    if (rc)
        return rc;
    *bad = (struct bad_piece){UINT64_MAX, 0};
    lsm_iter_first(it);
    rc = lsm_iter_error(it);
    if (!rc && (!lsm_iter_valid(it) || !slice_eq(lsm_iter_key(it), lower)))
        rc = -ENOENT;
    len = rc ? 0 : lsm_iter_value_len(it);
    if (len > end)
        len = 0; /* fsck's to tell */
    begin = end - len;
    for (off = 0; off < len; off += PIECE) {
        uint64_t n = len - off < PIECE ? len - off : PIECE;

        if (!lsm_iter_read(it, off, n, piece))
            continue;
        if (bad->from == UINT64_MAX)
            bad->from = begin + off;
        bad->to = begin + off + n - 1;
    }
    lsm_iter_free(it);
    return rc;
}

/* ---- what a damaged value is ---- */

static bool reads(struct lsm *db, struct slice key)
{
    struct lsm_value v = {0};
    int rc = lsm_get(db, NULL, key, &v);

    lsm_value_release(&v);
    return rc == 0 || rc == -ENOENT;
}

static void tell_extent(struct scrub *s, const struct loss *l, uint64_t ino, uint64_t end)
{
    struct bad_piece bad;
    int rc = read_extent(s, ino, end, &bad);

    if (rc && rc != -ENOENT) {
        paths_of(&s->paths, ino, &s->path);
        tell(s, l, "bytes up to %" PRIu64 " cannot be read", end - 1);
    } else if (rc || bad.from == UINT64_MAX) {
        tell(s, l, "damaged, but what was there is deleted or overwritten");
    } else {
        paths_of(&s->paths, ino, &s->path);
        tell(s, l, "bytes %" PRIu64 "-%" PRIu64 " cannot be read", bad.from, bad.to);
    }
}

/* Users choose names: none may end a line, or talk to a terminal. */
static void tell_attribute(struct scrub *s, const struct loss *l, uint64_t ino,
                           struct slice name)
{
    struct buf text = {0};

    paths_escape(&text, name);
    paths_of(&s->paths, ino, &s->path);
    tell(s, l, "attribute %.*s cannot be read", (int)text.len, (const char *)text.data);
    buf_release(&text);
}

static void tell_value(struct scrub *s, const struct loss *l)
{
    struct slice key = buf_slice(&l->first), name;
    uint64_t a, b;

    if (key_parse_two(key, KEY_EXTENT, &a, &b)) {
        tell_extent(s, l, a, b);
    } else if (reads(s->db, key)) {
        tell(s, l, "damaged, but what was there is deleted or overwritten");
    } else if (key_parse_xattr(key, &a, &name)) {
        tell_attribute(s, l, a, name);
    } else if (key_parse_two(key, KEY_DENTRY, &a, &b)) {
        paths_of(&s->paths, a, &s->path);
        tell(s, l, "directory: its entry %" PRIu64 " cannot be read", b);
    } else {
        tell(s, l, "the value of a key cannot be read");
    }
}

/* ---- what a damaged block is ---- */

/* Files, or directories, numbered in the part: those that cannot be read are told. */
static uint64_t tell_inodes(struct scrub *s, const struct loss *l, enum key_letter letter,
                            const struct part *p, const char *what)
{
    const struct named *n;
    uint64_t told = 0;
    size_t i = 0;

    while ((n = paths_next(&s->paths, &i, p->lo, p->hi))) {
        uint64_t from = n->ino == p->lo ? p->lo_next : 0;
        uint64_t to = n->ino == p->hi ? p->hi_next : UINT64_MAX;
        int rc = probe(s->db, letter, n->ino, from, to);

        if (!rc)
            continue;
        if (++told > LIST_MAX)
            continue;
        paths_of(&s->paths, n->ino, &s->path);
        if (letter == KEY_EXTENT && n->ino == p->hi)
            tell(s, l, "bytes %" PRIu64 "-%" PRIu64 ": %s", from, to - 1, what);
        else
            tell(s, l, "%s", what);
    }
    if (told > LIST_MAX)
        tell(s, l, "and %" PRIu64 " more: %s", told - LIST_MAX, what);
    return told;
}

static const struct kind_told {
    enum key_letter letter;
    const char *what, *unnamed;
} kinds_told[] = {
    {KEY_DENTRY, "directory: some of its entries cannot be read",
     "entries of directories"},
    {KEY_EXTENT, "some of its contents cannot be read", "contents of files"},
    {KEY_INODE, "its attributes cannot be read", "attributes of directories and links"},
    {KEY_NAMES, "directory: some of its names are not found", "names of directories"},
    {KEY_UNWRITTEN, "what was preallocated in it cannot be read", "preallocated ranges"},
    {KEY_XATTR, "its attributes cannot be read", "extended attributes"},
    {KEY_ORPHAN, NULL, "files that were deleted while open"},
    {KEY_SUPER, NULL, "the superblock"},
};

static void tell_range(struct scrub *s, const struct loss *l)
{
    bool any = false;
    struct part p;
    size_t i;

    for (i = 0; i < sizeof(kinds_told) / sizeof(kinds_told[0]); i++) {
        const struct kind_told *k = &kinds_told[i];

        if (!part_of(l, (uint8_t)k->letter, &p))
            continue;
        any = true;
        if (!k->what)
            tell(s, l, "may have lost %s", k->unnamed);
        else if (!tell_inodes(s, l, k->letter, &p, k->what))
            tell(s, l, "may have lost %s, inode numbers %" PRIu64 " to %" PRIu64,
                 k->unnamed, p.lo, p.hi);
    }
    if (!any)
        tell(s, l, "a block of keys cannot be read");
}

/* ---- the whole ---- */

static int want_names(struct scrub *s)
{
    int rc = 0;
    size_t i, k;

    for (i = 0; i < s->n && !rc; i++) {
        for (k = 0; k < sizeof(kinds_told) / sizeof(kinds_told[0]) && !rc; k++) {
            struct part p;

            if (kinds_told[k].what &&
                part_of(&s->loss[i], (uint8_t)kinds_told[k].letter, &p))
                rc = paths_want(&s->paths, p.lo, p.hi);
        }
    }
    return rc;
}

/* Over the damaged block that the scan of the names came to. */
static bool skip_block(void *arg, struct slice key, struct buf *next)
{
    const struct scrub *s = arg;
    bool found = false;
    size_t i;

    for (i = 0; i < s->n; i++) {
        struct slice last = buf_slice(&s->loss[i].last);

        if (s->loss[i].lost != LSM_LOST_RANGE || slice_cmp(last, key) <= 0 ||
            (found && slice_cmp(last, buf_slice(next)) >= 0))
            continue;
        buf_assign(next, last);
        found = true;
    }
    if (found)
        buf_append(next, "", 1);
    return found && !buf_error(next);
}

static int tell_all(struct scrub *s)
{
    int rc = want_names(s);
    size_t i;

    if (!rc)
        rc = paths_fill(&s->paths, skip_block, s);
    for (i = 0; i < s->n && !rc; i++) {
        const struct loss *l = &s->loss[i];

        switch (l->lost) {
        case LSM_LOST_VALUE:
            tell_value(s, l);
            break;
        case LSM_LOST_RANGE:
            tell_range(s, l);
            break;
        case LSM_LOST_FILE:
            tell(s, l, "damaged: after a crash the store could not be opened");
            break;
        default:
            tell(s, l, "damaged, but nothing is lost by it");
        }
    }
    if (!rc && s->found > s->n)
        s->o->report(s->o->arg, "and more damage, in the log by file and offset");
    return rc;
}

int fs_scrub(struct lsm *db, const struct fs_scrub_options *o, uint64_t *problems)
{
    struct scrub s = {.db = db, .o = o};
    struct lsm_verify_options v = {.damage = note_loss,
                                   .progress = pass_progress,
                                   .arg = &s,
                                   .bytes_per_s = o->bytes_per_s,
                                   .after = o->after};
    int rc = lsm_verify_with(db, &v), told;
    size_t i;

    paths_init(&s.paths, db);
    if ((rc == -EUCLEAN || rc == -EIO) && s.found)
        rc = 0;
    told = s.rc ? s.rc : s.n ? tell_all(&s) : 0;
    *problems = s.found;
    for (i = 0; i < s.n; i++) {
        buf_release(&s.loss[i].first);
        buf_release(&s.loss[i].last);
    }
    free(s.loss);
    buf_release(&s.path);
    paths_release(&s.paths);
    return rc ? rc : told;
}
