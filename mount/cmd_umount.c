/*
 * cmd_umount.c - siltfs umount MNT: umount(8) returns before the daemon has
 * written what it holds; this returns when the store is closed.
 */
#include <getopt.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "mountinfo.h"
#include "mountpoint.h"
#include "store.h"

enum { FOREVER_MS = UINT32_MAX, EXIT_MS = 10 * 1000 };

/* Does a daemon serve it, that writes to its store? */
static bool is_written(const char *path)
{
    struct statvfs s;

    return statvfs(path, &s) == 0 && !(s.f_flag & ST_RDONLY);
}

/* Is there anything to recover? If that cannot be told, the next one has the store. */
static bool was_closed(const char *store)
{
    struct lsm_options o;
    struct lsm_stats stats = {0};
    struct lsm *db;
    struct why why;

    lsm_options_init(&o);
    o.read_only = true;
    o.verify_bytes = 0;
    if (store_open(store, &o, &db, &why))
        return true;
    lsm_get_stats(db, &stats);
    lsm_close(db); /* nothing was written */
    return stats.recovered_logs == 0;
}

/* The daemon is h's; wait until it has let go of the store, and hear how it went. */
static int wait_closed(const char *store, const struct holder *h, bool written,
                       struct why *why)
{
    static struct mountinfo other;
    struct holder now;
    int err = store_wait_free(store, !written, FOREVER_MS);

    if (err)
        return why_set(why, err, "unmounted, but cannot wait for %s to be closed: %s",
                       store, strerror(-err));
    /* Another mount has taken the store over: the record is its. */
    if (env_is_rados(store) && store_mount(store, &other) == 0)
        return 0;
    if (!written)
        return 0; /* other readers may be there, and LOCK tells of none */
    /* It has the last word in LOCK before it exits, unless a next one writes there. */
    if (!h->pid || process_wait_gone(h->pid, EXIT_MS) || store_holder(store, &now))
        return 0;
    if (now.pid == h->pid && now.failed[0])
        return why_set(
            why, -EIO,
            "unmounted, but closing %s failed, and the last writes may be lost: %s",
            store, now.failed);
    if (written && now.pid == h->pid && !was_closed(store))
        return why_set(why, -EIO,
                       "unmounted, but the daemon died while it closed %s: all is there, "
                       "but not safe from power loss before it is mounted and unmounted "
                       "again",
                       store);
    return 0;
}

/* Many look at a mount for a moment, as df does at all there are: it is in use when it
 * stays so. */
static int unmount_patiently(const char *path, enum unmount_how how, struct why *why)
{
    enum { PATIENCE = 20 };
    static const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    int err, tries = 0;

    while ((err = mountpoint_unmount(path, how, why)) == -EBUSY && tries++ < PATIENCE)
        nanosleep(&pause, NULL);
    return err;
}

static int unmount(const char *arg, enum unmount_how how, struct why *why)
{
    static char path[PATH_MAX];
    static struct mountinfo m;
    struct holder h;
    bool written, others; /* the record is */
    int err = mountpoint_resolve(arg, path, why);

    if (err)
        return err;
    if (mountinfo_at(path, &m))
        return why_set(why, -EINVAL, "%s: not mounted", path);
    if (!mountinfo_is_siltfs(&m))
        return why_set(why, -EINVAL, "%s: not a siltfs mount but %s; use umount(8)", path,
                       m.type);
    if (store_holder(m.source, &h))
        h.pid = 0;
    written = is_written(path);
    others = written && env_is_rados(m.source) && h.pid && h.has_device &&
             (h.major != m.major || h.minor != m.minor);
    err = unmount_patiently(path, how, why);
    if (err == -EBUSY)
        return why_set(
            why, err,
            "%s: in use; close what is open in it (`fuser -vm %s` lists it), or "
            "detach it with -l",
            path, path);
    if (err || how == UNMOUNT_LAZY)
        return err;
    if (others)
        return why_set(why, -EXDEV,
                       "unmounted, but whether %s was closed cannot be told: another has "
                       "taken it over, or it is of another cluster than is configured here",
                       m.source);
    return wait_closed(m.source, &h, written, why);
}

int cmd_umount(int argc, char **argv)
{
    enum unmount_how how = UNMOUNT;
    struct why why;
    int c;

    opterr = 0;
    while ((c = getopt(argc, argv, "l")) != -1) {
        if (c != 'l')
            return usage("umount");
        how = UNMOUNT_LAZY;
    }
    if (argc - optind != 1)
        return usage("umount");
    return unmount(argv[optind], how, &why) ? fail("%s", why.text) : 0;
}
