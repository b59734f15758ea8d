/*
 * mountinfo.h - what is mounted where, as /proc/self/mountinfo tells it.
 * Reading it asks no filesystem anything: safe beside a dead or busy mount.
 */
#ifndef MOUNT_MOUNTINFO_H
#define MOUNT_MOUNTINFO_H

#include <limits.h>
#include <stdbool.h>

#define SILTFS_TYPE "fuse.siltfs"

struct mountinfo {
    unsigned major, minor;
    bool read_only;
    char target[PATH_MAX]; /* mount point */
    char type[64];         /* "fuse.siltfs" */
    char source[PATH_MAX]; /* of a siltfs: its store's absolute path */
};

/* The topmost mount at exactly this path: 0, -ENOENT, or why it cannot be told. */
int mountinfo_at(const char *target, struct mountinfo *out);
/* The last siltfs mount of this store; same errors. On RADOS: of one that is called so, of
 * whatever cluster (store_mount in store.h knows). */
int mountinfo_of_store(const char *store, struct mountinfo *out);
/* The one with this device. */
int mountinfo_of_device(const char *store, unsigned major, unsigned minor,
                        struct mountinfo *out);

bool mountinfo_is_siltfs(const struct mountinfo *m);

#endif
