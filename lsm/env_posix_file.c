/*
 * env_posix_file.c - open files of a directory on the host.
 *
 * Appends to a preallocated file (a log), and small ones to a file that gets many, are
 * copies into a mapping (env_window.h): a tenth of the cost of write(), with the same
 * safety. All other appends are pwritev, also those to a file that is often synced. Zeros
 * are written ahead; in a file that is not preallocated they are what has its room on the
 * disk. A read first asks for what is cached, so that the block hook is called only when
 * the thread is really about to wait.
 */
#include "env_posix_impl.h"

#include "coding.h"
#include "env_window.h"
#include "err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_PARTS = 64,     /* of one pwritev */
    SETTLE = 256 << 10, /* bytes written ahead at a time, in pieces of */
    SETTLE_PIECE = 32 << 10,
    SETTLE_LESS = 64 << 10, /* the same of a file that is cut in the end */
    LARGE = 16 << 10,       /* appends that pwritev does faster than a window */
};

struct posix_file {
    struct env_file base;
    int fd;
    bool cannot_nowait; /* the filesystem has no RWF_NOWAIT; a hint, atomic */
    uint64_t pos;       /* where the next append goes */
    uint64_t chunk;     /* preallocated at a time; 0: never */
    bool often_synced;  /* atomic: a sync reads it beside an append */
    bool in_pieces;     /* zeros are written ahead and mapped, without preallocation, */
    uint64_t plain;     /* but not before this position: */
    bool just_synced;   /* atomic; a sync was asked for since the last append */
    bool read_only;
    bool lost;        /* atomic: writing ahead of a sync failed */
    uint64_t settled; /* blocks before it have been written to, mostly */
    struct env_window window;
};

static struct posix_file *posix_file(struct env_file *f)
{
    return (struct posix_file *)f;
}

static bool is_often_synced(struct posix_file *f)
{
    return __atomic_load_n(&f->often_synced, __ATOMIC_RELAXED);
}

/*
 * A sync writes the zeros ahead, too, and the next store to a page that it wrote is a
 * fault again. That pays when much is written from one sync to the next.
 */
static bool is_to_be_mapped(struct posix_file *f)
{
    if (f->in_pieces && __atomic_load_n(&f->just_synced, __ATOMIC_RELAXED)) {
        __atomic_store_n(&f->just_synced, false, __ATOMIC_RELAXED);
        f->plain = f->pos + SETTLE;
    }
    return !is_often_synced(f) && f->pos >= f->plain;
}

static void set_often_synced(struct posix_file *f, bool often)
{
    __atomic_store_n(&f->often_synced, often, __ATOMIC_RELAXED);
}

/*
 * Read what is cached; -EAGAIN when the rest has to wait for the disk, and
 * -EOPNOTSUPP when that cannot be told. 0 at the end of the file.
 */
static ssize_t read_cached(struct posix_file *f, void *to, size_t len, uint64_t off)
{
    struct iovec iov = {to, len};
    ssize_t n;

    if (__atomic_load_n(&f->cannot_nowait, __ATOMIC_RELAXED))
        return -EOPNOTSUPP;
    n = preadv2(f->fd, &iov, 1, (off_t)off, RWF_NOWAIT);
    if (n >= 0)
        return n;
    if (errno != EAGAIN && errno != EINTR)
        __atomic_store_n(&f->cannot_nowait, true, __ATOMIC_RELAXED);
    return -errno;
}

static int posix_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                       size_t *got)
{
    struct posix_file *f = posix_file(file);
    bool may_block = false;
    size_t done = 0;

    *got = 0;
    while (done < len) {
        uint8_t *at = (uint8_t *)to + done;
        ssize_t n;

        if (may_block) {
            n = pread(f->fd, at, len - done, (off_t)(off + done));
            if (n < 0 && errno != EINTR)
                return -errno;
        } else {
            n = read_cached(f, at, len - done, off + done);
            if (n < 0 && n != -EINTR) {
                may_block = true;
                env_about_to_wait_briefly();
            }
        }
        if (n == 0)
            break;
        if (n > 0)
            done += (size_t)n;
    }
    *got = done;
    return 0;
}

/* Write all of iov, which is changed on the way. */
int posix_write_all(int fd, struct iovec *iov, int n, uint64_t off)
{
    while (n > 0) {
        ssize_t done = pwritev(fd, iov, n, (off_t)off);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return failure();
        off += (uint64_t)done;
        while (n > 0 && (size_t)done >= iov->iov_len) {
            done -= (ssize_t)iov->iov_len;
            iov++;
            n--;
        }
        if (n > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + done;
            iov->iov_len -= (size_t)done;
        }
    }
    return 0;
}

static int write_parts(int fd, const struct slice *parts, unsigned n, uint64_t off)
{
    struct iovec iov[MAX_PARTS];

    while (n > 0) {
        unsigned take = n < MAX_PARTS ? n : MAX_PARTS;
        uint64_t bytes = 0;
        unsigned i;
        int rc;

        for (i = 0; i < take; i++) {
            iov[i] = (struct iovec){(void *)(uintptr_t)parts[i].data, parts[i].len};
            bytes += parts[i].len;
        }
        rc = posix_write_all(fd, iov, (int)take, off);
        if (rc)
            return rc;
        off += bytes;
        parts += take;
        n -= take;
    }
    return 0;
}

/* 0 and *done = 0 where the filesystem cannot. */
static int preallocate_fd(int fd, uint64_t off, uint64_t bytes, uint64_t *done)
{
    int rc;

    *done = 0;
    if (!bytes)
        return 0;
    do
        rc = fallocate(fd, 0, (off_t)off, (off_t)bytes);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : failure();
    *done = bytes;
    return 0;
}

/* Another chunk when the preallocated part ends before `end`. If there is none to
 * be had, write() says why. */
static void grow_window(struct posix_file *f, uint64_t end)
{
    uint64_t more = f->chunk, done;

    if (!f->window.limit || !f->chunk || end <= f->window.limit)
        return;
    while (f->window.limit + more < end)
        more += f->chunk;
    if (preallocate_fd(f->fd, f->window.limit, more, &done) == 0)
        f->window.limit += done;
}

/*
 * Zeros where the next appends go. A block that is preallocated and not written to yet
 * becomes a written one by the sync, which then has metadata of the filesystem to write;
 * and a first store through the window, a page at a time, takes three times as long as
 * this write and a store to what is cached. By write() and not through the window: a
 * store to a page of a large folio makes all of it dirty, and each sync would write it
 * whole.
 */
static void settle(struct posix_file *f, uint64_t end)
{
    static uint8_t zeros[SETTLE_PIECE];
    uint64_t at = f->settled > f->pos ? f->settled : f->pos;
    uint64_t upto = at + (f->in_pieces ? SETTLE_LESS : SETTLE);
    struct iovec iov[SETTLE / SETTLE_PIECE];
    int n = 0;

    if (end <= f->settled || (!f->in_pieces && end > f->window.limit))
        return;
    if (!f->in_pieces && upto > f->window.limit)
        upto = f->window.limit;
    for (uint64_t i = at; i < upto; i += SETTLE_PIECE)
        iov[n++] =
            (struct iovec){zeros, upto - i < SETTLE_PIECE ? upto - i : SETTLE_PIECE};
    if (posix_write_all(f->fd, iov, n, at))
        f->settled = UINT64_MAX; /* slower; an append will tell what is wrong */
    else
        f->settled = upto;
    if (f->in_pieces && f->settled == upto)
        f->window.limit = upto;
}

static int posix_append(struct env_file *file, const struct slice *parts, unsigned n)
{
    struct posix_file *f = posix_file(file);
    uint64_t pos = f->pos, end = pos, mapped = 0;
    bool map;
    unsigned i;
    int rc = 0;

    for (i = 0; i < n; i++)
        end += parts[i].len;
    grow_window(f, end);
    map = is_to_be_mapped(f) && end - pos < LARGE;
    if (map || is_often_synced(f))
        settle(f, end);
    if (map)
        mapped = f->window.limit;
    for (i = 0; i < n && pos + parts[i].len <= mapped; i++) {
        if (env_window_copy(&f->window, f->fd, pos, parts[i].data, parts[i].len) <
            parts[i].len)
            break;
        pos += parts[i].len;
    }
    if (i < n)
        rc = write_parts(f->fd, parts + i, n - i, pos);
    if (rc)
        return rc;
    for (; i < n; i++)
        pos += parts[i].len;
    f->pos = pos;
    return 0;
}

static int posix_sync(struct env_file *file)
{
    struct posix_file *f = posix_file(file);
    int rc;

    __atomic_store_n(&f->just_synced, true, __ATOMIC_RELAXED);
    if (is_often_synced(f))
        env_about_to_wait_briefly(); /* there is little to write */
    else
        env_about_to_block();
    rc = sync_fd(f->fd, fdatasync);
    return rc ? rc : __atomic_load_n(&f->lost, __ATOMIC_RELAXED) ? -EIO : 0;
}

static int posix_truncate(struct env_file *file, uint64_t size)
{
    struct posix_file *f = posix_file(file);
    int rc;

    f->chunk = 0; /* the file has its final size, or is written plainly from here */
    f->in_pieces = false;
    env_window_cut(&f->window, size); /* first: a page beyond the end is a SIGBUS */
    do
        rc = ftruncate(f->fd, (off_t)size);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return failure();
    if (f->pos > size)
        f->pos = size;
    return 0;
}

static int posix_size(struct env_file *file, uint64_t *size)
{
    struct stat st;

    if (fstat(posix_file(file)->fd, &st))
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

static void posix_readahead(struct env_file *file, uint64_t off, size_t len)
{
    posix_fadvise(posix_file(file)->fd, (off_t)off, (off_t)len, POSIX_FADV_WILLNEED);
}

/* What fails here, before the disk is asked, Linux need not tell the sync to come. */
static void posix_writeback(struct env_file *file, uint64_t off, size_t len)
{
    struct posix_file *f = posix_file(file);

    if (sync_file_range(f->fd, (off_t)off, (off_t)len, SYNC_FILE_RANGE_WRITE) < 0 &&
        (errno == EIO || errno == ENOSPC || errno == EDQUOT))
        __atomic_store_n(&f->lost, true, __ATOMIC_RELAXED);
}

static uint64_t posix_next_data(struct env_file *file, uint64_t off)
{
    off_t at = lseek(posix_file(file)->fd, (off_t)off, SEEK_DATA);

    if (at >= 0)
        return (uint64_t)at;
    return errno == ENXIO ? UINT64_MAX : off;
}

static void posix_forget(struct env_file *file, uint64_t off, size_t len)
{
    posix_fadvise(posix_file(file)->fd, (off_t)off, (off_t)len, POSIX_FADV_DONTNEED);
}

static void posix_often_synced(struct env_file *file, bool often)
{
    set_often_synced(posix_file(file), often);
}

static bool posix_in_small_pieces(struct env_file *file)
{
    struct posix_file *f = posix_file(file);

    f->in_pieces = !f->chunk && env_window_possible(f->fd);
    return f->in_pieces;
}

/* Numbers of inodes are given again, but not at the same time of change; and who changes
 * a file in place changes that. Links and names do not. */
static int posix_identity(struct env_file *file, uint8_t id[ENV_IDENTITY])
{
    struct posix_file *f = posix_file(file);
    struct stat st;

    if (!f->read_only)
        return -EOPNOTSUPP;
    if (fstat(f->fd, &st))
        return -errno;
    store_le64(id, (uint64_t)st.st_dev);
    store_le64(id + 8, (uint64_t)st.st_ino);
    store_le64(id + 16,
               (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec);
    store_le64(id + 24, (uint64_t)st.st_size);
    return 0;
}

static int posix_close(struct env_file *file)
{
    struct posix_file *f = posix_file(file);
    int rc;

    env_window_cut(&f->window, 0);
    rc = close(f->fd);
    if (rc < 0)
        rc = errno == EINTR ? 0 : -errno; /* Linux has closed it even so */
    free(f);
    return rc;
}

static const struct env_file_ops file_ops = {
    .pread = posix_pread,
    .append = posix_append,
    .sync = posix_sync,
    .truncate = posix_truncate,
    .size = posix_size,
    .readahead = posix_readahead,
    .writeback = posix_writeback,
    .next_data = posix_next_data,
    .forget = posix_forget,
    .often_synced = posix_often_synced,
    .in_small_pieces = posix_in_small_pieces,
    .identity = posix_identity,
    .close = posix_close,
};

/*
 * In place of a file a stranger's store may have anything: a symbolic link, a FIFO that
 * nobody ever writes to, a device. Opening such a one neither waits nor follows, and then
 * it is refused.
 */
int posix_open_regular(const char *path, int flags)
{
    struct stat st;
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno == ENXIO || errno == EISDIR
                   ? err_corrupt(path, 0, "not a regular file")
                   : failure();
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return err_corrupt(path, 0, "not a regular file");
}

/*
 * What root makes in somebody's directory is theirs, or they could not use their own
 * store after root mounted or repaired it. Where that is not possible it stays root's.
 */
void posix_give_to_owner(const char *path, int fd)
{
    const char *slash = strrchr(path, '/');
    struct stat st;
    char *dir;
    int rc = 0;

    if (geteuid() != 0)
        return;
    dir =
        slash > path ? strndup(path, (size_t)(slash - path)) : strdup(slash ? "/" : ".");
    if (dir && stat(dir, &st) == 0 && st.st_uid != 0)
        rc = fchown(fd, st.st_uid, st.st_gid);
    (void)rc;
    free(dir);
}

static int open_fd(const char *path, enum env_mode mode)
{
    static const int flags[] = {
        [ENV_READ] = O_RDONLY,
        [ENV_CREATE] = O_RDWR | O_CREAT | O_EXCL,
        [ENV_REUSE] = O_RDWR,
    };
    int fd = posix_open_regular(path, flags[mode]);

    if (fd >= 0 && mode == ENV_CREATE)
        posix_give_to_owner(path, fd);
    return fd;
}

int posix_open(struct env *e, const char *path, enum env_mode mode, uint64_t preallocate,
               struct env_file **out)
{
    struct posix_file *f;
    uint64_t allocated = 0;
    int rc;

    f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->base.ops = &file_ops;
    f->read_only = mode == ENV_READ;
    f->fd = open_fd(path, mode);
    if (f->fd < 0) {
        rc = f->fd;
        free(f);
        return rc;
    }
    if (mode == ENV_REUSE)
        (void)posix_size(&f->base, &f->settled);
    if (mode != ENV_READ) {
        rc = preallocate_fd(f->fd, 0, preallocate, &allocated);
        f->chunk = allocated;
        if (rc) {
            posix_close(&f->base);
            if (mode == ENV_CREATE)
                unlink(path);
            return rc;
        }
    }
    env_window_init(&f->window, f->fd, allocated);
    *out = &f->base;
    return 0;
}
