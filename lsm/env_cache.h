/*
 * env_cache.h - an env that keeps blocks of what is read through it in a local directory,
 * and passes everything else on to the env under it.
 *
 * For a store that is far away (RADOS, NFS) or on a slow disk: what was read once is read
 * from here, also by the next process. Only files that never change are kept, tables and
 * segments that can tell who they are (env_file_identity); what a block is kept for, and
 * its content, are checked at each read. So the directory may be deleted, damaged, full
 * or of another day: that costs reads of the store, and never an answer. Nothing is
 * synced.
 *
 * When the directory's disk fails, or the directory is gone, the cache turns itself off,
 * says so in a line (err.h), and the store is read as without it. Reads of threads that
 * are in the background (env_background) find what is here, and bring nothing.
 * Why it is built so: DESIGN.md, "A local cache". Bytes: FORMAT.md, "Local cache".
 */
#ifndef LSM_ENV_CACHE_H
#define LSM_ENV_CACHE_H

#include "env.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ENV_CACHE_LEAST = 1 << 20 };

struct env_cache_options {
    const char *dir;    /* made if there is none; ours, and nobody else may write to it */
    const char *store;  /* names the part of dir that is used; one process at a time */
    uint64_t bytes;     /* of files there, at most; at least ENV_CACHE_LEAST */
    uint64_t keep_free; /* of dir's filesystem; 0: a twentieth of it */
    unsigned look_ms;   /* how often to see whether it is, and dir is there; 0: 10 s */
};

/*
 * `under` is borrowed. 0; -EPERM when dir is somebody else's, -EBUSY when another process
 * caches the same store there, -EINVAL for too few bytes, or another error of the
 * directory: logged, and the store can be used without. Starts a thread.
 */
int env_cache_open(struct env *under, const struct env_cache_options *o,
                   struct env **out);
/* When no file is open through it any more. Writes what waits to be written. NULL is
 * fine. */
void env_cache_close(struct env *e);

struct env_cache_stats {
    uint64_t limit_bytes;   /* what it may take now; 0: turned off */
    uint64_t bytes;         /* of blocks that are there */
    uint64_t hits, misses;  /* reads of a block, or of a part of one */
    uint64_t hit_bytes;     /* that did not come from the store */
    uint64_t fetched_bytes; /* that did */
    uint64_t stored_bytes;  /* written to the directory */
    uint64_t skipped;       /* blocks not kept: its disk did not keep up */
    uint64_t damaged;       /* blocks that were not what they should be */
};

/* False, and zeros, when e is no such env. */
bool env_cache_get_stats(const struct env *e, struct env_cache_stats *out);

#ifdef __cplusplus
}
#endif

#endif
