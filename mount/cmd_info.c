/*
 * cmd_info.c - siltfs info PATH...: how files of a mount are kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ask.h"
#include "command.h"
#include "control.h"
#include "mountinfo.h"
#include "mountpoint.h"

static void show(void *arg, const char *line)
{
    printf("  %s\n", line);
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

static bool go_on(void *arg)
{
    return true;
}

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

static int show_one(const char *arg, struct why *why)
{
    struct ask a = {show, no_progress, go_on, NULL};
    static char mountpoint[PATH_MAX], path[PATH_MAX];
    char order[64];
    struct stat st;
    int status, fd, err;

    /* Open while it is asked about, so that the daemon knows the inode. */
    fd = open(arg, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        err = why_set(why, -errno, "%s: %s", arg, strerror(errno));
    } else {
        err = real_path(arg, S_ISLNK(st.st_mode), path, why);
        if (!err)
            err = find_mount(path, mountpoint, why);
    }
    if (!err && control_owns(st.st_ino))
        err =
            why_set(why, -EINVAL, "%s: of the control directory, or of a snapshot", arg);
    if (!err) {
        printf("%s\n", arg);
        snprintf(order, sizeof(order), "info %" PRIu64, (uint64_t)st.st_ino);
        err = ask(mountpoint, order, &a, &status, why);
    }
    if (fd >= 0)
        close(fd);
    return err;
}

int cmd_info(int argc, char **argv)
{
    struct why why;
    int i, rc = 0;

    if (argc < 2 || argv[1][0] == '-')
        return usage("info");
    for (i = 1; i < argc; i++) {
        fflush(stdout);
        if (show_one(argv[i], &why))
            rc = fail("%s", why.text);
    }
    return rc;
}
