/*
 * stress_check.c - is the mount what the model of stress.h says?
 */
#include "tests/stress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct check {
    const struct stress_region *r; /* as it should be */
    const char *mnt;
    struct stress_counts c;
    ino_t ino[STRESS_FILES]; /* of the name seen first */
    char why[PATH_MAX + 200];
};

/* What is wrong is kept, not told: another state may be the right one. */
__attribute__((format(printf, 2, 3))) static int differs(struct check *k,
                                                         const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(k->why, sizeof(k->why), format, ap);
    va_end(ap);
    return -EBADMSG;
}

/* A call on the mount failed: the mount has died, or something is wrong. */
static int failed(struct check *k, const char *path, const char *call)
{
    if (errno == ENOTCONN || errno == ECONNABORTED)
        return -ENOTCONN;
    return differs(k, "%s: %s: %s", path, call, strerror(errno));
}

/* ---- contents ---- */

static ssize_t read_all(int fd, uint8_t *to, uint64_t size)
{
    uint64_t done = 0;
    ssize_t n = 1;

    while (done < size && n > 0) {
        n = pread(fd, to + done, size - done, (off_t)done);
        done += n > 0 ? (uint64_t)n : 0;
    }
    return n < 0 ? n : (ssize_t)done;
}

/* The first byte of the page at `at` that is another one. */
static uint64_t first_other(const uint8_t *got, const uint8_t *want, uint64_t at)
{
    while (got[at] == want[at])
        at++;
    return at;
}

static int compare_data(struct check *k, unsigned f, int fd, const char *path,
                        uint64_t size)
{
    const uint8_t *want = k->r->data[f];
    uint8_t *got = malloc(STRESS_FILE_MAX);
    ssize_t n = got ? read_all(fd, got, size) : -1;
    int rc = n < 0 ? failed(k, path, "read") : 0;
    uint64_t off;

    if (!rc && (uint64_t)n != size)
        rc = differs(k, "%s: ends at %zd, not %llu", path, n, (unsigned long long)size);
    for (off = 0; off < size && !rc; off += STRESS_PAGE) {
        uint64_t len = size - off < STRESS_PAGE ? size - off : STRESS_PAGE;

        k->c.bytes += len;
        if (k->r->file[f].dirty[off / STRESS_PAGE]) {
            k->c.unsynced++;
        } else if (memcmp(got + off, want + off, len) != 0) {
            off = first_other(got, want, off);
            rc = differs(k, "%s: byte %llu of %llu is %02x, not %02x", path,
                         (unsigned long long)off, (unsigned long long)size, got[off],
                         want[off]);
        }
    }
    free(got);
    return rc;
}

int stress_check_open(const struct stress_region *r, unsigned f, int fd, const char *path)
{
    struct check k = {.r = r};
    int rc = compare_data(&k, f, fd, path, r->file[f].size);

    if (rc == -EBADMSG)
        fprintf(stderr, "%s\n", k.why);
    return rc;
}

/* ---- attributes ---- */

static int check_xattr(struct check *k, const char *path, const struct stress_file *f,
                       unsigned i)
{
    uint8_t got[STRESS_XATTR_MAX], want[STRESS_XATTR_MAX];
    char name[16];
    ssize_t n;

    snprintf(name, sizeof(name), "user.x%u", i);
    n = lgetxattr(path, name, got, sizeof(got));
    if (!f->xattr_len[i])
        return n < 0 && errno == ENODATA ? 0
               : n < 0                   ? failed(k, path, name)
                                         : differs(k, "%s: %s is there", path, name);
    if (n < 0)
        return failed(k, path, name);
    stress_fill(want, f->xattr_len[i] - 1, f->xattr_seed[i]);
    if ((size_t)n != f->xattr_len[i] - 1 || memcmp(got, want, (size_t)n) != 0)
        return differs(k, "%s: %s, of %zd bytes, is not what was set, of %u", path, name,
                       n, f->xattr_len[i] - 1);
    return 0;
}

static int check_stat(struct check *k, const char *path, unsigned target,
                      const struct stat *st)
{
    const struct stress_file *f = &k->r->file[target];
    uint64_t size = (uint64_t)st->st_size;

    if (!S_ISREG(st->st_mode) || (st->st_mode & 07777) != f->mode)
        return differs(k, "%s: mode %o, not a file's of %o", path, st->st_mode, f->mode);
    if (st->st_nlink != f->nlink)
        return differs(k, "%s: %lu links, not %u", path, (unsigned long)st->st_nlink,
                       f->nlink);
    if (size < f->size_min || size > f->size)
        return differs(k, "%s: size %llu, not %llu to %llu", path,
                       (unsigned long long)size, (unsigned long long)f->size_min,
                       (unsigned long long)f->size);
    if (f->mtime && (uint64_t)st->st_mtime != f->mtime)
        return differs(k, "%s: mtime %llu, not %llu", path,
                       (unsigned long long)st->st_mtime, (unsigned long long)f->mtime);
    if (k->ino[target] && k->ino[target] != st->st_ino)
        return differs(k, "%s: not the file of its other name", path);
    return 0;
}

static int check_file(struct check *k, const char *path, unsigned target,
                      const struct stat *st)
{
    bool seen = k->ino[target] != 0;
    int rc = check_stat(k, path, target, st), fd;
    unsigned i;

    k->ino[target] = st->st_ino;
    if (rc || seen)
        return rc;
    for (i = 0; i < STRESS_XATTRS && !rc; i++)
        rc = check_xattr(k, path, &k->r->file[target], i);
    if (rc)
        return rc;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return failed(k, path, "open");
    rc = compare_data(k, target, fd, path, (uint64_t)st->st_size);
    close(fd);
    k->c.files++;
    return rc;
}

static int check_symlink(struct check *k, const char *path, unsigned number)
{
    char got[STRESS_LINK_MAX + 1], want[STRESS_LINK_MAX + 1];
    ssize_t n = readlink(path, got, STRESS_LINK_MAX);

    if (n < 0)
        return failed(k, path, "readlink");
    got[n] = '\0';
    stress_link_target(number, want);
    return strcmp(got, want) == 0 ? 0 : differs(k, "%s: leads to %s", path, got);
}

/* ---- names ---- */

static int check_dir(struct check *k, const char *path, const struct stat *st,
                     unsigned dir)
{
    unsigned want = 2;

    for (unsigned i = 0; i < STRESS_ENTRIES; i++)
        want += k->r->entry[i].kind == STRESS_DIR && k->r->entry[i].dir == dir;
    if (!S_ISDIR(st->st_mode) || st->st_nlink != want)
        return differs(k, "%s: mode %o, %lu links, not a directory's of %u", path,
                       st->st_mode, (unsigned long)st->st_nlink, want);
    return 0;
}

static int check_entry(struct check *k, const struct stress_entry *e)
{
    char path[PATH_MAX];
    struct stat st;

    stress_path(k->r, k->mnt, e->dir, e->name, path);
    if (lstat(path, &st) < 0)
        return failed(k, path, "lstat");
    if (e->kind == STRESS_DIR)
        return check_dir(k, path, &st, e->target);
    return e->kind == STRESS_SYMLINK ? check_symlink(k, path, e->target)
                                     : check_file(k, path, e->target, &st);
}

/* All that is wanted was found by name, so the number tells whether there is more. */
static int check_list(struct check *k, unsigned dir)
{
    unsigned want = 0, got = 0;
    char path[PATH_MAX], mine[16];
    struct dirent *e;
    DIR *d;
    int rc;

    for (unsigned i = 0; i < STRESS_ENTRIES; i++)
        want += k->r->entry[i].kind && k->r->entry[i].dir == dir;
    snprintf(mine, sizeof(mine), "r%u-", k->r->number);
    stress_dir_path(k->r, k->mnt, dir, path);
    d = opendir(path);
    if (!d)
        return failed(k, path, "opendir");
    for (errno = 0; (e = readdir(d));)
        got += dir == STRESS_COMMON ? strncmp(e->d_name, mine, strlen(mine)) == 0
                                    : e->d_name[0] != '.';
    rc = errno ? failed(k, path, "readdir") : 0;
    closedir(d);
    if (!rc && got != want)
        rc = differs(k, "%s: lists %u names, not %u", path, got, want);
    return rc;
}

int stress_check_list(const struct stress_region *r, const char *mnt, unsigned dir)
{
    struct check k = {.r = r, .mnt = mnt};
    int rc = check_list(&k, dir);

    if (rc == -EBADMSG)
        fprintf(stderr, "%s\n", k.why);
    return rc;
}

static bool dir_exists(const struct stress_region *r, unsigned dir)
{
    bool found = dir <= STRESS_COMMON;

    for (unsigned i = 0; i < STRESS_ENTRIES; i++)
        found |= r->entry[i].kind == STRESS_DIR && r->entry[i].target == dir;
    return found;
}

static int check_tree(struct check *k)
{
    unsigned i;
    int rc = 0;

    for (i = 0; i < STRESS_ENTRIES && !rc; i++)
        if (k->r->entry[i].kind)
            rc = check_entry(k, &k->r->entry[i]);
    for (i = 0; i < STRESS_DIRS && !rc; i++)
        if (dir_exists(k->r, i))
            rc = check_list(k, i);
    return rc;
}

/* ---- after a crash ---- */

/* What was not promised is what it is now. */
static int adopt(struct stress_region *r, const char *mnt)
{
    char path[PATH_MAX];
    struct stat st;
    ssize_t n;
    int fd;

    for (unsigned i = 0; i < STRESS_ENTRIES; i++) {
        const struct stress_entry *e = &r->entry[i];
        struct stress_file *f = &r->file[e->target];

        if (e->kind != STRESS_FILE || !stress_is_dirty(f))
            continue;
        stress_path(r, mnt, e->dir, e->name, path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
            return -ENOTCONN;
        memset(r->data[e->target], 0, STRESS_FILE_MAX);
        n = read_all(fd, r->data[e->target], (uint64_t)st.st_size);
        close(fd);
        if (n != st.st_size)
            return -ENOTCONN;
        f->size = f->size_min = (uint64_t)st.st_size;
        memset(f->dirty, 0, sizeof(f->dirty));
    }
    return 0;
}

void stress_all_synced(struct stress_region *r)
{
    for (unsigned i = 0; i < STRESS_FILES; i++) {
        r->file[i].size_min = r->file[i].size;
        memset(r->file[i].dirty, 0, sizeof(r->file[i].dirty));
    }
}

static void add_counts(struct stress_counts *to, const struct stress_counts *c)
{
    to->files += c->files;
    to->bytes += c->bytes;
    to->unsynced += c->unsynced;
}

void stress_tell_past(const struct stress_region *r)
{
    uint64_t i = r->operations > STRESS_PAST ? r->operations - STRESS_PAST : 0;

    for (; i < r->operations; i++) {
        const struct stress_op *op = &r->past[i % STRESS_PAST];

        if (op->file < STRESS_FILES && op->kind != STRESS_READ && !op->expect)
            fprintf(stderr, "  file %u: %s %llu+%llu to %llu, flags %u\n", op->file,
                    stress_kind_name(op->kind), (unsigned long long)op->off,
                    (unsigned long long)op->len, (unsigned long long)op->to, op->flags);
    }
}

/*
 * A write that begins inside a page which the kernel has not got goes to the daemon as
 * two requests: that page's part, and the rest. A crash may come between.
 */
static bool first_page_only(struct stress_op *op)
{
    uint64_t head = STRESS_PAGE - op->off % STRESS_PAGE;

    if ((op->kind != STRESS_WRITE && op->kind != STRESS_APPEND) || head == STRESS_PAGE ||
        op->len <= head)
        return false;
    op->len = head;
    return true;
}

/* The model with op done, in memory of its own; NULL: none. */
static struct stress_region *with(const struct stress_region *r,
                                  const struct stress_op *op, bool writeback)
{
    struct stress_region *after = malloc(sizeof(*after));

    if (after) {
        memcpy(after, r, sizeof(*after));
        stress_apply(after, op, writeback);
    }
    return after;
}

/* Is the tree as it would be after op? If so, it is done in the model. */
static int try_after(struct stress_region *r, struct check *k, const struct stress_op *op,
                     bool writeback)
{
    struct stress_region *after = with(r, op, writeback);
    int rc = -ENOMEM;

    if (after) {
        *k = (struct check){.r = after, .mnt = k->mnt};
        rc = check_tree(k);
    }
    free(after);
    if (!rc)
        stress_apply(r, op, writeback);
    return rc;
}

int stress_check(struct stress_region *r, const char *mnt, bool writeback,
                 struct stress_counts *c)
{
    struct check before = {.r = r, .mnt = mnt}, after = {.mnt = mnt};
    bool in_flight = r->op.kind != STRESS_NOTHING;
    struct stress_op op = r->op;
    int rc = check_tree(&before);

    c->in_flight += in_flight;
    if (rc == -EBADMSG && in_flight) {
        rc = try_after(r, &after, &op, writeback);
        c->happened += !rc;
        if (rc == -EBADMSG) {
            fprintf(stderr, "not as after %s:\n  %s\n", stress_kind_name(op.kind),
                    after.why);
            if (first_page_only(&op))
                rc = try_after(r, &after, &op, writeback);
        }
    }
    if (rc == -EBADMSG)
        fprintf(stderr, "region %u is not as before its last call:\n  %s\n", r->number,
                before.why);
    if (rc == -EBADMSG)
        stress_tell_past(r);
    if (rc)
        return rc;
    memset(&r->op, 0, sizeof(r->op));
    add_counts(c, &before.c);
    add_counts(c, &after.c);
    return adopt(r, mnt);
}
