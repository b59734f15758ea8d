/*
 * env_posix.c - the env of a directory on the host; see env.h.
 *
 * Appends to a preallocated file (a log) are copies into a mapping
 * (env_window.h): a tenth of the cost of write(), with the same safety. All
 * other appends are pwritev. A read first asks for what is cached, so that the
 * block hook is called only when the thread is really about to wait.
 */
#include "env.h"

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
    MAX_PARTS = 64,    /* of one pwritev */
    NICENESS = 5,      /* of background threads: a third of a processor that is wanted */
    LARGE = 32 * 1024, /* bytes of memory */
};

struct posix_file {
    struct env_file base;
    int fd;
    bool cannot_nowait; /* the filesystem has no RWF_NOWAIT; a hint, atomic */
    uint64_t pos;       /* where the next append goes */
    uint64_t chunk;     /* preallocated at a time; 0: never */
    struct env_window window;
};

struct env_lock {
    int fd;
};

static struct posix_file *posix_file(struct env_file *f)
{
    return (struct posix_file *)f;
}

/* What errno says, in the words of env.h. */
static int failure(void)
{
    return errno == EDQUOT ? -ENOSPC : -errno;
}

static int result(int rc)
{
    return rc < 0 ? failure() : 0;
}

/* fdatasync or fsync. Interrupted, it has not failed: nothing was given up. */
static int sync_fd(int fd, int sync(int))
{
    int rc;

    env_about_to_block();
    do
        rc = sync(fd);
    while (rc < 0 && errno == EINTR);
    rc = result(rc);
    return rc == -ENOSPC ? -EIO : rc;
}

/* ---- files ---- */

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
                env_about_to_block();
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
static int write_all(int fd, struct iovec *iov, int n, uint64_t off)
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
        rc = write_all(fd, iov, (int)take, off);
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

static int posix_append(struct env_file *file, const struct slice *parts, unsigned n)
{
    struct posix_file *f = posix_file(file);
    uint64_t pos = f->pos, end = pos;
    unsigned i;
    int rc = 0;

    for (i = 0; i < n; i++)
        end += parts[i].len;
    grow_window(f, end);
    for (i = 0; i < n && pos + parts[i].len <= f->window.limit; i++) {
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
    return sync_fd(posix_file(file)->fd, fdatasync);
}

static int posix_truncate(struct env_file *file, uint64_t size)
{
    struct posix_file *f = posix_file(file);
    int rc;

    f->chunk = 0; /* the file has its final size, or is written plainly from here */
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

static void posix_writeback(struct env_file *file, uint64_t off, size_t len)
{
    (void)sync_file_range(posix_file(file)->fd, (off_t)off, (off_t)len,
                          SYNC_FILE_RANGE_WRITE);
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
    .close = posix_close,
};

/*
 * In place of a file a stranger's store may have anything: a symbolic link, a FIFO that
 * nobody ever writes to, a device. Opening such a one neither waits nor follows, and then
 * it is refused.
 */
static int open_regular(const char *path, int flags)
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
static void give_to_owner(const char *path, int fd)
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
    int fd = open_regular(path, flags[mode]);

    if (fd >= 0 && mode == ENV_CREATE)
        give_to_owner(path, fd);
    return fd;
}

static int posix_open(struct env *e, const char *path, enum env_mode mode,
                      uint64_t preallocate, struct env_file **out)
{
    struct posix_file *f;
    uint64_t allocated = 0;
    int rc;

    f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->base.ops = &file_ops;
    f->fd = open_fd(path, mode);
    if (f->fd < 0) {
        rc = f->fd;
        free(f);
        return rc;
    }
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

/* ---- names ---- */

static int posix_rename(struct env *e, const char *from, const char *to)
{
    return result(rename(from, to));
}

static int posix_unlink(struct env *e, const char *path)
{
    return result(unlink(path));
}

static int posix_link(struct env *e, const char *from, const char *to)
{
    return result(link(from, to));
}

static int posix_mkdir(struct env *e, const char *path)
{
    return result(mkdir(path, 0700));
}

static int posix_list(struct env *e, const char *path, env_list_fn *fn, void *arg)
{
    DIR *dir = opendir(path);
    int rc = 0;

    if (!dir)
        return -errno;
    while (rc == 0) {
        struct dirent *d;

        errno = 0;
        d = readdir(dir);
        if (!d) {
            rc = -errno;
            break;
        }
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            rc = fn(arg, d->d_name);
    }
    closedir(dir);
    return rc;
}

static int posix_sync_dir(struct env *e, const char *path)
{
    int fd, rc;

    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    rc = sync_fd(fd, fsync);
    close(fd);
    return rc;
}

static int posix_stat(struct env *e, const char *path, uint64_t *size)
{
    struct stat st;

    if (lstat(path, &st))
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -ENOENT;
    *size = (uint64_t)st.st_size;
    return 0;
}

/* The process's number goes into the file, for people who wonder who it is. */
static int write_pid(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    struct iovec iov = {text, (size_t)len};
    int rc = write_all(fd, &iov, 1, 0);

    return rc ? rc : result(ftruncate(fd, len));
}

/* Given away only when it was made here: one that is there may be a link to anything. */
static int open_lock(const char *path)
{
    int fd = open_regular(path, O_RDWR | O_CREAT | O_EXCL);

    if (fd == -EEXIST)
        return open_regular(path, O_RDWR | O_CREAT);
    if (fd >= 0)
        give_to_owner(path, fd);
    return fd;
}

static int posix_lock(struct env *e, const char *path, struct env_lock **out)
{
    struct env_lock *l = malloc(sizeof(*l));
    int rc = 0;

    if (!l)
        return -ENOMEM;
    l->fd = open_lock(path);
    if (l->fd < 0) {
        rc = l->fd;
        free(l);
        return rc;
    }
    rc = result(flock(l->fd, LOCK_EX | LOCK_NB));
    if (!rc) {
        rc = write_pid(l->fd);
        if (rc == -ENOSPC)
            rc = 0; /* a full disk must not keep the store from being opened */
    }
    if (rc) {
        close(l->fd);
        free(l);
        return rc;
    }
    *out = l;
    return 0;
}

static void posix_unlock(struct env *e, struct env_lock *l)
{
    close(l->fd);
    free(l);
}

/* ---- the rest ---- */

static int posix_space(struct env *e, const char *path, uint64_t *total, uint64_t *avail)
{
    struct statvfs s;

    if (statvfs(path, &s))
        return -errno;
    *total = (uint64_t)s.f_blocks * s.f_frsize;
    *avail = (uint64_t)s.f_bavail * s.f_frsize;
    return 0;
}

static uint64_t posix_now_ns(struct env *e)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void posix_sleep_ns(struct env *e, uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
        ;
}

/* On Linux niceness is a thread's own. */
static void posix_background(struct env *e)
{
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
}

static const struct env_ops posix_ops = {
    .open = posix_open,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .link = posix_link,
    .mkdir = posix_mkdir,
    .list = posix_list,
    .sync_dir = posix_sync_dir,
    .stat = posix_stat,
    .lock = posix_lock,
    .unlock = posix_unlock,
    .space = posix_space,
    .now_ns = posix_now_ns,
    .sleep_ns = posix_sleep_ns,
    .background = posix_background,
};

unsigned env_files_max(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur > UINT32_MAX)
        return UINT32_MAX;
    return (unsigned)r.rlim_cur;
}

void *env_alloc(size_t bytes)
{
    void *p;

    if (bytes < LARGE)
        return aligned_alloc(64, (bytes + 63) / 64 * 64);
    p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void env_free(void *p, size_t bytes)
{
    if (bytes < LARGE)
        free(p);
    else if (p)
        munmap(p, bytes);
}

struct env *env_posix(void)
{
    static struct env env = {&posix_ops};

    return &env;
}
