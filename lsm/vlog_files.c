/*
 * vlog_files.c - the segments of a value log and their descriptors.
 *
 * A store may have more segments than a process has descriptors: only those in
 * use, those not yet synced and the IDLE_MAX used last are open. A lookup takes
 * the lock for a search and a few stores; files are opened and closed without
 * it.
 */
#include "vlog_impl.h"

#include "names.h"

#include <stdlib.h>

enum { IDLE_MAX = 64 };

void segment_files_init(struct segment_files *s, struct env *env, const char *dir)
{
    *s = (struct segment_files){.env = env, .dir = dir};
    mutex_init(&s->mu, LOCK_VLOG_FILES);
    cond_init(&s->opened);
}

int segment_files_release(struct segment_files *s)
{
    int rc = 0;
    size_t i;

    for (i = 0; i < s->n; i++) {
        int close_rc = env_file_close(s->list[i]->file);

        if (!rc)
            rc = close_rc;
        free(s->list[i]);
    }
    free(s->list);
    pthread_cond_destroy(&s->opened);
    mutex_release(&s->mu);
    return rc;
}

/* ---- the list; files.mu is held ---- */

/* Index of the first segment that is not below number. */
static size_t find(const struct segment_files *s, uint64_t number)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (s->list[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct segment *lookup(const struct segment_files *s, uint64_t number)
{
    size_t i = find(s, number);

    return i < s->n && s->list[i]->number == number ? s->list[i] : NULL;
}

static int insert(struct segment_files *s, struct segment *seg)
{
    size_t i = find(s, seg->number);

    if (i < s->n && s->list[i]->number == seg->number)
        return -EEXIST;
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 16;
        struct segment **more = realloc(s->list, cap * sizeof(*more));

        if (!more)
            return -ENOMEM;
        s->list = more;
        s->cap = cap;
    }
    memmove(s->list + i + 1, s->list + i, (s->n - i) * sizeof(*s->list));
    s->list[i] = seg;
    s->n++;
    return 0;
}

/* ---- the idle, by last use; files.mu is held ---- */

static void idle_push(struct segment_files *s, struct segment *seg)
{
    seg->newer = NULL;
    seg->older = s->newest;
    if (s->newest)
        s->newest->newer = seg;
    else
        s->oldest = seg;
    s->newest = seg;
    s->n_idle++;
}

static void idle_remove(struct segment_files *s, struct segment *seg)
{
    if (seg->newer)
        seg->newer->older = seg->older;
    else
        s->newest = seg->older;
    if (seg->older)
        seg->older->newer = seg->newer;
    else
        s->oldest = seg->newer;
    s->n_idle--;
}

void segment_files_close_idle(struct segment_files *s)
{
    struct segment *seg;

    mutex_lock(&s->mu);
    while ((seg = s->oldest)) {
        struct env_file *file = seg->file;

        idle_remove(s, seg);
        seg->file = NULL;
        mutex_unlock(&s->mu);
        env_file_close(file); /* as segment_put does */
        mutex_lock(&s->mu);
    }
    mutex_unlock(&s->mu);
}

/* ---- references ---- */

/*
 * Give a reference back. A file that is not wanted open any more is returned:
 * close it when the lock is dropped.
 */
static struct env_file *put_locked(struct segment_files *s, struct segment *seg)
{
    struct env_file *file = NULL;

    if (--seg->refs)
        return NULL;
    if (seg->doomed) {
        file = seg->file;
        free(seg);
    } else if (seg->file) {
        idle_push(s, seg);
        if (s->n_idle > IDLE_MAX) {
            struct segment *old = s->oldest;

            idle_remove(s, old);
            file = old->file;
            old->file = NULL;
        }
    }
    return file;
}

void segment_put(struct segment_files *s, struct segment *seg)
{
    struct env_file *file;

    mutex_lock(&s->mu);
    file = put_locked(s, seg);
    mutex_unlock(&s->mu);
    env_file_close(file); /* only read, or synced: an error loses nothing */
}

static void ref_locked(struct segment_files *s, struct segment *seg)
{
    if (seg->refs++ == 0 && seg->file)
        idle_remove(s, seg);
}

/* Drops files.mu while it opens. seg is referenced. */
static int open_locked(struct segment_files *s, struct segment *seg)
{
    struct env_file *file = NULL;
    char *path;
    int rc;

    seg->opening = true;
    mutex_unlock(&s->mu);
    path = file_path(s->dir, FILE_SEGMENT, seg->number);
    rc = path ? env_open(s->env, path, ENV_READ, 0, &file) : -ENOMEM;
    free(path);
    mutex_lock(&s->mu);
    seg->opening = false;
    seg->file = file;
    pthread_cond_broadcast(&s->opened);
    return rc;
}

int segment_get(struct segment_files *s, uint64_t number, struct segment **out)
{
    struct segment *seg;
    int rc = 0;

    mutex_lock(&s->mu);
    seg = lookup(s, number);
    if (!seg) {
        mutex_unlock(&s->mu);
        return -ENOENT;
    }
    ref_locked(s, seg);
    while (rc == 0 && !seg->file) {
        if (seg->opening)
            cond_wait(&s->opened, &s->mu);
        else
            rc = open_locked(s, seg);
    }
    if (rc)
        put_locked(s, seg); /* no file: nothing to close */
    mutex_unlock(&s->mu);
    *out = seg;
    return rc;
}

/* ---- life ---- */

int segment_add(struct segment_files *s, uint64_t number, uint64_t size, bool moved,
                struct env_file *file, struct segment **out)
{
    struct segment *seg = calloc(1, sizeof(*seg));
    int rc;

    if (!seg)
        return -ENOMEM;
    seg->number = number;
    seg->size = size;
    seg->synced = size;
    seg->moved = moved;
    seg->named = !file;
    seg->active = seg->pinned = file != NULL;
    mutex_lock(&s->mu);
    rc = insert(s, seg);
    if (rc == 0 && file) {
        seg->file = file;
        seg->refs = 1; /* of being pinned */
        s->n_pinned++;
    }
    mutex_unlock(&s->mu);
    if (rc) {
        free(seg);
        return rc;
    }
    *out = seg;
    return 0;
}

/* Not active, and all of it durable: it may be closed when idle. */
static struct env_file *unpin_locked(struct segment_files *s, struct segment *seg)
{
    uint64_t size = segment_size(seg);

    if (!seg->pinned || seg->active || !seg->named || seg->synced < size)
        return NULL;
    seg->pinned = false;
    s->n_pinned--;
    return put_locked(s, seg);
}

void segment_retire(struct segment_files *s, struct segment *seg)
{
    struct env_file *file;

    mutex_lock(&s->mu);
    seg->active = false;
    file = unpin_locked(s, seg);
    mutex_unlock(&s->mu);
    env_file_close(file);
}

struct segment *segment_next_unsynced(struct segment_files *s, bool moved,
                                      uint64_t number, uint64_t *size)
{
    struct segment *found = NULL;
    unsigned left;
    size_t i;

    mutex_lock(&s->mu);
    /* From the end: numbers ascend, so the pinned ones are near it. */
    left = s->n_pinned;
    for (i = s->n; left > 0 && i > 0; i--) {
        struct segment *seg = s->list[i - 1];

        if (seg->number <= number)
            break;
        if (!seg->pinned)
            continue;
        left--;
        if (seg->moved == moved && (seg->synced < segment_size(seg) || !seg->named))
            found = seg;
    }
    if (found) {
        ref_locked(s, found);
        *size = segment_size(found);
    }
    mutex_unlock(&s->mu);
    return found;
}

void segment_synced(struct segment_files *s, struct segment *seg, uint64_t size)
{
    struct env_file *file;

    mutex_lock(&s->mu);
    seg->named = true;
    if (seg->synced < size)
        seg->synced = size;
    file = unpin_locked(s, seg);
    mutex_unlock(&s->mu);
    env_file_close(file);
}

int segment_forget(struct segment_files *s, uint64_t number, uint64_t *size)
{
    struct env_file *file = NULL;
    struct segment *seg;
    size_t i;

    mutex_lock(&s->mu);
    /* A reader that found it may be about to open it by its name. */
    while ((seg = lookup(s, number)) && seg->opening)
        cond_wait(&s->opened, &s->mu);
    if (!seg || seg->active) {
        mutex_unlock(&s->mu);
        return seg ? -EBUSY : -ENOENT;
    }
    *size = segment_size(seg);
    i = find(s, number);
    memmove(s->list + i, s->list + i + 1, (s->n - i - 1) * sizeof(*s->list));
    s->n--;
    seg->doomed = true;
    if (seg->pinned)
        s->n_pinned--; /* its reference is the one that is put */
    else
        ref_locked(s, seg);
    seg->pinned = false;
    file = put_locked(s, seg);
    mutex_unlock(&s->mu);
    env_file_close(file);
    return 0;
}
