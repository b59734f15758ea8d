/*
 * vlog.c - the value log: append, sync, segments. Reading is in vlog_read.c.
 *
 * An append compresses and checksums without a lock; under mu it only learns
 * its place and writes. A full segment is retired, not synced: the next sync
 * takes it along, so that no append waits for a disk.
 */
#include "vlog_impl.h"

#include "kill.h"
#include "names.h"
#include "packer.h"

#include <stdlib.h>

enum { WRITE_PARTS = 128 }; /* pieces of memory in one write of several records */

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
    if (!v->dir || (o->second_thread && packer_new(&v->packer))) {
        free(v->dir);
        free(v);
        return -ENOMEM;
    }
    v->o.dir = v->dir;
    v->segment_bytes = o->segment_bytes;
    segment_files_init(&v->files, o->env, v->dir);
    mutex_init(&v->stream[VLOG_FRESH].sync_mu, LOCK_VLOG_SYNC);
    mutex_init(&v->stream[VLOG_MOVED].sync_mu, LOCK_VLOG_SYNC);
    mutex_init(&v->mu, LOCK_VLOG);
    *out = v;
    return 0;
}

int vlog_close(struct vlog *v)
{
    int rc, files_rc;

    if (!v)
        return 0;
    packer_free(v->packer);
    rc = vlog_seal(v);
    files_rc = segment_files_release(&v->files);
    while (v->n_spare)
        record_release(&v->spare[--v->n_spare]);
    mutex_release(&v->mu);
    mutex_release(&v->stream[VLOG_FRESH].sync_mu);
    mutex_release(&v->stream[VLOG_MOVED].sync_mu);
    free(v->dir);
    free(v);
    return rc ? rc : files_rc;
}

int vlog_add_segment(struct vlog *v, uint64_t number, uint64_t size)
{
    struct segment *seg;
    int rc = segment_add(&v->files, number, size, false, NULL, &seg);

    if (rc == 0)
        __atomic_fetch_add(&v->bytes, size, __ATOMIC_RELAXED);
    return rc;
}

/* ---- append ---- */

/* End the stream's active segment, if any. */
static int retire_locked(struct vlog *v, struct stream *s)
{
    struct segment *seg = s->active;
    int rc;

    if (!seg)
        return 0;
    if (s->litter) {
        rc = env_file_truncate(seg->file, seg->size);
        if (rc)
            return rc;
        s->litter = false;
    }
    s->active = NULL;
    segment_retire(&v->files, seg);
    return 0;
}

static int start_segment_locked(struct vlog *v, struct stream *s)
{
    bool moved = s == &v->stream[VLOG_MOVED];
    uint64_t number = v->o.next_number(v->o.arg);
    char *path = file_path(v->dir, FILE_SEGMENT, number);
    struct env_file *file;
    int rc;

    if (!path)
        return -ENOMEM;
    rc = env_open(v->o.env, path, ENV_CREATE, 0, &file);
    if (rc == 0) {
        KILL_POINT("segment-created");
        rc = segment_add(&v->files, number, 0, moved, file, &s->active);
        if (rc) {
            env_file_close(file);
            env_unlink(v->o.env, path);
        } else {
            s->litter = env_file_in_small_pieces(file);
            if (moved)
                __atomic_store_n(&v->newest_moved, number, __ATOMIC_RELEASE);
        }
    }
    free(path);
    return rc;
}

/* An active segment with room for a record of that size. */
static int make_room_locked(struct vlog *v, struct stream *s, uint64_t stored)
{
    uint64_t most = __atomic_load_n(&v->segment_bytes, __ATOMIC_RELAXED);
    int rc;

    if (s->active && s->active->size && s->active->size + stored > most) {
        rc = retire_locked(v, s);
        if (rc)
            return rc;
    }
    return s->active ? 0 : start_segment_locked(v, s);
}

/*
 * As many of the records as go into the segment of the first, and into one write; *done
 * tells how many.
 */
static int write_locked(struct vlog *v, struct stream *s, struct record *r, unsigned n,
                        struct vptr *out, unsigned *done)
{
    struct slice several[WRITE_PARTS], *parts = r->parts;
    uint64_t most = __atomic_load_n(&v->segment_bytes, __ATOMIC_RELAXED), end, bytes;
    unsigned i, n_parts = 0;
    struct segment *seg;
    int rc = sticky_error(v);

    if (rc == 0)
        rc = make_room_locked(v, s, r->stored);
    if (rc)
        return rc;
    seg = s->active;
    end = seg->size;
    for (i = 0; i < n; i++) {
        if (i && (end + r[i].stored > most || n_parts + r[i].n_parts > WRITE_PARTS))
            break;
        if (n_parts + r[i].n_parts <= WRITE_PARTS)
            memcpy(several + n_parts, r[i].parts, r[i].n_parts * sizeof(*several));
        n_parts += r[i].n_parts;
        out[i].segment = seg->number;
        out[i].offset = end;
        record_place(&r[i], seg->number, end);
        end += r[i].stored;
    }
    if (i > 1)
        parts = several;
    rc = env_file_append(seg->file, parts, n_parts);
    if (rc) {
        s->litter = true;
        return rc;
    }
    bytes = end - seg->size;
    __atomic_store_n(&seg->size, end, __ATOMIC_RELEASE);
    /* Release: a sync that counts these bytes finds them in the segment's size. */
    __atomic_store_n(&s->written, s->written + bytes, __ATOMIC_RELEASE);
    __atomic_fetch_add(&v->bytes, bytes, __ATOMIC_RELAXED);
    *done = i;
    return 0;
}

/* ---- memory for records ---- */

static void take_spares(struct vlog *v, struct record *r, unsigned n)
{
    unsigned i;

    mutex_lock(&v->mu);
    for (i = 0; i < n; i++)
        r[i] = v->n_spare ? v->spare[--v->n_spare] : (struct record){.n_parts = 0};
    mutex_unlock(&v->mu);
}

static void keep_spares(struct vlog *v, struct record *r, unsigned n)
{
    unsigned i;

    mutex_lock(&v->mu);
    for (i = 0; i < n; i++) {
        if (v->n_spare == VLOG_SOME || r[i].header.cap + r[i].packed.cap > SPARE_BYTES)
            continue;
        v->spare[v->n_spare++] = r[i];
        r[i] = (struct record){.n_parts = 0};
    }
    mutex_unlock(&v->mu);
    for (i = 0; i < n; i++)
        record_release(&r[i]);
}

int vlog_write_records(struct vlog *v, struct stream *s, struct record *r, unsigned n,
                       struct vptr *out)
{
    unsigned i, done;
    int rc = 0;

    mutex_lock(&v->mu);
    for (i = 0; i < n && !rc; i += done)
        rc = write_locked(v, s, r + i, n - i, out + i, &done);
    mutex_unlock(&v->mu);
    return rc;
}

static int append(struct vlog *v, struct stream *s, const struct slice *value,
                  const int *kind, unsigned n, struct vptr *out)
{
    struct record r[VLOG_SOME];
    struct vptr p[VLOG_SOME] = {{.segment = 0}};
    enum compression usual = __atomic_load_n(&v->o.compression, __ATOMIC_RELAXED);
    enum compression want[VLOG_SOME];
    unsigned i;
    int rc;

    take_spares(v, r, n);
    for (i = 0; i < n; i++)
        want[i] = kind[i] == VLOG_AS_OPENED ? usual : (enum compression)kind[i];
    rc = packer_build(v->packer, r, value, want, n);
    if (!rc)
        rc = vlog_write_records(v, s, r, n, p);
    for (i = 0; i < n && !rc; i++) {
        p[i].stored = (uint32_t)r[i].stored;
        p[i].raw = p[i].len = (uint32_t)value[i].len;
        p[i].chosen = kind[i] != VLOG_AS_OPENED;
        out[i] = p[i];
    }
    keep_spares(v, r, n);
    return rc;
}

int vlog_append(struct vlog *v, struct slice value, int kind, struct vptr *out)
{
    return append(v, &v->stream[VLOG_FRESH], &value, &kind, 1, out);
}

int vlog_append_some(struct vlog *v, const struct slice *value, const int *kind,
                     unsigned n, struct vptr *out)
{
    return append(v, &v->stream[VLOG_FRESH], value, kind, n, out);
}

int vlog_append_moved(struct vlog *v, struct slice value, int kind, struct vptr *out)
{
    return append(v, &v->stream[VLOG_MOVED], &value, &kind, 1, out);
}

void vlog_set_compression(struct vlog *v, enum compression kind)
{
    __atomic_store_n(&v->o.compression, kind, __ATOMIC_RELAXED);
}

uint64_t vlog_newest_moved(struct vlog *v)
{
    return __atomic_load_n(&v->newest_moved, __ATOMIC_ACQUIRE);
}

/* ---- sync ---- */

static int sync_names(struct vlog *v)
{
    return v->o.sync_names ? v->o.sync_names(v->o.arg) : env_sync_dir(v->o.env, v->dir);
}

/* Sync each segment of the stream that is not. Its sync_mu is held. */
static int sync_segments(struct vlog *v, struct stream *s)
{
    struct segment *seg;
    uint64_t number = 0, size;
    int rc = 0;

    while (rc == 0 && (seg = segment_next_unsynced(&v->files, s == &v->stream[VLOG_MOVED],
                                                   number, &size))) {
        number = seg->number;
        rc = env_file_sync(seg->file);
        if (rc == 0 && !seg->named)
            rc = sync_names(v);
        if (rc == 0)
            segment_synced(&v->files, seg, size);
        segment_put(&v->files, seg);
    }
    return rc;
}

static int sync_stream(struct vlog *v, struct stream *s)
{
    uint64_t target = __atomic_load_n(&s->written, __ATOMIC_ACQUIRE);
    int rc;

    mutex_lock(&s->sync_mu);
    rc = sticky_error(v);
    if (rc == 0 && s->synced < target) {
        target = __atomic_load_n(&s->written, __ATOMIC_ACQUIRE);
        rc = sync_segments(v, s);
        /* The kernel may have dropped the pages: a retry would prove nothing. */
        if (rc)
            __atomic_store_n(&v->error, rc, __ATOMIC_RELAXED);
        else
            __atomic_store_n(&s->synced, target, __ATOMIC_RELAXED);
    }
    mutex_unlock(&s->sync_mu);
    return rc;
}

int vlog_sync(struct vlog *v)
{
    return sync_stream(v, &v->stream[VLOG_FRESH]);
}

int vlog_sync_moved(struct vlog *v)
{
    return sync_stream(v, &v->stream[VLOG_MOVED]);
}

uint64_t vlog_unsynced(struct vlog *v)
{
    const struct stream *s = &v->stream[VLOG_FRESH];
    uint64_t synced = __atomic_load_n(&s->synced, __ATOMIC_RELAXED);

    return __atomic_load_n(&s->written, __ATOMIC_RELAXED) - synced;
}

int vlog_retire_moved(struct vlog *v)
{
    int rc;

    mutex_lock(&v->mu);
    rc = retire_locked(v, &v->stream[VLOG_MOVED]);
    mutex_unlock(&v->mu);
    return rc;
}

int vlog_seal(struct vlog *v)
{
    int rc = 0, i;

    mutex_lock(&v->mu);
    for (i = 0; i < VLOG_STREAMS && !rc; i++)
        rc = retire_locked(v, &v->stream[i]);
    mutex_unlock(&v->mu);
    for (i = 0; i < VLOG_STREAMS && !rc; i++)
        rc = sync_stream(v, &v->stream[i]);
    return rc;
}

uint64_t vlog_written(struct vlog *v)
{
    return __atomic_load_n(&v->stream[VLOG_FRESH].written, __ATOMIC_RELAXED) +
           __atomic_load_n(&v->stream[VLOG_MOVED].written, __ATOMIC_RELAXED);
}

uint64_t vlog_bytes(struct vlog *v)
{
    return __atomic_load_n(&v->bytes, __ATOMIC_RELAXED);
}

void vlog_set_segment_bytes(struct vlog *v, uint64_t bytes)
{
    __atomic_store_n(&v->segment_bytes, bytes, __ATOMIC_RELAXED);
}

/* ---- segments ---- */

int vlog_segments(struct vlog *v, struct vlog_segment **list, size_t *n)
{
    struct segment_files *s = &v->files;
    struct vlog_segment *out;
    size_t i;

    mutex_lock(&s->mu);
    out = malloc((s->n + 1) * sizeof(*out));
    for (i = 0; out && i < s->n; i++) {
        const struct segment *seg = s->list[i];

        out[i] = (struct vlog_segment){seg->number, segment_size(seg), seg->active,
                                       !seg->pinned, seg->moved};
    }
    *n = s->n;
    mutex_unlock(&s->mu);
    *list = out;
    return out ? 0 : -ENOMEM;
}

void vlog_close_idle(struct vlog *v)
{
    segment_files_close_idle(&v->files);
}

int vlog_forget_segment(struct vlog *v, uint64_t number, uint64_t *size)
{
    return segment_forget(&v->files, number, size);
}

int vlog_unlink_segment(struct vlog *v, uint64_t number, uint64_t size)
{
    char *path = file_path(v->dir, FILE_SEGMENT, number);
    int rc = path ? env_unlink(v->o.env, path) : -ENOMEM;

    free(path);
    __atomic_fetch_sub(&v->bytes, size, __ATOMIC_RELAXED);
    return rc;
}
