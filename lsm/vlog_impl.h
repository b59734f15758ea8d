/*
 * vlog_impl.h - the inside of the value log: the bytes of a record
 * (vlog_record.c), the set of segments and their descriptors (vlog_files.c).
 * Only vlog*.c, and the tests of the record codec, include it.
 */
#ifndef LSM_VLOG_IMPL_H
#define LSM_VLOG_IMPL_H

#include "vlog.h"

/* ---- a record ---- */

/* Checksum 8, length of the value 4; then for each frame: checksum 8, stored
 * length and compression 4. Never renumber. */
enum {
    RECORD_AT_RAW = 8,
    RECORD_AT_FRAMES = 12,
    RECORD_FRAME_ENTRY = 12,
    RECORD_RAW_MAX = 1 << 30, /* bytes of a value */
};

static inline uint32_t record_frames(uint32_t raw)
{
    return (uint32_t)(((uint64_t)raw + VLOG_FRAME - 1) / VLOG_FRAME);
}

static inline uint64_t record_header_bytes(uint32_t raw)
{
    return RECORD_AT_FRAMES + (uint64_t)RECORD_FRAME_ENTRY * record_frames(raw);
}

/* Bytes of frame i of a value of raw bytes. */
static inline uint32_t record_frame_raw(uint32_t raw, uint32_t i)
{
    uint32_t left = raw - i * VLOG_FRAME;

    return left < VLOG_FRAME ? left : VLOG_FRAME;
}

/* A record to be written: the parts, joined, are it. */
struct record {
    struct buf header;
    struct buf packed; /* the compressed frames */
    struct slice *parts;
    unsigned n_parts;
    uint64_t stored;
};

/*
 * Compress and checksum value into *r, which borrows it, and is zeroed or was built
 * before: then its memory serves again. What is left to do is what depends on the place.
 * -ENOMEM, -EINVAL for a value too long. Release it in any case.
 */
int record_build(struct record *r, struct slice value, enum compression want);
/* A record of the bytes of one, checked, which it borrows. -ENOMEM. */
int record_copy(struct record *r, struct slice bytes, uint32_t raw);
void record_place(struct record *r, uint64_t segment, uint64_t offset);
void record_release(struct record *r);

/* The pointer can be one, by its lengths: its header fits in what is stored, and
 * what is stored is no longer than an uncompressed value. */
bool record_plausible(const struct vptr *p);

/* header: record_header_bytes(p->raw) bytes. Is it the header of p's record, with
 * frames that fill p->stored? */
bool record_header_check(const uint8_t *header, const struct vptr *p);

/* One frame of a record. Walk them: frame_first, then frame_next. */
struct record_frame {
    uint32_t index;
    uint32_t at; /* offset in the record */
    uint32_t stored;
    uint32_t raw;
    enum compression type;
    uint64_t checksum;
};

/* header: checked. The value must have such a frame. */
void record_frame_first(const uint8_t *header, uint32_t raw, struct record_frame *f);
void record_frame_next(const uint8_t *header, uint32_t raw, struct record_frame *f);

bool record_frame_sound(const struct record_frame *f, const uint8_t *stored);
/* Bytes [off, off + len) of the frame. False: damaged. */
bool record_frame_read(const struct record_frame *f, const uint8_t *stored, uint32_t off,
                       uint32_t len, void *to);

/* ---- segments ---- */

struct segment {
    uint64_t number;
    uint64_t size; /* atomic: grows under vlog.mu, read by anybody */
    bool moved;    /* set before it is listed */
    /* under files.mu: */
    uint64_t synced; /* bytes known to be durable */
    bool active;
    bool pinned;  /* written by us and not yet synced whole: holds a reference */
    bool named;   /* its directory entry is durable; changed under stream.sync_mu too */
    bool doomed;  /* no longer listed; freed by the last put */
    bool opening; /* a thread is opening it without the lock */
    unsigned refs;
    struct env_file *file;         /* NULL: not open */
    struct segment *newer, *older; /* among the idle: open, and without references */
};

static inline uint64_t segment_size(const struct segment *seg)
{
    return __atomic_load_n(&seg->size, __ATOMIC_ACQUIRE);
}

/* The segments of a log. Only so many idle ones stay open. */
struct segment_files {
    struct env *env;
    const char *dir;
    struct mutex mu; /* LOCK_VLOG_FILES */
    pthread_cond_t opened;
    struct segment **list; /* ascending by number */
    size_t n, cap;
    unsigned n_pinned;
    struct segment *newest, *oldest; /* idle */
    unsigned n_idle;
};

void segment_files_init(struct segment_files *s, struct env *env, const char *dir);
/* Closes and frees everything; the first error. Nobody may hold a reference but
 * for pinned segments. */
int segment_files_release(struct segment_files *s);

/* List a new one. file: open and active, with the caller's reference; or NULL for
 * one that exists. Takes file only on 0. -EEXIST, -ENOMEM. */
int segment_add(struct segment_files *s, uint64_t number, uint64_t size, bool moved,
                struct env_file *file, struct segment **out);

/* A reference to an open segment; seg->file may be read until segment_put.
 * -ENOENT when it is not listed; else what opening it gave. */
int segment_get(struct segment_files *s, uint64_t number, struct segment **out);
void segment_put(struct segment_files *s, struct segment *seg);

/* Those without a reference are opened anew, by name, when they are read next. */
void segment_files_close_idle(struct segment_files *s);

/* The next segment above number with unsynced bytes, of the moved or the others, with
 * a reference and how many bytes it has now; NULL: none. */
struct segment *segment_next_unsynced(struct segment_files *s, bool moved,
                                      uint64_t number, uint64_t *size);
/* The first `size` bytes of seg, and its name, are durable. */
void segment_synced(struct segment_files *s, struct segment *seg, uint64_t size);
void segment_retire(struct segment_files *s, struct segment *seg); /* no longer active */

/* Unlist, and tell its size; -ENOENT, -EBUSY for an active one. The file is left
 * to the caller. */
int segment_forget(struct segment_files *s, uint64_t number, uint64_t *size);

/* ---- the log ---- */

enum { VLOG_FRESH, VLOG_MOVED, VLOG_STREAMS };

/* A record with at most so much memory, as one of 128 KiB has, keeps it: malloc would
 * give it to the system and take it anew for each. */
enum { SPARE_BYTES = 160 << 10 };

struct stream {
    uint64_t written;     /* atomic; bytes appended since open. Changed under vlog.mu */
    uint64_t synced;      /* atomic; how many of them are durable. Under sync_mu */
    struct mutex sync_mu; /* LOCK_VLOG_SYNC: one sync at a time */
    /* under vlog.mu: */
    struct segment *active;
    bool litter; /* bytes may lie behind active's size: zeros, or of a failed append */
};

/* Locks: a stream's sync_mu, then mu, then files.mu. */
struct vlog {
    struct vlog_options o;
    char *dir;
    struct segment_files files;
    struct packer *packer;  /* or NULL */
    uint64_t segment_bytes; /* atomic */
    uint64_t bytes;         /* atomic; in all listed segments */
    uint64_t newest_moved;  /* atomic */
    int error;              /* atomic; of a failed sync, sticky */
    bool doubt;             /* atomic; see vlog_set_doubt */
    struct mutex mu;        /* LOCK_VLOG */
    struct stream stream[VLOG_STREAMS];
    struct record spare[VLOG_SOME]; /* under mu */
    unsigned n_spare;
};

/* Of n records the places, in out; nothing else of it is set. */
int vlog_write_records(struct vlog *v, struct stream *s, struct record *r, unsigned n,
                       struct vptr *out);

/* All of p's record, frames and header checked, into *bytes. *kind: as of vlog_kind, but
 * of any record. Errors as of vlog_read, and -ENOMEM. */
int vlog_read_record(struct vlog *v, const struct vptr *p, struct buf *bytes, int *kind);

#endif
