/*
 * test_fs.h - what the tests of fs/ share: a mounted filesystem in scratch room.
 */
#ifndef TEST_FS_H
#define TEST_FS_H

#include <stdio.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "test.h"

/*
 * The order of inode locks is that of the tree, ancestor first, and the tree changes:
 * ThreadSanitizer's search for cycles among all pairs ever seen does not know that.
 * (lock.h checks the ranks; the order within is argued in fs/DESIGN.md.)
 */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "detect_deadlocks=0";
}

struct rig {
    char path[256];
    struct lsm *db;
    struct fs *fs;
    struct fs_cred cred;
    struct fs_options options;
};

static inline void rig_line(void *arg, const char *line)
{
    if (strncmp(line, "remark: ", 8) == 0)
        return;
    printf("fs_check: %s\n", line);
    fflush(stdout);
}

/* What fs_check finds; tells it. */
static inline uint64_t rig_problems(struct rig *r)
{
    uint64_t n = 0;

    ck_ok(fs_check(r->db, rig_line, NULL, &n));
    return n;
}

static inline void rig_check(struct rig *r)
{
    ck_assert_uint_eq(rig_problems(r), 0);
}

/* Small memtables and tables, so that everything gets to disk. */
static inline void rig_open_store(struct rig *r)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.create = true;
    o.memtable_bytes = 1 << 20;
    o.table_bytes = 1 << 20;
    o.l1_bytes = 4 << 20;
    ck_ok(lsm_open(r->path, &o, &r->db));
}

static inline void rig_mount(struct rig *r)
{
    ck_ok(fs_mount(r->db, &r->options, &r->fs));
}

/* Nobody gets to them: with limits, rig_check compares what is counted. */
static const struct fs_limits rig_limits = {1ull << 62, 1ull << 62};

static inline void rig_init(struct rig *r, const char *name)
{
    memset(r, 0, sizeof(*r));
    snprintf(r->path, sizeof(r->path), "%s/%s", test_dir(), name);
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    rig_open_store(r);
    ck_ok(fs_format(r->db, 0, 0, 0755, &rig_limits));
    rig_mount(r);
}

static inline void rig_remount(struct rig *r)
{
    ck_ok(fs_unmount(r->fs));
    rig_check(r);
    ck_ok(lsm_close(r->db));
    rig_open_store(r);
    rig_mount(r);
}

static inline void rig_release(struct rig *r)
{
    ck_ok(fs_unmount(r->fs));
    rig_check(r);
    ck_ok(lsm_close(r->db));
}

/* ---- short forms; they keep one lookup of what they make ---- */

static inline uint64_t rig_file(struct rig *r, uint64_t parent, const char *name)
{
    struct fs_attr a;

    ck_ok(fs_mknod(r->fs, &r->cred, parent, name, S_IFREG | 0644, 0, &a));
    return a.st.st_ino;
}

static inline uint64_t rig_dir(struct rig *r, uint64_t parent, const char *name)
{
    struct fs_attr a;

    ck_ok(fs_mkdir(r->fs, &r->cred, parent, name, 0755, &a));
    return a.st.st_ino;
}

static inline uint64_t rig_lookup(struct rig *r, uint64_t parent, const char *name)
{
    struct fs_attr a;

    ck_ok(fs_lookup(r->fs, parent, name, &a));
    return a.st.st_ino;
}

static inline struct fs_attr rig_attr(struct rig *r, uint64_t ino)
{
    struct fs_attr a;

    ck_ok(fs_getattr(r->fs, ino, &a));
    return a;
}

static inline bool rig_has(struct rig *r, uint64_t parent, const char *name)
{
    struct fs_attr a;
    int rc = fs_lookup(r->fs, parent, name, &a);

    if (rc == -ENOENT)
        return false;
    ck_ok(rc);
    fs_forget(r->fs, a.st.st_ino, 1);
    return true;
}

static inline void rig_write(struct rig *r, uint64_t ino, uint64_t off, const char *text)
{
    ck_ok(fs_write(r->fs, ino, off, slice_str(text), false));
}

/* Does the file hold exactly this? */
static inline void rig_expect(struct rig *r, uint64_t ino, const void *want, size_t len)
{
    char *got = malloc(len + 16);
    size_t n;

    ck_ok(fs_read(r->fs, ino, 0, len + 16, got, &n));
    ck_assert_uint_eq(n, len);
    ck_assert(len == 0 || memcmp(got, want, len) == 0);
    free(got);
}

static inline void rig_expect_str(struct rig *r, uint64_t ino, const char *want)
{
    rig_expect(r, ino, want, strlen(want));
}

static inline int stamp_cmp(struct timespec a, struct timespec b)
{
    if (a.tv_sec != b.tv_sec)
        return a.tv_sec < b.tv_sec ? -1 : 1;
    return (a.tv_nsec > b.tv_nsec) - (a.tv_nsec < b.tv_nsec);
}

#endif
