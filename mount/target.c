/*
 * target.c - see target.h.
 */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mountpoint.h"
#include "store.h"

int target_resolve(const char *arg, struct target *t, struct why *why)
{
    static struct mountinfo m; /* large */
    char path[PATH_MAX];
    bool known, rados = env_is_rados(arg);
    int err = rados ? store_resolve(arg, path, why) : mountpoint_resolve(arg, path, why);

    if (err == -ENOENT)
        return why_set(why, err, "%s: no such store or mount point", arg);
    if (err)
        return err;
    known = !rados && mountinfo_at(path, &m) == 0 && mountinfo_is_siltfs(&m);
    if (!known) {
        err = store_mount(path, &m);
        if (err && err != -ENOENT)
            return why_set(why, err,
                           "%s: whether it is what is mounted on %s cannot be told: %s; "
                           "give the mount point",
                           arg, m.target, strerror(-err));
        known = !err;
    }
    t->mounted = known && !m.read_only;
    snprintf(t->store, sizeof(t->store), "%s", known ? m.source : path);
    snprintf(t->mountpoint, sizeof(t->mountpoint), "%s", known ? m.target : "");
    return 0;
}
