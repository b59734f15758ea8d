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

/* "rados:POOL/NAME", without more slashes than that; nothing is asked of the cluster. */
static int resolve_rados(const char *arg, char path[PATH_MAX], struct why *why)
{
    const char *pool = arg + strlen("rados:"), *name = strchr(pool, '/');
    size_t len = name ? strcspn(++name, "/") : 0;

    if (!env_for(arg))
        return why_set(why, -EOPNOTSUPP,
                       "%s: this siltfs was built without librados: install librados-dev "
                       "and build it again",
                       arg);
    if (!len || name == pool + 1 || name[len + strspn(name + len, "/")] ||
        len > NAME_MAX || name - pool > NAME_MAX || strncmp(name, "..", len) == 0)
        return why_set(why, -EINVAL, "%s: a store on RADOS is called rados:POOL/NAME",
                       arg);
    snprintf(path, PATH_MAX, "rados:%.*s%.*s", (int)(name - pool), pool, (int)len, name);
    return 0;
}

int store_resolve(const char *arg, char path[PATH_MAX], struct why *why)
{
    if (env_is_rados(arg))
        return resolve_rados(arg, path, why);
    return realpath(arg, path) ? 0 : path_why(arg, -errno, why);
}

int store_resolve_new(const char *arg, char path[PATH_MAX], struct why *why)
{
    char dir[PATH_MAX], base[PATH_MAX], parent[PATH_MAX];

    if (env_is_rados(arg))
        return resolve_rados(arg, path, why);
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

static void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static uint64_t now_ms(void)
{
    return env_now_ns(env_posix()) / 1000000;
}

static int lock_open(const char *path, int flags)
{
    char name[PATH_MAX + 8];
    int fd;

    snprintf(name, sizeof(name), "%s/LOCK", path);
    fd = open(name, flags | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* What the lines say behind the process number. */
static void read_words(char *rest, struct holder *h)
{
    static const char failed[] = "failed: ";
    char *line;

    while ((line = strsep(&rest, "\n"))) {
        if (strcmp(line, "mounted") == 0)
            h->mounted = true;
        else if (strcmp(line, "closing") == 0)
            h->closing = true;
        else if (sscanf(line, "device %u:%u", &h->major, &h->minor) == 2)
            h->has_device = true;
        else if (strncmp(line, failed, strlen(failed)) == 0)
            snprintf(h->failed, sizeof(h->failed), "%s", line + strlen(failed));
    }
}

static int rados_holder(const char *path, struct holder *h)
{
    struct env_rados_holder its;
    int err = env_rados_holder(path, &its);

    if (err)
        return err;
    h->pid = its.pid;
    h->elsewhere = !its.here;
    snprintf(h->machine, sizeof(h->machine), "%s", its.machine);
    read_words(its.text, h);
    return h->pid > 0 ? 0 : -ENODATA;
}

int store_holder(const char *path, struct holder *h)
{
    char text[512], *line, *rest = text;
    int fd;
    ssize_t n;

    memset(h, 0, sizeof(*h));
    if (env_is_rados(path))
        return rados_holder(path, h);
    fd = lock_open(path, O_RDONLY);
    if (fd < 0)
        return fd;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    if ((line = strsep(&rest, "\n")))
        h->pid = atoi(line);
    read_words(rest, h);
    return h->pid > 0 ? 0 : -ENODATA;
}

void store_mark(const char *path, const char *word)
{
    char text[512];
    int fd, len = snprintf(text, sizeof(text), "%d\n%s\n", (int)getpid(), word);

    if (env_is_rados(path)) {
        (void)env_rados_mark(path, word); /* others will not know, and not wait */
        return;
    }
    fd = lock_open(path, O_WRONLY);
    if (fd < 0)
        return; /* a store on a read-only disk: others will not know, and not wait */
    if (len < (int)sizeof(text) && pwrite(fd, text, (size_t)len, 0) == len &&
        ftruncate(fd, len) < 0)
        err_log("%s/LOCK: %s", path, strerror(errno));
    close(fd);
}

void store_mark_mounted(const char *path, const char *mountpoint)
{
    static struct mountinfo m; /* large */
    char words[64];

    if (!env_is_rados(path) || mountinfo_at(mountpoint, &m)) {
        store_mark(path, "mounted");
        return;
    }
    snprintf(words, sizeof(words), "mounted\ndevice %u:%u", m.major, m.minor);
    store_mark(path, words);
}

/* Nobody writes to it: nobody, or readers, who leave no record. */
static int mount_of_readers(const struct mountinfo *m)
{
    return m->read_only ? 0 : -ENOENT;
}

int store_mount(const char *path, struct mountinfo *m)
{
    uint64_t until = now_ms() + LEAVING_MS;
    struct holder h;
    int err;

    for (;;) {
        err = mountinfo_of_store(path, m);
        if (err || !env_is_rados(path))
            return err;
        err = store_holder(path, &h);
        if (err)
            return err == -ENOENT || err == -ENODATA ? mount_of_readers(m) : err;
        if (h.elsewhere || h.closing || h.failed[0])
            return mount_of_readers(m);
        if (h.has_device)
            return mountinfo_of_device(path, h.major, h.minor, m);
        if (h.mounted)
            return 0; /* by an older siltfs */
        /* It may be about to say so; else it has the store open for something else. */
        if (now_ms() >= until)
            return mount_of_readers(m);
        sleep_ms(POLL_MS);
    }
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

static int rados_wait_free(const char *path, bool readers, unsigned timeout_ms)
{
    uint64_t until = now_ms() + timeout_ms;
    struct env_rados_holder h;
    struct mountinfo m;
    int err = 0;

    /* Readers leave no record: nobody waits for them. Nor for who took the store over. */
    while (!readers && !(err = env_rados_holder(path, &h)) && h.here && !h.dead &&
           store_mount(path, &m) == -ENOENT) {
        if (now_ms() >= until)
            return -ETIMEDOUT;
        sleep_ms(POLL_MS);
    }
    return err == -ENOENT ? 0 : err;
}

int store_wait_free(const char *path, bool readers, unsigned timeout_ms)
{
    uint64_t until = now_ms() + timeout_ms;
    int err = 0, fd;

    if (env_is_rados(path))
        return rados_wait_free(path, readers, timeout_ms);
    fd = lock_open(path, readers ? O_RDONLY : O_RDWR);
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

    *claim = -1;
    if (env_is_rados(path))
        return 0; /* who makes it first has it: names there are made at once */
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
    if (h.elsewhere)
        return h.closing ? CLOSING_MS : 0;
    unmounted = store_mount(path, &m) == -ENOENT;
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

    if (store_holder(path, &h) == 0 && h.elsewhere)
        return why_set(
            why, -EBUSY,
            "%s: in use by process %d of the machine %s; unmount it there; if that "
            "is dead or cut off its lease ends soon: try again then",
            path, h.pid, h.machine);
    if (store_mount(path, &m) == 0)
        return why_set(
            why, -EBUSY,
            "%s: in use: mounted on %s by process %d; `siltfs umount %s` frees it", path,
            m.target, store_holder(path, &h) ? 0 : h.pid, m.target);
    if (store_holder(path, &h) == 0)
        return why_set(why, -EBUSY, "%s: in use by process %d; wait for it or stop it",
                       path, h.pid);
    return why_set(why, -EBUSY, "%s: in use by another process", path);
}

static int no_store_why(const char *path, struct why *why)
{
    struct mountinfo m;

    if (mountinfo_at(path, &m) == 0 && mountinfo_is_siltfs(&m))
        return why_set(why, -ENOENT,
                       "%s: where %s is mounted; `siltfs umount %s`, then give the store",
                       path, m.source, path);
    return why_set(why, -ENOENT,
                   "%s: a directory, but not a siltfs store; `siltfs mkfs` makes one of "
                   "an empty directory",
                   path);
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
        return no_store_why(path, why);
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

static int stop_at_first(void *arg, const char *name)
{
    return 1;
}

static int look_first(const char *path, struct why *why)
{
    struct stat st;
    int err;

    if (env_is_rados(path)) {
        err = env_list(env_for(path), path, stop_at_first, NULL);
        if (err == -ENOENT || err >= 0)
            return err < 0 ? path_why(path, err, why) : 0;
        return store_why(path, err, why);
    }

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
    int err;

    log_collect();
    err = o->create ? 0 : look_first(path, why);
    if (err)
        return err;
    err = open_waiting(path, o, db);
    if (err)
        store_why(path, err, why);
    return err;
}
