/*
 * db_recover_impl.h - what the two files of recovery share: db_recover.c (manifest,
 * files, becoming a running store) and db_replay.c (logs).
 */
#ifndef LSM_DB_RECOVER_IMPL_H
#define LSM_DB_RECOVER_IMPL_H

#include "db_impl.h"
#include "tally.h"

struct found_file {
    enum file_kind kind;
    uint64_t number;
    uint64_t size;
    bool wanted; /* a table of the store */
};

/* What a first pass over a log tells. */
struct found_log {
    struct wal_replay r;
    uint64_t size;
    char *path;
    uint64_t limit; /* replay no frame that ends behind this */
};

struct recovery {
    struct lsm *db;
    struct tally tally;
    struct version *version;
    uint64_t next_number, log_number, last_seq;
    uint64_t replayed_seq; /* of the last batch replayed */
    struct found_file *file;
    size_t n_files, cap_files;
    struct found_log *log; /* the chain, oldest first */
    size_t n_logs;
    const struct found_log *now; /* being replayed */
    uint64_t n_ranges;           /* range deletes replayed */
    struct edit_log *durable;    /* what the manifest tells of logs; sorted, once read */
    size_t n_durable, cap_durable;
    struct memtable *mem;
    struct edit made;  /* tables made of what did not fit into memory */
    bool stay;         /* none are to be made: it is read only, or there was no room */
    bool begun;        /* to become a running store */
    bool made_durable; /* they belong to the store: do not take them back */
    uint64_t old_manifest, manifest_length; /* of it: its good edits */
};

/* NULL: there is none. */
struct found_file *recovery_find(const struct recovery *r, enum file_kind kind,
                                 uint64_t number);
/* Logs why, and that the end of the manifest may be at fault; -EUCLEAN. */
int recovery_damaged(const struct recovery *r, enum file_kind kind, uint64_t number,
                     uint64_t offset, const char *why);
/* Of two struct edit_log, by number, for qsort and bsearch. */
int recovery_log_order(const void *a, const void *b);

/* The chain of logs from the manifest's on into r->log. */
int replay_find_chain(struct recovery *r);
/* Their batches into r->mem; or, when that gets larger than all memtables together may
 * be, into tables of r->version that no manifest knows yet, and then no log is needed. */
int replay_run(struct recovery *r);

#endif
