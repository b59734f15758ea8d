/*
 * mountpoint.c - see mountpoint.h.
 */
#include "mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mountinfo.h"

extern char **environ;

/* ---- where ---- */

static int plain_why(const char *path, int err, struct why *why)
{
    if (err == -ENOENT)
        return why_set(why, err, "%s: no such mount point; make the directory first",
                       path);
    return why_set(why, err, "mount point %s: %s", path, strerror(-err));
}

int mountpoint_resolve(const char *arg, char path[PATH_MAX], struct why *why)
{
    char dir[PATH_MAX], base[PATH_MAX], parent[PATH_MAX];

    if (realpath(arg, path))
        return 0;
    /* A dead mount cannot be looked at, but the directory it is in can. */
    if (errno != ENOTCONN || strlen(arg) >= PATH_MAX)
        return plain_why(arg, -errno, why);
    strcpy(dir, arg);
    strcpy(base, arg);
    if (!realpath(dirname(dir), parent))
        return plain_why(arg, -errno, why);
    if (snprintf(path, PATH_MAX, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent,
                 basename(base)) >= PATH_MAX)
        return plain_why(arg, -ENAMETOOLONG, why);
    return 0;
}

/* ---- unmounting ---- */

/* Run fusermount3, its complaint into said; its exit code or -errno. */
static int run_fusermount(const char *path, enum unmount_how how, char *said, size_t cap)
{
    char *argv[] = {"fusermount3", "-u", "--", (char *)path, NULL, NULL};
    posix_spawn_file_actions_t fds;
    int err, status, to[2];
    ssize_t n;
    size_t len = 0;
    pid_t pid;

    if (how == UNMOUNT_LAZY) {
        argv[2] = "-z";
        argv[3] = "--";
        argv[4] = (char *)path;
    }
    if (pipe2(to, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_init(&fds);
    posix_spawn_file_actions_adddup2(&fds, to[1], STDERR_FILENO);
    err = -posix_spawnp(&pid, argv[0], &fds, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&fds);
    close(to[1]);
    while (!err && len + 1 < cap && (n = read(to[0], said + len, cap - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = '\0';
    close(to[0]);
    if (err)
        return err;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

static int unmount_by_helper(const char *path, enum unmount_how how, struct why *why)
{
    char said[512];
    int rc = run_fusermount(path, how, said, sizeof(said));

    if (rc == 0)
        return 0;
    if (rc == -ENOENT)
        return why_set(why, rc, "cannot unmount %s: fusermount3 is not installed", path);
    if (rc < 0)
        return why_set(why, rc, "cannot unmount %s: fusermount3: %s", path,
                       strerror(-rc));
    said[strcspn(said, "\n")] = '\0';
    return why_set(why, strstr(said, "busy") ? -EBUSY : -EPERM, "cannot unmount %s: %s",
                   path, said);
}

int mountpoint_unmount(const char *path, enum unmount_how how, struct why *why)
{
    int flags = UMOUNT_NOFOLLOW | (how == UNMOUNT_LAZY ? MNT_DETACH : 0);

    if (umount2(path, flags) == 0)
        return 0;
    if (errno == EPERM)
        return unmount_by_helper(path, how, why);
    return why_set(why, -errno, "cannot unmount %s: %s", path, strerror(errno));
}

/* ---- fit or not ---- */

static int clear_dead(const char *path, const struct mountinfo *m, struct why *why)
{
    int err;

    if (!mountinfo_is_siltfs(m))
        return why_set(
            why, -ENOTCONN,
            "mount point %s: a dead mount of another filesystem (%s) is on it; "
            "unmount it first",
            path, m->type);
    err = mountpoint_unmount(path, UNMOUNT_LAZY, why);
    if (!err)
        note("%s: cleared the mount that a dead siltfs of %s left", path, m->source);
    return err;
}

/* Its attributes the kernel may know without a daemon; the room that is left it asks for.
 * Who is asked while it dies gives ECONNABORTED. */
static bool is_dead(const char *path)
{
    struct statfs s;

    return statfs(path, &s) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* Mounts may be stacked: clear the dead ones until a live one or none is left. */
static int clear_way(const char *path, const char *store, struct why *why)
{
    struct mountinfo m;
    int err;

    while ((err = mountinfo_at(path, &m)) == 0) {
        if (is_dead(path)) {
            err = clear_dead(path, &m, why);
            if (err)
                return err;
            continue;
        }
        if (!mountinfo_is_siltfs(&m))
            return 0;
        if (strcmp(m.source, store) == 0)
            return why_set(why, -EBUSY, "%s: already mounted on %s", store, path);
        return why_set(
            why, -EBUSY,
            "mount point %s: the store %s is mounted on it; `siltfs umount %s` "
            "first",
            path, m.source, path);
    }
    return err == -ENOENT ? 0 : plain_why(path, err, why);
}

/* By device and number, of every directory from inner up: sees through binds. */
static bool is_inside(const char *inner, const char *outer)
{
    char up[PATH_MAX];
    struct stat a, b;
    char *slash;

    if (stat(outer, &b) < 0)
        return false;
    snprintf(up, sizeof(up), "%s", inner);
    for (;;) {
        if (stat(up, &a) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return true;
        slash = strrchr(up, '/');
        if (!slash || !up[1])
            return false;
        slash[slash == up] = '\0';
    }
}

static int empty_or_why(const char *path, struct why *why)
{
    DIR *d = opendir(path);
    struct dirent *e;
    bool any = false;

    if (!d)
        return plain_why(path, -errno, why);
    while (!any && (e = readdir(d)))
        any = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    if (any)
        return why_set(why, -ENOTEMPTY,
                       "mount point %s: not empty; choose another, or hide what is there "
                       "with -o nonempty",
                       path);
    return 0;
}

int mountpoint_check(const char *path, const char *store, bool nonempty, struct why *why)
{
    struct stat st;
    int err = clear_way(path, store, why);

    if (err)
        return err;
    if (stat(path, &st) < 0)
        return plain_why(path, -errno, why);
    if (!S_ISDIR(st.st_mode))
        return why_set(why, -ENOTDIR, "mount point %s: not a directory", path);
    if (is_inside(path, store))
        return why_set(why, -EINVAL,
                       "mount point %s: inside the store %s; choose another", path,
                       store);
    if (is_inside(store, path))
        return why_set(why, -EINVAL,
                       "mount point %s: the store %s is inside it and would be hidden; "
                       "choose another",
                       path, store);
    return nonempty ? 0 : empty_or_why(path, why);
}

/* ---- changing one that is there ---- */

static unsigned long flags_of(const char *words)
{
    static const struct {
        const char *word;
        unsigned long set, clear;
    } known[] = {
        {"ro", MS_RDONLY, 0},
        {"rw", 0, MS_RDONLY},
        {"nosuid", MS_NOSUID, 0},
        {"suid", 0, MS_NOSUID},
        {"nodev", MS_NODEV, 0},
        {"dev", 0, MS_NODEV},
        {"noexec", MS_NOEXEC, 0},
        {"exec", 0, MS_NOEXEC},
        {"noatime", MS_NOATIME, MS_RELATIME},
        {"atime", MS_RELATIME, MS_NOATIME},
        {"sync", MS_SYNCHRONOUS, 0},
        {"async", 0, MS_SYNCHRONOUS},
        {"dirsync", MS_DIRSYNC, 0},
    };
    unsigned long flags = MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_RELATIME;
    size_t len, i;

    for (; *words; words += len + (words[len] == ',')) {
        len = strcspn(words, ",");
        for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (strlen(known[i].word) == len && strncmp(known[i].word, words, len) == 0)
                flags = (flags & ~known[i].clear) | known[i].set;
        }
    }
    return flags;
}

int mountpoint_remount(const char *path, const char *store, const char *words,
                       struct why *why)
{
    struct mountinfo m;
    int err = mountinfo_at(path, &m);

    if (err || !mountinfo_is_siltfs(&m) || strcmp(m.source, store) != 0)
        return why_set(why, -EINVAL, "%s: not mounted on %s", store, path);
    if (mount(store, path, SILTFS_TYPE, flags_of(words), NULL) == 0)
        return 0;
    return why_set(why, -errno, "cannot remount %s: %s", path,
                   errno == EBUSY ? "files are open for writing" : strerror(errno));
}
