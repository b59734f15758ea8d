/*
 * within.c - see within.h.
 */
#include "within.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "mountinfo.h"
#include "mountpoint.h"

/* Of a symbolic link, the directory that it is in. */
static int real_path(const char *arg, bool link, char path[PATH_MAX], struct why *why)
{
    char copy[PATH_MAX];

    if (snprintf(copy, sizeof(copy), "%s", arg) >= PATH_MAX)
        return why_set(why, -ENAMETOOLONG, "%s: %s", arg, strerror(ENAMETOOLONG));
    return mountpoint_resolve(link ? dirname(copy) : arg, path, why);
}

/* The mount that path, whose directory is real, lies in: the nearest mount point above.
 */
static int find_mount(const char *path, char mountpoint[PATH_MAX], struct why *why)
{
    static struct mountinfo m;
    char *slash;

    snprintf(mountpoint, PATH_MAX, "%s", path);
    while (mountinfo_at(mountpoint, &m) != 0) {
        slash = strrchr(mountpoint, '/');
        if (!slash || !mountpoint[1])
            return why_set(why, -EINVAL, "%s: not in a siltfs mount", path);
        slash[slash == mountpoint] = '\0';
    }
    if (!mountinfo_is_siltfs(&m))
        return why_set(why, -EINVAL, "%s: not in a siltfs mount, but in one of type %s",
                       path, m.type);
    return 0;
}

int within_open(const char *arg, struct within *w, struct why *why)
{
    static char path[PATH_MAX];
    struct stat st;
    int err;

    w->fd = open(arg, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (w->fd < 0)
        return why_set(why, -errno, "%s: %s", arg, strerror(errno));
    if (fstat(w->fd, &st) < 0) {
        err = why_set(why, -errno, "%s: %s", arg, strerror(errno));
    } else {
        err = real_path(arg, S_ISLNK(st.st_mode), path, why);
        if (!err)
            err = find_mount(path, w->mountpoint, why);
    }
    if (!err && control_owns(st.st_ino))
        err =
            why_set(why, -EINVAL, "%s: of the control directory, or of a snapshot", arg);
    if (err)
        within_close(w);
    else
        w->ino = st.st_ino;
    return err;
}

void within_close(struct within *w)
{
    close(w->fd);
}
