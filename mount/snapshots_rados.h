/*
 * snapshots_rados.h - what snapshots.c does with system calls, of a store on RADOS.
 */
#ifndef MOUNT_SNAPSHOTS_RADOS_H
#define MOUNT_SNAPSHOTS_RADOS_H

#include "snapshots.h"

/* Is the directory path there? 0, -ENOENT or why it cannot be told. */
int rados_snapshot_there(const char *path);
/* dir/name becomes dir/going, and that and all others whose names begin with prefix go.
 * -EBUSY: somebody has it open. */
int rados_snapshot_delete(const char *dir, const char *name, const char *going,
                          const char *prefix);
/* fn for each directory in dir, with its files counted. */
int rados_snapshot_list(const char *dir, snapshot_fn *fn, void *arg);

#endif
