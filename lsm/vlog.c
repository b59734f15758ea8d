/*
 * vlog.c - the value log: append, sync, segments. Reading is in vlog_read.c.
 *
 * An append compresses and checksums without a lock; under mu it only learns
 * its place and writes. A full segment is retired, not synced: the next sync
 * takes it along, so that no append waits for a disk.
 */
#include "vlog_impl.h"

#include "names.h"

#include <stdlib.h>

static int sticky_error(struct vlog *v)
{
    return __atomic_load_n(&v->error, __ATOMIC_RELAXED);
}

/* ---- open and close ---- */

int vlog_open(const struct vlog_options *o, struct vlog **out)
{
    struct vlog *v = calloc(1, sizeof(*v));

    if (!v)
        return -ENOMEM;
    v->o = *o;
    v->dir = strdup(o->dir);
    if (!v->dir) {
        free(v);
        return -ENOMEM;
    }
    v->o.dir = v->dir;
    segment_files_init(&v->files, o->env, v->dir);
    mutex_init(&v->sync_mu, LOCK_VLOG_SYNC);
    mutex_init(&v->mu, LOCK_VLOG);
    *out = v;
    return 0;
}

int vlog_close(struct vlog *v)
{
    int rc, files_rc;

    if (!v)
        return 0;
    rc = vlog_seal(v);
    files_rc = segment_files_release(&v->files);
    mutex_release(&v->mu);
    mutex_release(&v->sync_mu);
    free(v->dir);
    free(v);
    return rc ? rc : files_rc;
}

int vlog_add_segment(struct vlog *v, uint64_t number, uint64_t size)
{
    struct segment *seg;

    return segment_add(&v->files, number, size, NULL, &seg);
}

/* ---- append ---- */

/* End the active segment, if any. */
static int retire_locked(struct vlog *v)
{
    struct segment *seg = v->active;
    int rc;

    if (!seg)
        return 0;
    if (v->litter) {
        rc = env_file_truncate(seg->file, seg->size);
        if (rc)
            return rc;
        v->litter = false;
    }
    v->active = NULL;
    segment_retire(&v->files, seg);
    return 0;
}

static int start_segment_locked(struct vlog *v)
{
    uint64_t number = v->o.next_number(v->o.arg);
    char *path = file_path(v->dir, FILE_SEGMENT, number);
    struct env_file *file;
    int rc;

    if (!path)
        return -ENOMEM;
    rc = env_open(v->o.env, path, ENV_CREATE, 0, &file);
    if (rc == 0) {
        rc = segment_add(&v->files, number, 0, file, &v->active);
        if (rc) {
            env_file_close(file);
            env_unlink(v->o.env, path);
        }
    }
    free(path);
    return rc;
}

/* An active segment with room for a record of that size. */
static int make_room_locked(struct vlog *v, uint64_t stored)
{
    int rc;

    if (v->active && v->active->size && v->active->size + stored > v->o.segment_bytes) {
        rc = retire_locked(v);
        if (rc)
            return rc;
    }
    return v->active ? 0 : start_segment_locked(v);
}

static int write_locked(struct vlog *v, struct record *r, struct vptr *out)
{
    struct segment *seg;
    int rc = sticky_error(v);

    if (rc == 0)
        rc = make_room_locked(v, r->stored);
    if (rc)
        return rc;
    seg = v->active;
    out->segment = seg->number;
    out->offset = seg->size;
    record_place(r, out->segment, out->offset);
    rc = env_file_append(seg->file, r->parts, r->n_parts);
    if (rc) {
        v->litter = true;
        return rc;
    }
    __atomic_store_n(&seg->size, seg->size + r->stored, __ATOMIC_RELEASE);
    /* Release: a sync that counts these bytes finds them in the segment's size. */
    __atomic_store_n(&v->written, v->written + r->stored, __ATOMIC_RELEASE);
    return 0;
}

int vlog_append(struct vlog *v, struct slice value, struct vptr *out)
{
    struct record r = {0};
    struct vptr p = {0};
    int rc;

    rc = record_build(&r, value, v->o.compression);
    if (rc == 0) {
        mutex_lock(&v->mu);
        rc = write_locked(v, &r, &p);
        mutex_unlock(&v->mu);
    }
    if (rc == 0) {
        p.stored = (uint32_t)r.stored;
        p.raw = p.len = (uint32_t)value.len;
        *out = p;
    }
    record_release(&r);
    return rc;
}

/* ---- sync ---- */

/* Sync each segment that is not. sync_mu is held. */
static int sync_segments(struct vlog *v)
{
    struct segment *seg;
    uint64_t number = 0, size;
    int rc = 0;

    while (rc == 0 && (seg = segment_next_unsynced(&v->files, number, &size))) {
        number = seg->number;
        rc = env_file_sync(seg->file);
        if (rc == 0 && !seg->named)
            rc = env_sync_dir(v->o.env, v->dir);
        if (rc == 0)
            segment_synced(&v->files, seg, size);
        segment_put(&v->files, seg);
    }
    return rc;
}

int vlog_sync(struct vlog *v)
{
    uint64_t target = __atomic_load_n(&v->written, __ATOMIC_ACQUIRE);
    int rc;

    mutex_lock(&v->sync_mu);
    rc = sticky_error(v);
    if (rc == 0 && v->synced < target) {
        target = __atomic_load_n(&v->written, __ATOMIC_ACQUIRE);
        rc = sync_segments(v);
        /* The kernel may have dropped the pages: a retry would prove nothing. */
        __atomic_store_n(&v->error, rc, __ATOMIC_RELAXED);
        if (rc == 0)
            __atomic_store_n(&v->synced, target, __ATOMIC_RELAXED);
    }
    mutex_unlock(&v->sync_mu);
    return rc;
}

uint64_t vlog_unsynced(struct vlog *v)
{
    uint64_t synced = __atomic_load_n(&v->synced, __ATOMIC_RELAXED);

    return __atomic_load_n(&v->written, __ATOMIC_RELAXED) - synced;
}

int vlog_seal(struct vlog *v)
{
    int rc;

    mutex_lock(&v->mu);
    rc = retire_locked(v);
    mutex_unlock(&v->mu);
    return rc ? rc : vlog_sync(v);
}

uint64_t vlog_written(struct vlog *v)
{
    return __atomic_load_n(&v->written, __ATOMIC_RELAXED);
}

/* ---- segments ---- */

int vlog_segments(struct vlog *v, struct vlog_segment **list, size_t *n)
{
    struct segment_files *s = &v->files;
    struct vlog_segment *out;
    size_t i;

    mutex_lock(&s->mu);
    out = malloc((s->n + 1) * sizeof(*out));
    for (i = 0; out && i < s->n; i++)
        out[i] = (struct vlog_segment){s->list[i]->number, segment_size(s->list[i]),
                                       s->list[i]->active};
    *n = s->n;
    mutex_unlock(&s->mu);
    *list = out;
    return out ? 0 : -ENOMEM;
}

int vlog_delete_segment(struct vlog *v, uint64_t number)
{
    char *path = file_path(v->dir, FILE_SEGMENT, number);
    int rc;

    if (!path)
        return -ENOMEM;
    rc = segment_forget(&v->files, number);
    if (rc == 0)
        rc = env_unlink(v->o.env, path);
    free(path);
    return rc;
}
