/*
 * vlog.h - the value log: large values, written once (WiscKey's separation).
 *
 * Values are records in segment files "N.vlog", appended to one active segment
 * until it reaches its size, then sealed. A record is a header and frames of
 * VLOG_FRAME bytes of value, each compressed and checksummed by itself, so that
 * a part can be read without the rest. Bytes: FORMAT.md, "Value log".
 *
 * The log knows no keys and no garbage: who refers to which segment is the
 * tables' knowledge; db.c deletes segments that nobody refers to.
 * All functions are safe from any thread. Appends are serialized inside.
 */
#ifndef LSM_VLOG_H
#define LSM_VLOG_H

#include "compress.h"
#include "env.h"
#include "lock.h"
#include "coding.h"

enum { VLOG_FRAME = 16 * 1024 };

/* A separated value, or a part of one. Encoded in WAL and tables. */
struct vptr {
    uint64_t segment;
    uint64_t offset;    /* of the record in its segment */
    uint32_t stored;    /* bytes of the record, header included */
    uint32_t raw;       /* bytes of the record's whole value */
    uint32_t off;       /* the part: offset in the record's value */
    uint32_t len;       /*           and length */
};

enum { VPTR_MAX = 40 }; /* encoded bytes at most */

void vptr_append(struct buf *to, const struct vptr *p);
/* Checks off + len <= raw. False: not a pointer. Consumes from in. */
bool vptr_decode(struct slice *in, struct vptr *p);

/* Bytes of the segment that p stands for: the record's, in proportion to the part,
 * rounded up. */
static inline uint64_t vptr_stored(const struct vptr *p)
{
    return p->raw ? ((uint64_t)p->stored * p->len + p->raw - 1) / p->raw : p->stored;
}

struct vlog;

struct vlog_options {
    struct env *env;
    const char *dir;      /* copied */
    uint64_t segment_bytes;
    enum compression compression;
    /* A fresh file number; called with the log's lock held. */
    uint64_t (*next_number)(void *arg);
    void *arg;
};

int vlog_open(const struct vlog_options *o, struct vlog **out);
/* Seals the active segment (see vlog_seal) and frees in any case. NULL is fine. */
int vlog_close(struct vlog *v);

/* Make an existing, sealed segment known. size: its bytes that count. */
int vlog_add_segment(struct vlog *v, uint64_t number, uint64_t size);

/* Write value to the active segment. Not durable before vlog_sync. */
int vlog_append(struct vlog *v, struct slice value, struct vptr *out);

/* What was appended before this call survives power loss when it returns 0
 * (segments' names included). After a failure the caller must stop writing. */
int vlog_sync(struct vlog *v);
/* Bytes appended and not yet synced. */
uint64_t vlog_unsynced(struct vlog *v);

/* End the active segment, if any, and sync. */
int vlog_seal(struct vlog *v);

/*
 * Copy bytes [off, off+len) of the *part* p to `to`. -EUCLEAN (logged) when a
 * frame that holds them is damaged or missing; -EINVAL when outside the part.
 */
int vlog_read(struct vlog *v, const struct vptr *p, size_t off, size_t len, void *to);

/* Is the whole record there and sound? 0 or -EUCLEAN; for recovery, so not
 * logged when quiet. */
int vlog_check(struct vlog *v, const struct vptr *p, bool quiet);

struct vlog_segment {
    uint64_t number;
    uint64_t size;   /* bytes appended */
    bool active;     /* else its size is final; it may be unsynced before a vlog_sync */
};
/* Snapshot of the list, ascending; *list is malloc'ed. */
int vlog_segments(struct vlog *v, struct vlog_segment **list, size_t *n);

/* Forget and delete a segment; -EBUSY for the active one. Readers under way finish
 * unharmed. */
int vlog_delete_segment(struct vlog *v, uint64_t number);

/* Bytes written to segments since open (records, headers included). */
uint64_t vlog_written(struct vlog *v);

#endif
