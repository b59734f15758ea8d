/*
 * stress_model.c - the model of stress.h: names, what calls do, which call is next.
 */
#include "tests/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "tests/test.h"

/* ---- names ---- */

static void name_text(const struct stress_region *r, unsigned dir, unsigned name,
                      char to[256])
{
    int n = dir == STRESS_COMMON ? snprintf(to, 256, "r%u-n%02u", r->number, name)
                                 : snprintf(to, 256, "n%02u", name);

    if (name == STRESS_NAMES - 1) { /* one is as long as names may be */
        memset(to + n, 'x', 255 - (size_t)n);
        to[255] = '\0';
    }
}

static const struct stress_entry *entry_of_dir(const struct stress_region *r,
                                               unsigned dir)
{
    for (unsigned i = 0; i < STRESS_ENTRIES; i++)
        if (r->entry[i].kind == STRESS_DIR && r->entry[i].target == dir)
            return &r->entry[i];
    return NULL;
}

void stress_dir_path(const struct stress_region *r, const char *mnt, unsigned dir,
                     char *to)
{
    const struct stress_entry *e;

    if (dir == STRESS_TOP)
        snprintf(to, PATH_MAX, "%s/r%u", mnt, r->number);
    else if (dir == STRESS_COMMON)
        snprintf(to, PATH_MAX, "%s/common", mnt);
    else if ((e = entry_of_dir(r, dir)))
        stress_path(r, mnt, e->dir, e->name, to);
}

void stress_path(const struct stress_region *r, const char *mnt, unsigned dir,
                 unsigned name, char *to)
{
    char text[256];
    size_t len;

    name_text(r, dir, name, text);
    stress_dir_path(r, mnt, dir, to);
    len = strlen(to);
    snprintf(to + len, PATH_MAX - len, "/%s", text);
}

void stress_link_target(unsigned number, char to[STRESS_LINK_MAX + 1])
{
    int n = snprintf(to, STRESS_LINK_MAX + 1, "to-%u-", number);

    memset(to + n, 'l', number);
    to[n + (int)number] = '\0';
}

/* ---- bytes ---- */

void stress_fill(uint8_t *to, size_t len, uint64_t seed)
{
    uint64_t x = seed | 1, word = test_random(&x);
    bool dull = seed % 3 == 0; /* compresses well */

    for (size_t i = 0; i < len; i += sizeof(word)) {
        if (!dull || i % 1024 == 0)
            word = test_random(&x);
        memcpy(to + i, &word, len - i < sizeof(word) ? len - i : sizeof(word));
    }
}

bool stress_is_dirty(const struct stress_file *f)
{
    return f->size_min != f->size || memchr(f->dirty, 1, sizeof(f->dirty));
}

/* ---- what calls do ---- */

static unsigned find(const struct stress_region *r, unsigned dir, unsigned name)
{
    unsigned i;

    for (i = 0; i < STRESS_ENTRIES; i++)
        if (r->entry[i].kind && r->entry[i].dir == dir && r->entry[i].name == name)
            break;
    return i;
}

static unsigned free_entry(const struct stress_region *r)
{
    unsigned i;

    for (i = 0; i < STRESS_ENTRIES && r->entry[i].kind; i++)
        ;
    return i;
}

static unsigned free_file(const struct stress_region *r)
{
    unsigned i;

    for (i = 0; i < STRESS_FILES && r->file[i].nlink; i++)
        ;
    return i;
}

static unsigned free_dir(const struct stress_region *r)
{
    unsigned i;

    for (i = STRESS_COMMON + 1; i < STRESS_DIRS && entry_of_dir(r, i); i++)
        ;
    return i;
}

static void add_entry(struct stress_region *r, const struct stress_op *op,
                      enum stress_kind kind, unsigned target)
{
    r->entry[free_entry(r)] = (struct stress_entry){
        .kind = (uint8_t)kind,
        .dir = (uint8_t)op->dir,
        .name = (uint8_t)op->name,
        .target = (uint8_t)target,
    };
}

static void drop_entry(struct stress_region *r, unsigned i)
{
    struct stress_entry *e = &r->entry[i];

    if (e->kind == STRESS_FILE && --r->file[e->target].nlink == 0) {
        memset(&r->file[e->target], 0, sizeof(r->file[0]));
        memset(r->data[e->target], 0, STRESS_FILE_MAX);
    }
    memset(e, 0, sizeof(*e));
}

static void create(struct stress_region *r, const struct stress_op *op)
{
    unsigned f = free_file(r);

    r->file[f] = (struct stress_file){.nlink = 1, .mode = op->mode};
    memset(r->data[f], 0, STRESS_FILE_MAX);
    add_entry(r, op, STRESS_FILE, f);
}

static void rename_entry(struct stress_region *r, const struct stress_op *op)
{
    struct stress_entry *e = &r->entry[op->entry];
    unsigned other = find(r, op->dir, op->name);

    if (op->flags == RENAME_EXCHANGE) {
        r->entry[other].dir = e->dir;
        r->entry[other].name = e->name;
    } else if (other < STRESS_ENTRIES) {
        /* Two names of one file: nothing happens. */
        if (e->kind == STRESS_FILE && r->entry[other].kind == STRESS_FILE &&
            r->entry[other].target == e->target)
            return;
        drop_entry(r, other);
    }
    e->dir = (uint8_t)op->dir;
    e->name = (uint8_t)op->name;
}

static void mark_dirty(struct stress_file *f, uint64_t off, uint64_t len)
{
    for (uint64_t p = off / STRESS_PAGE; len && p <= (off + len - 1) / STRESS_PAGE; p++)
        f->dirty[p] = 1;
}

static void grow(struct stress_file *f, uint64_t end, bool in_cache)
{
    if (f->size < end)
        f->size = end;
    if (!in_cache && f->size_min < end)
        f->size_min = end;
}

static void set_size(struct stress_region *r, unsigned f, uint64_t size)
{
    struct stress_file *file = &r->file[f];

    if (size < file->size)
        memset(r->data[f] + size, 0, file->size - size);
    file->size = file->size_min = size;
}

static void allocate(struct stress_region *r, unsigned f, const struct stress_op *op)
{
    struct stress_file *file = &r->file[f];
    uint64_t end = op->off + op->len;

    if (op->flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        memset(r->data[f] + op->off, 0, op->len);
    if (!(op->flags & FALLOC_FL_KEEP_SIZE))
        grow(file, end, false);
}

static void apply_data(struct stress_region *r, const struct stress_op *op,
                       bool writeback)
{
    unsigned f = r->entry[op->entry].target, to;
    struct stress_file *file = &r->file[f];

    if (op->kind != STRESS_FSYNC)
        file->mtime = 0;
    switch (op->kind) {
    case STRESS_WRITE:
    case STRESS_APPEND:
    case STRESS_MMAP:
        stress_fill(r->data[f] + op->off, op->len, op->seed);
        grow(file, op->off + op->len, writeback);
        if (writeback)
            mark_dirty(file, op->off, op->len);
        break;
    case STRESS_TRUNCATE:
        set_size(r, f, op->len);
        break;
    case STRESS_OPEN_TRUNC:
        set_size(r, f, 0);
        break;
    case STRESS_FALLOCATE:
        allocate(r, f, op);
        break;
    case STRESS_COPY:
        to = r->entry[op->other].target;
        memmove(r->data[to] + op->to, r->data[f] + op->off, op->len);
        grow(&r->file[to], op->to + op->len, false);
        r->file[to].mtime = 0;
        break;
    default: /* fsync */
        memset(file->dirty, 0, sizeof(file->dirty));
        file->size_min = file->size;
        break;
    }
}

static void apply_attribute(struct stress_region *r, const struct stress_op *op)
{
    struct stress_file *f = &r->file[r->entry[op->entry].target];

    switch (op->kind) {
    case STRESS_CHMOD:
        f->mode = op->mode;
        break;
    case STRESS_UTIMENS:
        f->mtime = op->off;
        break;
    case STRESS_SETXATTR:
        f->xattr_len[op->flags] = (uint32_t)op->len + 1;
        f->xattr_seed[op->flags] = op->seed;
        break;
    default: /* removexattr */
        f->xattr_len[op->flags] = 0;
        break;
    }
}

void stress_apply(struct stress_region *r, const struct stress_op *op, bool writeback)
{
    if (op->expect)
        return;
    switch (op->kind) {
    case STRESS_CREATE:
        create(r, op);
        break;
    case STRESS_MKDIR:
        add_entry(r, op, STRESS_DIR, free_dir(r));
        break;
    case STRESS_MAKE_LINK:
        r->file[r->entry[op->entry].target].nlink++;
        add_entry(r, op, STRESS_FILE, r->entry[op->entry].target);
        break;
    case STRESS_MAKE_SYMLINK:
        add_entry(r, op, STRESS_SYMLINK, op->flags);
        break;
    case STRESS_UNLINK:
    case STRESS_RMDIR:
        drop_entry(r, op->entry);
        break;
    case STRESS_RENAME:
        rename_entry(r, op);
        break;
    case STRESS_CHMOD:
    case STRESS_UTIMENS:
    case STRESS_SETXATTR:
    case STRESS_REMOVEXATTR:
        apply_attribute(r, op);
        break;
    case STRESS_NOTHING:
    case STRESS_READ:
    case STRESS_LIST:
        break;
    default:
        apply_data(r, op, writeback);
        break;
    }
}

void stress_region_init(struct stress_region *r, uint32_t number)
{
    pthread_mutexattr_t a;

    r->number = number;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&r->turn, &a);
    pthread_mutexattr_destroy(&a);
}

/* ---- which call ---- */

struct draw {
    struct stress_region *r;
    struct stress_worker *w;
    struct stress_op *op;
};

static uint64_t below(struct draw *d, uint64_t n)
{
    return test_below(&d->w->random, n);
}

static unsigned some_dir(struct draw *d)
{
    unsigned dir = (unsigned)below(d, STRESS_DIRS);

    return dir <= STRESS_COMMON || entry_of_dir(d->r, dir) ? dir : STRESS_TOP;
}

/* False: there is no entry of that kind (STRESS_NOTHING: of any). */
static bool some_entry(struct draw *d, enum stress_kind kind, uint32_t *out)
{
    unsigned start = (unsigned)below(d, STRESS_ENTRIES), i;

    for (i = 0; i < STRESS_ENTRIES; i++) {
        unsigned at = (start + i) % STRESS_ENTRIES;

        if (d->r->entry[at].kind && (!kind || d->r->entry[at].kind == kind)) {
            *out = at;
            return true;
        }
    }
    return false;
}

static void some_place(struct draw *d)
{
    d->op->dir = some_dir(d);
    d->op->name = (uint32_t)below(d, STRESS_NAMES);
}

static bool dir_is_empty(const struct stress_region *r, unsigned dir)
{
    for (unsigned i = 0; i < STRESS_ENTRIES; i++)
        if (r->entry[i].kind && r->entry[i].dir == dir)
            return false;
    return true;
}

/* Is dir `outer` or below it? */
static bool is_inside(const struct stress_region *r, unsigned dir, unsigned outer)
{
    while (dir != outer && dir > STRESS_COMMON)
        dir = entry_of_dir(r, dir)->dir;
    return dir == outer;
}

static bool draw_new(struct draw *d)
{
    struct stress_op *op = d->op;

    some_place(d);
    if (free_entry(d->r) == STRESS_ENTRIES ||
        (op->kind == STRESS_CREATE && free_file(d->r) == STRESS_FILES) ||
        (op->kind == STRESS_MKDIR && free_dir(d->r) == STRESS_DIRS) ||
        (op->kind == STRESS_MAKE_LINK && !some_entry(d, STRESS_FILE, &op->entry)))
        return false;
    op->mode = 0600 | (uint32_t)below(d, 0100);
    if (op->kind == STRESS_MAKE_SYMLINK)
        op->flags = (uint32_t)below(d, 250);
    if (find(d->r, op->dir, op->name) < STRESS_ENTRIES)
        op->expect = EEXIST;
    return true;
}

static bool draw_rename(struct draw *d)
{
    static const uint32_t flags[] = {0, 0, 0, 0, RENAME_EXCHANGE, RENAME_NOREPLACE};
    struct stress_op *op = d->op;
    const struct stress_entry *e, *t;
    unsigned other;

    if (!some_entry(d, STRESS_NOTHING, &op->entry))
        return false;
    some_place(d);
    op->flags = flags[below(d, sizeof(flags) / sizeof(flags[0]))];
    e = &d->r->entry[op->entry];
    other = find(d->r, op->dir, op->name);
    t = other < STRESS_ENTRIES ? &d->r->entry[other] : NULL;
    if (e == t || (e->kind == STRESS_DIR && is_inside(d->r, op->dir, e->target)))
        return false;
    if (t && t->kind == STRESS_DIR && is_inside(d->r, e->dir, t->target))
        return false;
    if (op->flags == RENAME_EXCHANGE)
        op->expect = t ? 0 : ENOENT;
    else if (t && op->flags == RENAME_NOREPLACE)
        op->expect = EEXIST;
    else if (t && e->kind == STRESS_DIR && t->kind != STRESS_DIR)
        op->expect = ENOTDIR;
    else if (t && e->kind != STRESS_DIR && t->kind == STRESS_DIR)
        op->expect = EISDIR;
    else if (t && t->kind == STRESS_DIR && !dir_is_empty(d->r, t->target))
        op->expect = ENOTEMPTY;
    return true;
}

static bool draw_remove(struct draw *d)
{
    struct stress_op *op = d->op;
    const struct stress_entry *e;

    if (op->kind == STRESS_RMDIR) {
        if (!some_entry(d, STRESS_DIR, &op->entry))
            return false;
        if (!dir_is_empty(d->r, d->r->entry[op->entry].target))
            op->expect = ENOTEMPTY;
        return true;
    }
    if (!some_entry(d, STRESS_NOTHING, &op->entry))
        return false;
    e = &d->r->entry[op->entry];
    /* Its last name, and it stays open. */
    op->flags = e->kind == STRESS_FILE && d->r->file[e->target].nlink == 1 && below(d, 2);
    return e->kind != STRESS_DIR;
}

static uint64_t some_length(struct draw *d)
{
    static const uint64_t most[] = {100, 4096, 10000, 10000, 130000, 256 * 1024};

    return 1 + below(d, most[below(d, sizeof(most) / sizeof(most[0]))]);
}

/* A range of the file's possible bytes, mostly near what there is. */
static void some_range(struct draw *d, uint64_t size)
{
    struct stress_op *op = d->op;

    op->off = below(d, 4) == 0 ? below(d, STRESS_FILE_MAX) : below(d, size + 4096);
    if (below(d, 2))
        op->off &= ~(uint64_t)(STRESS_PAGE - 1);
    op->len = some_length(d);
    if (op->off >= STRESS_FILE_MAX)
        op->off = STRESS_FILE_MAX - 1;
    if (op->len > STRESS_FILE_MAX - op->off)
        op->len = STRESS_FILE_MAX - op->off;
}

static bool draw_copy(struct draw *d)
{
    struct stress_op *op = d->op;
    unsigned from = d->r->entry[op->entry].target, to;
    uint64_t size = d->r->file[from].size;

    if (!size || !some_entry(d, STRESS_FILE, &op->other))
        return false;
    to = d->r->entry[op->other].target;
    op->to = below(d, STRESS_FILE_MAX / 2);
    op->off = below(d, size);
    op->len = some_length(d);
    if (op->len > size - op->off)
        op->len = size - op->off;
    if (from == to && op->to < op->off + op->len && op->off < op->to + op->len)
        op->expect = EINVAL;
    if (stress_is_dirty(&d->r->file[to])) { /* as below */
        op->kind = STRESS_FSYNC;
        op->entry = op->other;
        op->expect = 0;
    }
    return true;
}

static bool draw_data(struct draw *d)
{
    static const uint32_t modes[] = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    struct stress_op *op = d->op;
    struct stress_file *f;

    if (!some_entry(d, STRESS_FILE, &op->entry))
        return false;
    f = &d->r->file[d->r->entry[op->entry].target];
    some_range(d, f->size);
    /* The kernel writes only the range back before these, and the daemon may not know
     * the size yet. */
    if ((op->kind == STRESS_COPY || op->kind == STRESS_FALLOCATE) && stress_is_dirty(f))
        op->kind = STRESS_FSYNC;
    switch (op->kind) {
    case STRESS_APPEND:
        op->off = f->size;
        if (op->len > STRESS_FILE_MAX - op->off)
            op->len = STRESS_FILE_MAX - op->off;
        return op->len > 0;
    case STRESS_MMAP:
        if (op->off >= f->size)
            return false;
        if (op->len > f->size - op->off)
            op->len = f->size - op->off;
        return true;
    case STRESS_TRUNCATE:
        op->len = op->off;
        return true;
    case STRESS_FALLOCATE:
        op->flags = modes[below(d, sizeof(modes) / sizeof(modes[0]))];
        return true;
    case STRESS_COPY:
        return draw_copy(d);
    default:
        return true;
    }
}

static bool draw_attribute(struct draw *d)
{
    struct stress_op *op = d->op;
    struct stress_file *f;

    if (!some_entry(d, STRESS_FILE, &op->entry))
        return false;
    f = &d->r->file[d->r->entry[op->entry].target];
    op->mode = 0600 | (uint32_t)below(d, 0100);
    op->off = 1 + below(d, 2000000000);
    if (op->kind == STRESS_UTIMENS)
        return !d->w->writeback; /* the kernel's then, until a file is written back */
    if (op->kind == STRESS_CHMOD)
        return true;
    op->flags = (uint32_t)below(d, STRESS_XATTRS);
    op->len = below(d, op->flags == 0 ? 20 : STRESS_XATTR_MAX);
    if (op->kind == STRESS_REMOVEXATTR && !f->xattr_len[op->flags])
        op->expect = ENODATA;
    return true;
}

static bool draw(struct draw *d)
{
    switch (d->op->kind) {
    case STRESS_CREATE:
    case STRESS_MKDIR:
    case STRESS_MAKE_LINK:
    case STRESS_MAKE_SYMLINK:
        return draw_new(d);
    case STRESS_UNLINK:
    case STRESS_RMDIR:
        return draw_remove(d);
    case STRESS_RENAME:
        return draw_rename(d);
    case STRESS_CHMOD:
    case STRESS_UTIMENS:
    case STRESS_SETXATTR:
    case STRESS_REMOVEXATTR:
        return draw_attribute(d);
    case STRESS_LIST:
        d->op->dir = some_dir(d);
        return true;
    default:
        return draw_data(d);
    }
}

void stress_draw(struct stress_region *r, struct stress_worker *w, struct stress_op *op)
{
    static const uint8_t often[STRESS_KINDS] = {
        [STRESS_CREATE] = 16,      [STRESS_MKDIR] = 4,    [STRESS_MAKE_LINK] = 5,
        [STRESS_MAKE_SYMLINK] = 3, [STRESS_UNLINK] = 12,  [STRESS_RMDIR] = 2,
        [STRESS_RENAME] = 14,      [STRESS_WRITE] = 20,   [STRESS_APPEND] = 14,
        [STRESS_MMAP] = 2,         [STRESS_TRUNCATE] = 6, [STRESS_OPEN_TRUNC] = 2,
        [STRESS_FALLOCATE] = 5,    [STRESS_COPY] = 6,     [STRESS_FSYNC] = 3,
        [STRESS_CHMOD] = 3,        [STRESS_UTIMENS] = 3,  [STRESS_SETXATTR] = 5,
        [STRESS_REMOVEXATTR] = 2,  [STRESS_READ] = 10,    [STRESS_LIST] = 3,
    };
    struct draw d = {r, w, op};
    unsigned sum = 0, i;

    for (i = 0; i < STRESS_KINDS; i++)
        sum += often[i];
    do {
        unsigned at = (unsigned)below(&d, sum);

        for (i = 0; at >= often[i]; i++)
            at -= often[i];
        memset(op, 0, sizeof(*op));
        op->kind = i;
        op->seed = test_random(&w->random);
    } while (!draw(&d));
    op->file = op->kind >= STRESS_WRITE && op->kind <= STRESS_FSYNC
                   ? r->entry[op->entry].target
                   : STRESS_FILES;
}
