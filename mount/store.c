/*
 * store.c - see store.h.
 */
#include "store.h"

#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "mountinfo.h"
#include "progress.h"

enum {
    POLL_MS = 10,
    CLOSING_MS = 60 * 1000, /* how long to wait for a store that is being closed */
    LEAVING_MS = 2 * 1000,  /* ... for one whose holder seems to be going */
    PF_EXITING = 0x4,       /* <linux/sched.h>; field 9 of /proc/PID/stat */
};

/* ---- paths ---- */

static int path_why(const char *arg, int err, struct why *why)
{
    if (err == -ENOENT)
        return why_set(why, err, "%s: no such store; `siltfs mkfs %s` makes one", arg,
                       arg);
    return why_set(why, err, "%s: %s", arg, strerror(-err));
}

int store_resolve(const char *arg, char path[PATH_MAX], struct why *why)
{
    return realpath(arg, path) ? 0 : path_why(arg, -errno, why);
}

int store_resolve_new(const char *arg, char path[PATH_MAX], struct why *why)
{
    char dir[PATH_MAX], base[PATH_MAX], parent[PATH_MAX];

    if (realpath(arg, path))
        return 0;
    if (errno != ENOENT || strlen(arg) >= PATH_MAX)
        return path_why(arg, errno == ENOENT ? -ENAMETOOLONG : -errno, why);
    strcpy(dir, arg);
    strcpy(base, arg);
    if (!realpath(dirname(dir), parent))
        return why_set(why, -errno, "%s: %s; make the directory above it first", arg,
                       strerror(errno));
    if (snprintf(path, PATH_MAX, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent,
                 basename(base)) >= PATH_MAX)
        return path_why(arg, -ENAMETOOLONG, why);
    return 0;
}

/* ---- who has it ---- */

static int lock_open(const char *path, int flags)
{
    char name[PATH_MAX + 8];
    int fd;

    snprintf(name, sizeof(name), "%s/LOCK", path);
    fd = open(name, flags | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int store_holder(const char *path, struct holder *h)
{
    static const char failed[] = "failed: ";
    char text[512], *line, *rest = text;
    int fd = lock_open(path, O_RDONLY);
    ssize_t n;

    memset(h, 0, sizeof(*h));
    if (fd < 0)
        return fd;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    if ((line = strsep(&rest, "\n")))
        h->pid = atoi(line);
    while ((line = strsep(&rest, "\n"))) {
        if (strcmp(line, "mounted") == 0)
            h->mounted = true;
        else if (strcmp(line, "closing") == 0)
            h->closing = true;
        else if (strncmp(line, failed, strlen(failed)) == 0)
            snprintf(h->failed, sizeof(h->failed), "%s", line + strlen(failed));
    }
    return h->pid > 0 ? 0 : -ENODATA;
}

void store_mark(const char *path, const char *word)
{
    char text[512];
    int fd = lock_open(path, O_WRONLY);
    int len = snprintf(text, sizeof(text), "%d\n%s\n", (int)getpid(), word);

    if (fd < 0)
        return; /* a store on a read-only disk: others will not know, and not wait */
    if (len < (int)sizeof(text) && pwrite(fd, text, (size_t)len, 0) == len &&
        ftruncate(fd, len) < 0)
        err_log("%s/LOCK: %s", path, strerror(errno));
    close(fd);
}

/* Gone, or past the point of no return: its locks are free, or about to be. */
static bool process_leaving(int pid)
{
    char name[64], stat[1024], *at, state;
    unsigned flags;
    FILE *f;
    size_t n;

    snprintf(name, sizeof(name), "/proc/%d/stat", pid);
    f = fopen(name, "re");
    if (!f)
        return kill(pid, 0) < 0 && errno == ESRCH;
    n = fread(stat, 1, sizeof(stat) - 1, f);
    fclose(f);
    stat[n] = '\0';
    at = strrchr(stat, ')'); /* the name before it may hold anything */
    return !at || sscanf(at + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2 ||
           state == 'Z' || state == 'X' || (flags & PF_EXITING);
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static uint64_t now_ms(void)
{
    return env_now_ns(env_posix()) / 1000000;
}

int process_wait_gone(int pid, unsigned timeout_ms)
{
    uint64_t until = now_ms() + timeout_ms;

    while (!process_leaving(pid)) {
        if (now_ms() >= until)
            return -ETIMEDOUT;
        sleep_ms(POLL_MS);
    }
    return 0;
}

int store_wait_free(const char *path, bool readers, unsigned timeout_ms)
{
    uint64_t until = now_ms() + timeout_ms;
    int err = 0, fd = lock_open(path, readers ? O_RDONLY : O_RDWR);

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    while (flock(fd, (readers ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
        err = -errno;
        if (err != -EWOULDBLOCK && err != -EINTR)
            break;
        err = -ETIMEDOUT;
        if (now_ms() >= until)
            break;
        sleep_ms(POLL_MS);
        err = 0;
    }
    close(fd);
    return err;
}

/* ---- making ---- */

int store_claim(const char *path, int *claim, struct why *why)
{
    const char *slash = strrchr(path, '/'); /* it is absolute */
    char parent[PATH_MAX];
    int rc;

    snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path),
             path);
    *claim = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*claim < 0)
        return path_why(parent, -errno, why);
    rc = flock(*claim, LOCK_EX | LOCK_NB);
    if (rc < 0 && errno == EWOULDBLOCK) {
        note("waiting for another that makes a store in %s", parent);
        while ((rc = flock(*claim, LOCK_EX)) < 0 && errno == EINTR &&
               !progress_canceled())
            ;
    }
    if (rc < 0 && errno == EINTR)
        return why_set(why, -ECANCELED, "interrupted; nothing was done");
    return 0; /* else a filesystem without such locks: as if we were alone */
}

void store_unclaim(int claim)
{
    if (claim >= 0)
        close(claim);
}

/* ---- opening ---- */

/*
 * How long it is worth waiting for the holder: it says so itself, or it is
 * exiting, or its mount is gone, as between an umount(8) and the word "closing": on a
 * busy machine that took six seconds.
 */
static unsigned worth_waiting_ms(const char *path)
{
    struct mountinfo m;
    struct holder h;
    bool unmounted;

    if (store_holder(path, &h))
        return LEAVING_MS;
    unmounted = mountinfo_of_store(path, &m) == -ENOENT;
    if (h.closing || (h.mounted && unmounted))
        return CLOSING_MS;
    return unmounted || process_leaving(h.pid) ? LEAVING_MS : 0;
}

static int open_waiting(const char *path, const struct lsm_options *o, struct lsm **db)
{
    uint64_t since = now_ms();
    int err;

    while ((err = lsm_open(path, o, db)) == -EBUSY &&
           now_ms() - since < worth_waiting_ms(path)) {
        log_forget();
        sleep_ms(POLL_MS);
    }
    return err;
}

static int busy_why(const char *path, struct why *why)
{
    struct mountinfo m;
    struct holder h;

    if (mountinfo_of_store(path, &m) == 0)
        return why_set(
            why, -EBUSY,
            "%s: in use: mounted on %s by process %d; `siltfs umount %s` frees it", path,
            m.target, store_holder(path, &h) ? 0 : h.pid, m.target);
    if (store_holder(path, &h) == 0)
        return why_set(why, -EBUSY, "%s: in use by process %d; wait for it or stop it",
                       path, h.pid);
    return why_set(why, -EBUSY, "%s: in use by another process", path);
}

int store_why(const char *path, int err, struct why *why)
{
    char line[1024];
    bool logged = log_first(line, sizeof(line));

    switch (err) {
    case -EBUSY:
        return busy_why(path, why);
    case -EPROTONOSUPPORT:
        return why_set(
            why, err,
            "%s: written by a newer siltfs%s%s%s; use that version or a later one", path,
            logged ? " (" : "", logged ? line : "", logged ? ")" : "");
    case -EUCLEAN:
        return why_set(
            why, err,
            "%s: damaged, and left as it is: %s; restore it from a copy, or let "
            "`siltfs fsck --repair %s` save what is readable; if only contents of files "
            "are damaged, `-o verify=none` mounts it as it is",
            path, logged ? line : "no detail was given", path);
    case -ENOENT:
        return why_set(
            why, err,
            "%s: a directory, but not a siltfs store; `siltfs mkfs` makes one of "
            "an empty directory",
            path);
    case -EROFS:
        return why_set(why, err, "%s: on a read-only disk; `siltfs mount -o ro` reads it",
                       path);
    default:
        if (err == -EINVAL && logged && strncmp(line, path, strlen(path)) == 0)
            return why_set(why, err, "%s", line); /* it holds something else */
        return why_set(why, err, "%s: cannot be opened: %s%s%s%s", path, strerror(-err),
                       logged ? " (" : "", logged ? line : "", logged ? ")" : "");
    }
}

static int look_first(const char *path, struct why *why)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return path_why(path, -errno, why);
    if (!S_ISDIR(st.st_mode))
        return why_set(why, -ENOTDIR, "%s: not a store, which is a directory", path);
    if (access(path, R_OK | X_OK) < 0)
        return why_set(why, -errno, "%s: %s; are you its owner?", path, strerror(errno));
    return 0;
}

int store_open(const char *path, const struct lsm_options *o, struct lsm **db,
               struct why *why)
{
    int err = o->create ? 0 : look_first(path, why);

    if (err)
        return err;
    log_collect();
    err = open_waiting(path, o, db);
    if (err)
        store_why(path, err, why);
    return err;
}
