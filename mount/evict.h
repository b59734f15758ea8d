/*
 * evict.h - the removal of a large file does not wait until the kernel has let go of its
 * contents.
 *
 * Whoever gives up the last reference to a file without a name has the kernel throw away
 * the pages that it keeps of it: 0.1 ms for each MiB, a second for 10 GiB that were just
 * written or read. That is unlink(2), mostly. So for a large file a thread of ours takes
 * a reference before unlink(2) returns, and gives it up after that: it is the last, and
 * waits. Where that is not possible (it takes root) the remover waits, as ever.
 */
#ifndef MOUNT_EVICT_H
#define MOUNT_EVICT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../lsm/lsm.h"

struct evict {
    const char *mountpoint;
    struct mutex mu;
    pthread_cond_t wake;
    enum evict_state {
        EVICT_IDLE, /* there is no thread */
        EVICT_BEGUN,
        EVICT_HELD, /* it has the reference */
        EVICT_FAILED,
    } state;
    uint64_t ino;
};

/* mountpoint is borrowed. */
void evict_init(struct evict *e, const char *mountpoint);
/* Returns when no thread is left. */
void evict_release(struct evict *e);

/*
 * What fs/ says (fs_options.last_name): this thread's operation takes the last name from
 * a file that the kernel knows. Notes it, as locks are held.
 */
void evict_note(uint64_t ino, uint64_t size_bytes);
/* Before the reply to that operation, on its thread. Cheap when nothing was noted. */
void evict_noted(struct evict *e);

#endif
