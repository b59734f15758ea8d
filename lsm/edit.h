/*
 * edit.h - a version edit: how one version of the store's files becomes the
 * next. The manifest is a log of encoded edits. Bytes: FORMAT.md, "Manifest".
 */
#ifndef LSM_EDIT_H
#define LSM_EDIT_H

#include "table_builder.h"

struct edit_table {
    unsigned level;
    struct table_meta meta;
};

struct edit_removed {
    unsigned level;
    uint64_t number;
};

struct edit_segment {
    uint64_t number;
    uint64_t size;
};

struct edit_log {
    uint64_t number;
    uint64_t durable; /* bytes of it, and its name */
};

/* Zeroed is an empty edit. has_X says that X is told. */
struct edit {
    bool has_next_number, has_log_number, has_last_seq, has_options;
    uint64_t next_number; /* file numbers below it may be in use */
    uint64_t log_number;  /* logs below it are not needed */
    uint64_t last_seq;
    struct buf options; /* lsm options that fix the format, opaque here */
    struct edit_table *added;
    size_t n_added;
    struct edit_removed *removed;
    size_t n_removed;
    struct edit_segment *sealed; /* value-log segments and their final size */
    size_t n_sealed;
    uint64_t *dropped; /* segments deleted */
    size_t n_dropped;
    struct edit_log *logs; /* that were synced so far */
    size_t n_logs;
};

void edit_release(struct edit *e);

/* Moves *meta into the edit and leaves it zeroed. -ENOMEM leaves both alone. */
int edit_add_table(struct edit *e, unsigned level, struct table_meta *meta);
int edit_remove_table(struct edit *e, unsigned level, uint64_t number);
int edit_seal_segment(struct edit *e, uint64_t number, uint64_t size);
int edit_drop_segment(struct edit *e, uint64_t number);
int edit_note_log(struct edit *e, uint64_t number, uint64_t durable);

void edit_encode(struct buf *to, const struct edit *e);
/* Into a zeroed *e. 0, -EUCLEAN (unlogged, e released), -ENOMEM. Unknown
 * optional tags are skipped, unknown required ones -EPROTONOSUPPORT. Levels and
 * numbers are as they were written: the version checks that they make sense. */
int edit_decode(struct slice in, struct edit *e);

#endif
