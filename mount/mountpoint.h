/*
 * mountpoint.h - the directory a store is mounted on: is it fit, is it taken,
 * and how it is given back.
 */
#ifndef MOUNT_MOUNTPOINT_H
#define MOUNT_MOUNTPOINT_H

#include <limits.h>
#include <stdbool.h>

#include "say.h"

/* Absolute path of a mount point, also of one whose daemon has died. */
int mountpoint_resolve(const char *arg, char path[PATH_MAX], struct why *why);

/*
 * May `store` be mounted on `path` (both resolved)? It is a directory, empty
 * unless nonempty, neither inside the other, and no siltfs is there. A siltfs
 * mount that a killed daemon left is cleared away, with a note on stderr.
 */
int mountpoint_check(const char *path, const char *store, bool nonempty, struct why *why);

/*
 * Change the kernel's flags of the mount of `store` on `path`, to those that the words
 * say (",ro,noexec"), and nosuid and nodev when they do not say otherwise. -EBUSY:
 * made read-only while files are open for writing.
 */
int mountpoint_remount(const char *path, const char *store, const char *words,
                       struct why *why);

enum unmount_how {
    UNMOUNT,      /* -EBUSY while somebody uses it */
    UNMOUNT_LAZY, /* out of the tree now, gone when the last user is */
};

/* Asks no daemon anything; without root by way of fusermount3. */
int mountpoint_unmount(const char *path, enum unmount_how how, struct why *why);

#endif
