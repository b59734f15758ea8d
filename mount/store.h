/*
 * store.h - a STORE directory as the commands see it: where it is, who has it,
 * how to open it and say in one line why that failed.
 *
 * STORE/LOCK is locked by whoever has the store open and holds, as text, its
 * process number and on further lines what it wants others to know:
 *
 *     1234
 *     mounted                     it serves the store, or did until just now
 *     closing                     it has unmounted and is writing the rest
 *     failed: No space left ...   it could not write the rest
 *
 * A store on RADOS (env_rados.h) has a record of its holder that says the same, which
 * machine it is on, and "device 0:57", that of the mount: its name may be that of a store
 * of another cluster, mounted beside it. The record goes when the store was closed.
 */
#ifndef MOUNT_STORE_H
#define MOUNT_STORE_H

#include <limits.h>

#include "../lsm/lsm.h"
#include "mountinfo.h"
#include "say.h"

/* Absolute path of an existing store, symbolic links followed. */
int store_resolve(const char *arg, char path[PATH_MAX], struct why *why);
/* The same for a store that need not exist yet; the directory above it must. */
int store_resolve_new(const char *arg, char path[PATH_MAX], struct why *why);

/*
 * lsm_open of a path from above, with why in words. While the last user is
 * still closing the store, waits for it, up to a minute. The log is collected
 * from here on (log.h); send it somewhere once all is well.
 */
int store_open(const char *path, const struct lsm_options *o, struct lsm **db,
               struct why *why);
/* Put into words err, of opening what is in a store, with the first line logged. */
int store_why(const char *path, int err, struct why *why);

struct holder {
    int pid;
    bool elsewhere;   /* on another machine, or out of sight in this one ... */
    char machine[72]; /* ... which is called so */
    bool mounted, closing;
    bool has_device;
    unsigned major, minor; /* of the mount */
    char failed[256]; /* "" or why its last close failed */
};

/* What LOCK says, whether or not somebody has it; 0, or why it cannot be told. */
int store_holder(const char *path, struct holder *h);
/* As the holder: replace what LOCK says after the process number. */
void store_mark(const char *path, const char *word);
/* As the holder that serves it at mountpoint. */
void store_mark_mounted(const char *path, const char *mountpoint);

/*
 * Where this machine has the store in path mounted: 0, -ENOENT, or why it cannot be told.
 * Of RADOS that is asked of its own cluster, and only when there is a mount of the name; a
 * mount that may be of another is asked nothing. Read-only ones go by the name.
 */
int store_mount(const char *path, struct mountinfo *m);

/* Wait until nobody has the store, or with `readers` nobody who writes: 0, -ETIMEDOUT, or
 * why it cannot be told. */
int store_wait_free(const char *path, bool readers, unsigned timeout_ms);
/*
 * Before a store is made in the directory path, which is built beside it first: only one
 * at a time makes one in the directory above it. Waits for others. 0 or an error;
 * store_unclaim(*claim) in any case.
 */
int store_claim(const char *path, int *claim, struct why *why);
void store_unclaim(int claim);

/* Wait until process pid is gone; 0 or -ETIMEDOUT. */
int process_wait_gone(int pid, unsigned timeout_ms);

#endif
