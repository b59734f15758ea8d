/*
 * env_rados_spare.c - memory for what an object holds: chunks on their way to the cluster
 * (env_rados_file.c) and pieces read ahead (env_rados_ahead.c).
 *
 * malloc would give each to the system and take it anew, to be filled with zeros first.
 * Some are kept while they are wanted. When none has been for a second, all go back, and
 * so does what librados has freed of its own buffers of that size.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_impl.h"

#include <malloc.h>

enum { SPARES = 8 };

static struct mutex mu = MUTEX_INITIALIZER(LOCK_ENV_RADOS_SPARE);
static struct buf spare[SPARES];
static unsigned n_spare;
static bool taken, used; /* since somebody looked; since all went back */

void rados_spare_take(struct buf *b)
{
    mutex_lock(&mu);
    taken = used = true;
    if (n_spare)
        *b = spare[--n_spare];
    mutex_unlock(&mu);
    if (!b->cap)
        buf_reserve(b, RADOS_OBJECT_BYTES);
}

void rados_spare_give(struct buf *b)
{
    mutex_lock(&mu);
    if (b->cap >= RADOS_OBJECT_BYTES && n_spare < SPARES) {
        buf_clear(b);
        spare[n_spare++] = *b;
        *b = (struct buf){0};
    }
    mutex_unlock(&mu);
    buf_release(b);
}

void rados_spares_age(void)
{
    struct buf old[SPARES];
    unsigned n = 0;
    bool over;

    mutex_lock(&mu);
    over = used && !taken;
    taken = false;
    if (over) {
        used = false;
        while (n_spare)
            old[n++] = spare[--n_spare];
    }
    mutex_unlock(&mu);
    while (n)
        buf_release(&old[--n]);
    if (over)
        malloc_trim(0);
}

#endif
