/*
 * env_posix.c - the env of a directory on the host; see env.h. Open files are in
 * env_posix_file.c.
 */
#include "env_posix_impl.h"

#include "env_window.h"
#include "err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    NICENESS = 5, /* of background threads: a third of a processor that is wanted */
    FIRST_USER_NS = 0xeffffffd, /* its inode: PROC_USER_INIT_INO of the kernel */
};

struct env_lock {
    int fd;
};

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
    int rc = result(mkdir(path, 0700)), fd;

    if (rc)
        return rc;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        posix_give_to_owner(path, fd);
        close(fd);
    }
    return 0;
}

static int posix_rmdir(struct env *e, const char *path)
{
    return result(rmdir(path));
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
    env_about_to_block();
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

static int posix_same(struct env *e, const char *a, const char *b)
{
    struct stat x, y;

    if (lstat(a, &x) || lstat(b, &y))
        return -errno;
    if (!S_ISREG(x.st_mode) || !S_ISREG(y.st_mode))
        return -ENOENT;
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The process's number goes into the file, for people who wonder who it is. */
static int write_pid(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    struct iovec iov = {text, (size_t)len};
    int rc = posix_write_all(fd, &iov, 1, 0);

    while (!rc && (rc = result(ftruncate(fd, len))) == -EINTR)
        rc = 0;
    return rc;
}

/* Given away only when it was made here: one that is there may be a link to anything. */
static int open_lock(const char *path)
{
    int fd = posix_open_regular(path, O_RDWR | O_CREAT | O_EXCL);

    if (fd == -EEXIST)
        return posix_open_regular(path, O_RDWR | O_CREAT);
    if (fd >= 0)
        posix_give_to_owner(path, fd);
    return fd;
}

static int posix_lock(struct env *e, const char *path, bool shared, struct env_lock **out)
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
    rc = result(flock(l->fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB));
    if (!rc && !shared) {
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

/* May we take what a filesystem keeps for root? It asks for the user's number as it is
 * outside of user namespaces. */
static bool may_take_reserved(void)
{
    struct stat ns;

    return geteuid() == 0 && stat("/proc/self/ns/user", &ns) == 0 &&
           ns.st_ino == FIRST_USER_NS;
}

static int posix_space(struct env *e, const char *path, uint64_t *total, uint64_t *avail)
{
    struct statvfs s;

    if (statvfs(path, &s))
        return -errno;
    *total = (uint64_t)s.f_blocks * s.f_frsize;
    /* Else a disk that we, as root, have filled would seem to have no room to make some.
     */
    *avail = (uint64_t)(may_take_reserved() ? s.f_bfree : s.f_bavail) * s.f_frsize;
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
    .rmdir = posix_rmdir,
    .list = posix_list,
    .sync_dir = posix_sync_dir,
    .stat = posix_stat,
    .same = posix_same,
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

struct env *env_posix(void)
{
    static struct env env = {.ops = &posix_ops};

    return &env;
}
