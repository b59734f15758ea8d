/*
 * stress_do.c - the calls of stress.h, made on the mount.
 */
#include "tests/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int result(long rc)
{
    return rc < 0 ? -errno : 0;
}

static void entry_path(const struct stress_region *r, const struct stress_worker *w,
                       unsigned entry, char *to)
{
    stress_path(r, w->mnt, r->entry[entry].dir, r->entry[entry].name, to);
}

const char *stress_kind_name(unsigned kind)
{
    static const char *const names[STRESS_KINDS] = {
        "nothing",    "file",      "directory",       "symbolic link", "create",
        "mkdir",      "link",      "symlink",         "unlink",        "rmdir",
        "rename",     "write",     "append",          "mmap",          "truncate",
        "open+trunc", "fallocate", "copy_file_range", "fsync",         "chmod",
        "utimens",    "setxattr",  "removexattr",     "read",          "list"};

    return kind < STRESS_KINDS ? names[kind] : "?";
}

/* ---- names ---- */

/* Unlink a file that stays open: it can still be written, and the next mount after a
 * crash has to remove it. */
static int unlink_open(struct stress_worker *w, const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC), *held = &w->held[w->next_held], rc;

    if (fd < 0)
        return -errno;
    rc = result(unlink(path));
    if (rc) {
        close(fd);
        return rc;
    }
    if (*held >= 0)
        close(*held);
    *held = fd;
    w->next_held = (w->next_held + 1) % STRESS_HELD;
    stress_fill(w->buf, 10000, (uint64_t)fd);
    return result(pwrite(fd, w->buf, 10000, 0));
}

static int do_name(struct stress_region *r, struct stress_worker *w,
                   const struct stress_op *op)
{
    char path[PATH_MAX], to[PATH_MAX], target[STRESS_LINK_MAX + 1];
    int fd;

    if (op->kind == STRESS_MAKE_LINK || op->kind >= STRESS_UNLINK)
        entry_path(r, w, op->entry, path);
    stress_path(r, w->mnt, op->dir, op->name, to);
    switch (op->kind) {
    case STRESS_CREATE:
        fd = open(to, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, op->mode);
        return fd < 0 ? -errno : result(close(fd));
    case STRESS_MKDIR:
        return result(mkdir(to, 0755));
    case STRESS_MAKE_LINK:
        return result(link(path, to));
    case STRESS_MAKE_SYMLINK:
        stress_link_target(op->flags, target);
        return result(symlink(target, to));
    case STRESS_UNLINK:
        if (op->flags)
            return unlink_open(w, path);
        return result(unlink(path));
    case STRESS_RMDIR:
        return result(rmdir(path));
    default:
        return result(renameat2(AT_FDCWD, path, AT_FDCWD, to, op->flags));
    }
}

/* ---- contents ---- */

/* A mapping of a mount that has died faults. */
static sigjmp_buf out_of_fault;

static void on_fault(int sig)
{
    (void)sig;
    siglongjmp(out_of_fault, 1);
}

static void mark(struct stress_file *f, const struct stress_op *op, uint8_t dirty)
{
    for (uint64_t p = op->off / STRESS_PAGE; p <= (op->off + op->len - 1) / STRESS_PAGE;
         p++)
        f->dirty[p] = dirty;
}

/* What is stored in a mapping is promised when msync has returned, not before. */
static int do_mmap(struct stress_region *r, struct stress_worker *w,
                   const struct stress_op *op, int fd)
{
    struct stress_file *f = &r->file[r->entry[op->entry].target];
    uint64_t from = op->off & ~(uint64_t)(STRESS_PAGE - 1);
    size_t len = op->off + op->len - from;
    uint8_t *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)from);
    struct sigaction fault = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    int rc;

    if (map == MAP_FAILED)
        return -errno;
    sigaction(SIGBUS, &fault, NULL);
    mark(f, op, 1);
    if (sigsetjmp(out_of_fault, 0)) {
        rc = -EFAULT;
    } else {
        memcpy(map + (op->off - from), w->buf, op->len);
        rc = result(msync(map, len, MS_SYNC));
    }
    signal(SIGBUS, SIG_DFL);
    if (!rc && !w->writeback)
        mark(f, op, 0);
    munmap(map, len);
    return rc;
}

/* Less than all is an error: the daemon died on the way, or something is wrong. */
static int whole(long done, uint64_t len)
{
    return done < 0 ? -errno : (uint64_t)done == len ? 0 : -EIO;
}

static int do_copy(struct stress_region *r, struct stress_worker *w,
                   const struct stress_op *op, int fd)
{
    loff_t from = (loff_t)op->off, to = (loff_t)op->to;
    char path[PATH_MAX];
    int dest, rc;

    entry_path(r, w, op->other, path);
    dest = open(path, O_RDWR | O_CLOEXEC);
    if (dest < 0)
        return -errno;
    rc = whole(copy_file_range(fd, &from, dest, &to, op->len, 0), op->len);
    close(dest);
    return rc;
}

static int do_on_open(struct stress_region *r, struct stress_worker *w,
                      const struct stress_op *op, int fd, const char *path)
{
    switch (op->kind) {
    case STRESS_WRITE:
        return whole(pwrite(fd, w->buf, op->len, (off_t)op->off), op->len);
    case STRESS_APPEND:
        return whole(write(fd, w->buf, op->len), op->len);
    case STRESS_MMAP:
        return do_mmap(r, w, op, fd);
    case STRESS_TRUNCATE:
        return result(ftruncate(fd, (off_t)op->len));
    case STRESS_OPEN_TRUNC:
        return 0;
    case STRESS_FALLOCATE:
        return result(fallocate(fd, (int)op->flags, (off_t)op->off, (off_t)op->len));
    case STRESS_COPY:
        return do_copy(r, w, op, fd);
    case STRESS_READ:
        return stress_check_open(r, r->entry[op->entry].target, fd, path);
    default:
        return result(op->seed % 2 ? fsync(fd) : fdatasync(fd));
    }
}

static int do_data(struct stress_region *r, struct stress_worker *w,
                   const struct stress_op *op)
{
    int flags = O_RDWR | O_CLOEXEC, fd, rc;
    char path[PATH_MAX];

    if (op->kind == STRESS_APPEND)
        flags |= O_APPEND;
    if (op->kind == STRESS_OPEN_TRUNC)
        flags |= O_TRUNC;
    if (op->kind == STRESS_WRITE || op->kind == STRESS_APPEND || op->kind == STRESS_MMAP)
        stress_fill(w->buf, op->len, op->seed);
    entry_path(r, w, op->entry, path);
    fd = open(path, flags);
    if (fd < 0)
        return -errno;
    rc = do_on_open(r, w, op, fd, path);
    if (close(fd) < 0 && !rc)
        rc = -errno;
    return rc;
}

/* ---- attributes ---- */

static int do_attribute(struct stress_region *r, struct stress_worker *w,
                        const struct stress_op *op)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)op->off}};
    char path[PATH_MAX], name[16];

    entry_path(r, w, op->entry, path);
    snprintf(name, sizeof(name), "user.x%u", op->flags);
    switch (op->kind) {
    case STRESS_CHMOD:
        return result(chmod(path, op->mode));
    case STRESS_UTIMENS:
        return result(utimensat(AT_FDCWD, path, times, 0));
    case STRESS_SETXATTR:
        stress_fill(w->buf, op->len, op->seed);
        return result(setxattr(path, name, w->buf, op->len, 0));
    default:
        return result(removexattr(path, name));
    }
}

int stress_do(struct stress_region *r, struct stress_worker *w,
              const struct stress_op *op)
{
    if (op->kind == STRESS_LIST)
        return stress_check_list(r, w->mnt, op->dir);
    if (op->kind >= STRESS_CHMOD && op->kind <= STRESS_REMOVEXATTR)
        return do_attribute(r, w, op);
    return op->kind <= STRESS_RENAME ? do_name(r, w, op) : do_data(r, w, op);
}

/* ---- after the death ---- */

static int must_be_dead(const char *what, long rc)
{
    if (rc < 0 && (errno == ENOTCONN || errno == ECONNABORTED || errno == EIO))
        return 0;
    fprintf(stderr, "%s of a file that was open when the daemon died: %s\n", what,
            rc < 0 ? strerror(errno) : "succeeded");
    return -EBADMSG;
}

int stress_held_are_dead(struct stress_worker *w)
{
    char byte = 0;
    int rc = 0;

    for (unsigned i = 0; i < STRESS_HELD && !rc; i++) {
        int fd = w->held[i];

        if (fd < 0)
            continue;
        rc = must_be_dead("fsync", fsync(fd));
        /* The size, too, is the kernel's own with its writeback cache. */
        if (!rc && !w->writeback)
            rc = must_be_dead("read", pread(fd, &byte, 1, 1 << 30));
        if (!rc && !w->writeback)
            rc = must_be_dead("write", pwrite(fd, &byte, 1, 0));
        if (!rc)
            rc = must_be_dead("ftruncate", ftruncate(fd, 0));
    }
    return rc;
}
