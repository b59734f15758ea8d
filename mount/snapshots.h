/*
 * snapshots.h - the snapshots of a store: checkpoints (lsm.h) in STORE/snapshots/NAME,
 * each a store of its own that nobody writes to.
 */
#ifndef MOUNT_SNAPSHOTS_H
#define MOUNT_SNAPSHOTS_H

#include <limits.h>
#include <time.h>

#include "../lsm/lsm.h"
#include "say.h"

enum { SNAPSHOT_NAME_MAX = 200 }; /* bytes */

struct snapshot {
    const char *name;
    struct timespec made;
    uint64_t bytes; /* of its files */
    uint64_t own;   /* of them those that nothing else holds: what deleting it frees */
};

/* Where it is, or would be. -EINVAL: no name for a snapshot. */
int snapshot_path(const char *store, const char *name, char path[PATH_MAX],
                  struct why *why);
/* The same of one that is there; -ENOENT. */
int snapshot_find(const char *store, const char *name, char path[PATH_MAX],
                  struct why *why);

/* Of db, which is open for writing in the directory store. -EEXIST. */
int snapshot_create(struct lsm *db, const char *store, const char *name, struct why *why);
/* -EBUSY: somebody has it open. What a crash leaves of it is no snapshot any more, and
 * goes with the next that is deleted. */
int snapshot_delete(const char *store, const char *name, struct why *why);

/* fn for each, oldest first; its first non-zero result ends that and is returned. */
typedef int snapshot_fn(void *arg, const struct snapshot *s);
int snapshot_list(const char *store, snapshot_fn *fn, void *arg);

/*
 * Make tables of what the logs of one hold: the moment was taken without waiting for
 * that, and replaying them at each opening takes time and memory, copying them room.
 * Nothing happens while somebody reads it, nor to one that was carried here with its
 * sums.
 */
void snapshot_settle(const char *path);

#endif
