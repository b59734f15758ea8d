/*
 * vlog.h - the value log: large values, written once (WiscKey's separation).
 *
 * Values are records in segment files "N.vlog", appended to an active segment until
 * it reaches its size, then sealed. Values that moved go to an active segment of their
 * own: they are old, will live longer than fresh ones, and are not to be moved again
 * on account of those. A record is a header and frames of
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
    uint64_t offset; /* of the record in its segment */
    uint32_t stored; /* bytes of the record, header included */
    uint32_t raw;    /* bytes of the record's whole value */
    uint32_t off;    /* the part: offset in the record's value */
    uint32_t len;    /*           and length */
    bool shared;     /* others may point into the record, too: made by sharing */
    bool chosen;     /* somebody chose how it is compressed: so it stays when it moves */
};

enum { VPTR_MAX = 40 }; /* encoded bytes at most */

void vptr_append(struct buf *to, const struct vptr *p);
/* Checks off + len <= raw < 2^31. False: not a pointer. Consumes from in. */
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
    const char *dir;        /* copied */
    uint64_t segment_bytes; /* at first: see vlog_set_segment_bytes */
    enum compression compression;
    bool second_thread; /* large appends are compressed by two: packer.h */
    /* A fresh file number; called with the log's lock held. */
    uint64_t (*next_number)(void *arg);
    /* Makes names in dir last. NULL: env_sync_dir does; nobody else has names there. */
    int (*sync_names)(void *arg);
    void *arg;
};

int vlog_open(const struct vlog_options *o, struct vlog **out);
/* Seals the active segments (see vlog_seal) and frees in any case. NULL is fine. */
int vlog_close(struct vlog *v);

/* Make an existing, sealed segment known. size: its bytes that count. */
int vlog_add_segment(struct vlog *v, uint64_t number, uint64_t size);

/* How a value is compressed: an enum compression, RAW, LZ4 or ZSTD, which makes it
 * `chosen`, or as the options say. */
enum { VLOG_AS_OPENED = -1 };

/* Write value to the active segment. Not durable before vlog_sync. */
int vlog_append(struct vlog *v, struct slice value, int kind, struct vptr *out);
/* So many values, which lie together: one write for them costs less. On failure some of
 * them may be there. */
enum { VLOG_SOME = 8 };
int vlog_append_some(struct vlog *v, const struct slice *value, const int *kind,
                     unsigned n, struct vptr *out);
/* As vlog_append, for a value that was in a segment before. */
int vlog_append_moved(struct vlog *v, struct slice value, int kind, struct vptr *out);
/* What p points to goes there, too, whether p is a part or all of a record. scratch is
 * the caller's to use again. -ENODATA: it cannot be read, which is logged as vlog_read
 * does. */
int vlog_move(struct vlog *v, const struct vptr *p, struct buf *scratch,
              struct vptr *out);
/* Both write to this segment or to later ones. 0: to any. Cheap. */
uint64_t vlog_newest_moved(struct vlog *v);

/* What vlog_append wrote before this call survives power loss when it returns 0
 * (segments' names included). After a failure the caller must stop writing. */
int vlog_sync(struct vlog *v);
/* As vlog_sync, for what vlog_append_moved wrote. Neither waits for the other. */
int vlog_sync_moved(struct vlog *v);
/* Bytes that vlog_append wrote and that are not yet synced. */
uint64_t vlog_unsynced(struct vlog *v);

/* End the active segment of vlog_append_moved: what it was to be good for failed, and
 * nobody may ever point to what is there. */
int vlog_retire_moved(struct vlog *v);
/* End the active segments, if any, and sync. */
int vlog_seal(struct vlog *v);

/*
 * Copy bytes [off, off+len) of the *part* p to `to`. -EUCLEAN (logged) when a
 * frame that holds them is damaged or missing; -EINVAL when outside the part.
 */
int vlog_read(struct vlog *v, const struct vptr *p, size_t off, size_t len, void *to);

/* A hint: all of the record that p is (a part of) will be read soon. */
void vlog_fetch(struct vlog *v, const struct vptr *p);

/* How the record was compressed; VLOG_AS_OPENED when nobody chose that. As vlog_read. */
int vlog_kind(struct vlog *v, const struct vptr *p, int *kind);

/* Is the whole record there, on the disk, and sound? 0 or -EUCLEAN. For recovery, when
 * quiet: not logged, and read from wherever it is. */
int vlog_check(struct vlog *v, const struct vptr *p, bool quiet);
/* While there is doubt (doubt.h) vlog_check takes what is in memory, too: to ask the disk
 * would be to give up the only copy. */
void vlog_set_doubt(struct vlog *v, bool doubt);

struct vlog_segment {
    uint64_t number;
    uint64_t size; /* bytes appended */
    bool active;   /* else its size is final */
    bool durable;  /* all of it, and its name */
    bool moved;    /* written by vlog_append_moved since the log was opened */
};
/* The files of segments that nobody reads now are opened anew, by name, when they are
 * read next: others may have taken their names. */
void vlog_close_idle(struct vlog *v);
/* Snapshot of the list, ascending; *list is malloc'ed. */
int vlog_segments(struct vlog *v, struct vlog_segment **list, size_t *n);

/* Forget a segment, and tell its size; -EBUSY for an active one. Readers under way
 * finish unharmed. */
int vlog_forget_segment(struct vlog *v, uint64_t number, uint64_t *size);
/* Delete the file of one that was forgotten. Slow: it may wait for the disk. */
int vlog_unlink_segment(struct vlog *v, uint64_t number, uint64_t size);

/* What VLOG_AS_OPENED means from now on. */
void vlog_set_compression(struct vlog *v, enum compression kind);

/* From now on a segment is sealed at this size. */
void vlog_set_segment_bytes(struct vlog *v, uint64_t bytes);

/* Bytes written to segments since open (records, headers included). */
uint64_t vlog_written(struct vlog *v);
/* Bytes in all segments that are not deleted. Cheap. */
uint64_t vlog_bytes(struct vlog *v);

#endif
