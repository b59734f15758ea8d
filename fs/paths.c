/*
 * paths.c - see paths.h.
 */
#include "paths.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs.h"
#include "keys.h"
#include "record.h"

enum {
    NAMED_MAX = 100000, /* kept: memory is for more than reports */
    DEPTH_MAX = 4096,   /* of a tree that may be damaged */
};

void paths_init(struct paths *p, struct lsm *db)
{
    *p = (struct paths){.db = db};
}

void paths_release(struct paths *p)
{
    size_t i;

    for (i = 0; i < p->n_named; i++)
        free(p->named[i].name);
    free(p->named);
    free(p->want);
    *p = (struct paths){0};
}

int paths_want(struct paths *p, uint64_t lo, uint64_t hi)
{
    void *more = realloc(p->want, (p->n_want + 1) * sizeof(*p->want));

    if (!more)
        return -ENOMEM;
    p->want = more;
    p->want[p->n_want++] = (struct wanted){lo, hi};
    return 0;
}

static int want_order(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;

    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sorted and without overlaps, to be searched. */
static void settle(struct paths *p)
{
    size_t i, n = 0;

    if (!p->n_want)
        return;
    qsort(p->want, p->n_want, sizeof(*p->want), want_order);
    for (i = 1; i < p->n_want; i++) {
        if (p->want[i].lo > p->want[n].hi)
            p->want[++n] = p->want[i];
        else if (p->want[i].hi > p->want[n].hi)
            p->want[n].hi = p->want[i].hi;
    }
    p->n_want = n + 1;
}

static bool is_wanted(const struct paths *p, uint64_t ino)
{
    size_t lo = 0, hi = p->n_want;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (p->want[mid].hi < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->n_want && p->want[lo].lo <= ino;
}

/* ---- the scan ---- */

void paths_escape(struct buf *to, struct slice name)
{
    char octal[8];
    size_t i;

    for (i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];

        if (c < 0x20 || c == 0x7f || c == '\\')
            buf_append(to, octal, (size_t)snprintf(octal, sizeof(octal), "\\%03o", c));
        else
            buf_append(to, &c, 1);
    }
}

static int note_name(struct paths *p, uint64_t parent, const struct dentry *d)
{
    struct buf name = {0};
    void *more;

    if (p->n_named == NAMED_MAX) {
        p->more = true;
        return 0;
    }
    more = realloc(p->named, (p->n_named + 1) * sizeof(*p->named));
    if (!more)
        return -ENOMEM;
    p->named = more;
    paths_escape(&name, d->name);
    buf_append(&name, "", 1);
    if (buf_error(&name)) {
        buf_release(&name);
        return -ENOMEM;
    }
    p->named[p->n_named++] = (struct named){d->ino, parent, (char *)name.data};
    return 0;
}

static int see_entry(struct paths *p, struct lsm_iter *it)
{
    struct slice value;
    struct dentry d;
    uint64_t parent, seq;

    if (!key_parse_two(lsm_iter_key(it), KEY_DENTRY, &parent, &seq) ||
        lsm_iter_value(it, &value) || dentry_decode(value, &d) || !is_wanted(p, d.ino))
        return 0; /* the damage is known, or for fsck to tell */
    return note_name(p, parent, &d);
}

/* From *at on; where it ended in an error, *at is the last key read. */
static int scan(struct paths *p, struct buf *at)
{
    uint8_t after = KEY_DENTRY + 1;
    struct slice lower = buf_slice(at), upper = slice_of(&after, 1);
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_iter *it;
    int rc = lsm_iter_new(p->db, &o, &it), stop = 0;

    if (rc)
        return rc;
    for (lsm_iter_first(it); lsm_iter_valid(it) && !stop; lsm_iter_next(it)) {
        buf_assign(at, lsm_iter_key(it));
        stop = see_entry(p, it);
    }
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return stop ? stop : rc;
}

static int named_order(const void *a, const void *b)
{
    const struct named *x = a, *y = b;

    return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* Of a file's names one is enough. */
static void keep_one_name(struct paths *p)
{
    size_t i, n = 0;

    if (!p->n_named)
        return;
    qsort(p->named, p->n_named, sizeof(*p->named), named_order);
    for (i = 1; i < p->n_named; i++) {
        if (p->named[i].ino == p->named[n].ino)
            free(p->named[i].name);
        else
            p->named[++n] = p->named[i];
    }
    p->n_named = n + 1;
}

int paths_fill(struct paths *p, paths_skip_fn *skip, void *arg)
{
    uint8_t first = KEY_DENTRY;
    struct buf at = {0}, next = {0};
    int rc;

    settle(p);
    buf_append(&at, &first, 1);
    rc = p->n_want ? scan(p, &at) : 0;
    while ((rc == -EUCLEAN || rc == -EIO) && skip(arg, buf_slice(&at), &next) &&
           slice_cmp(buf_slice(&at), buf_slice(&next)) < 0) {
        buf_assign(&at, buf_slice(&next));
        rc = scan(p, &at);
    }
    buf_release(&at);
    buf_release(&next);
    keep_one_name(p);
    return rc == -ENOMEM ? rc : 0;
}

static size_t first_at(const struct paths *p, uint64_t ino)
{
    size_t lo = 0, hi = p->n_named;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (p->named[mid].ino < ino)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

const struct named *paths_next(const struct paths *p, size_t *i, uint64_t lo, uint64_t hi)
{
    size_t first = first_at(p, lo);

    if (*i < first)
        *i = first;
    return *i < p->n_named && p->named[*i].ino <= hi ? &p->named[(*i)++] : NULL;
}

/* ---- paths ---- */

/* The entry at (parent, seq), if it leads to ino. */
static bool entry_of(struct lsm *db, uint64_t parent, uint64_t seq, uint64_t ino,
                     struct buf *name)
{
    struct lsm_value v = {0};
    struct dentry d;
    struct key k;
    bool found = lsm_get(db, NULL, key_dentry(&k, parent, seq), &v) == 0 &&
                 dentry_decode(v.value, &d) == 0 && d.ino == ino;

    if (found)
        paths_escape(name, d.name);
    lsm_value_release(&v);
    return found;
}

/* A directory that was moved has another number among the entries: look at them all. */
static bool entry_in(struct lsm *db, uint64_t parent, uint64_t ino, struct buf *name)
{
    struct key from, to;
    struct slice lower = key_dentry(&from, parent, 0);
    struct slice upper = key_dentry(&to, parent + 1, 0), key;
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_iter *it;
    uint64_t dir, seq;
    bool found = false;

    if (lsm_iter_new(db, &o, &it))
        return false;
    for (lsm_iter_first(it); lsm_iter_valid(it) && !found; lsm_iter_next(it)) {
        key = lsm_iter_key(it);
        found = key_parse_two(key, KEY_DENTRY, &dir, &seq) &&
                entry_of(db, parent, seq, ino, name);
    }
    lsm_iter_free(it);
    return found;
}

static bool dir_name(struct lsm *db, uint64_t ino, uint64_t *parent, struct buf *name)
{
    struct lsm_value v = {0};
    struct record rec;
    struct key k;
    bool ok = lsm_get(db, NULL, key_inode(&k, ino), &v) == 0 &&
              record_decode(v.value, &rec) == 0 && record_is_dir(&rec);

    if (ok)
        *parent = rec.dir.parent;
    lsm_value_release(&v);
    return ok &&
           (entry_of(db, *parent, ino, ino, name) || entry_in(db, *parent, ino, name));
}

/* The last name of ino's path, and whose it is in. */
static bool last_name(const struct paths *p, uint64_t ino, uint64_t *parent,
                      struct buf *name)
{
    size_t i = 0;
    const struct named *n = paths_next(p, &i, ino, ino);

    buf_clear(name);
    if (!n)
        return dir_name(p->db, ino, parent, name);
    *parent = n->parent;
    buf_append_slice(name, slice_str(n->name));
    return true;
}

bool paths_of(const struct paths *p, uint64_t ino, struct buf *to)
{
    struct buf name = {0}, path = {0};
    uint64_t at = ino, parent = 0;
    unsigned depth = 0;
    bool ok = true;
    char text[60];
    struct key k;

    buf_clear(to);
    while (ok && at != FS_ROOT) {
        ok = depth++ < DEPTH_MAX && last_name(p, at, &parent, &name);
        if (!ok)
            break;
        buf_clear(&path); /* "/name" and what there is already */
        buf_append(&path, "/", 1);
        buf_append_slice(&path, buf_slice(&name));
        buf_append_slice(&path, buf_slice(to));
        buf_assign(to, buf_slice(&path));
        at = parent;
    }
    if (!ok) {
        bool orphan = lsm_exists(p->db, NULL, key_orphan(&k, ino)) == 0;

        snprintf(text, sizeof(text), "inode %" PRIu64 "%s", ino,
                 orphan ? ", deleted but in use" : "");
        buf_assign(to, slice_str(text));
    } else if (!to->len) {
        buf_append(to, "/", 1);
    }
    buf_append(to, "", 1);
    buf_release(&name);
    buf_release(&path);
    return ok && !buf_error(to);
}
