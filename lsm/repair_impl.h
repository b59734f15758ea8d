/*
 * repair_impl.h - what the repair*.c files share. See lsm_repair in lsm.h.
 *
 *   repair.c           files, the order of things, the new manifest, the end
 *   repair_manifest.c  the manifest that is left
 *   repair_table.c     a table: sound, or what is left of it in a new one
 *   repair_log.c       the logs' readable frames in a memtable
 *   repair_merge.c     new tables out of a memtable or out of all tables
 *
 * One thread, no locks: nobody else has the store.
 */
#ifndef LSM_REPAIR_IMPL_H
#define LSM_REPAIR_IMPL_H

#include "edit.h"
#include "format.h"
#include "lsm.h"
#include "memtable.h"
#include "names.h"
#include "table.h"
#include "version.h"
#include "vlog.h"

#define NO_LOG UINT64_MAX /* as in db_impl.h */

struct repair_file {
    enum file_kind kind;
    uint64_t number;
    uint64_t size;
    bool damaged;   /* goes to lost/ */
    bool done;      /* what it held is elsewhere: deleted */
    unsigned level; /* of a damaged table */
};

/* A table of the new store, or of what is merged into it. */
struct repair_table {
    uint64_t number;
    unsigned level;
    struct table *table;
};

/* What a manifest tells; as much of it as could be read. */
struct repair_manifest {
    uint64_t number;
    unsigned edits;
    bool whole; /* nothing of it is missing, as far as can be told */
    uint64_t next_number, log_number, last_seq;
    struct store_format format;
    struct edit_table *table;
    size_t n_tables;
    uint64_t *removed; /* tables that were part of the store and are not any more */
    size_t n_removed;
};

struct repair {
    struct env *env;
    char *dir;
    const struct lsm_options *o;
    lsm_repair_fn *report;
    void *arg;
    struct lsm_repair_result *out;
    struct vlog *vlog;
    struct repair_file *file; /* as found, by kind and number */
    size_t n_files, cap_files;
    struct repair_manifest m;
    struct repair_table *table;
    size_t n_tables;
    uint64_t first_new; /* files from here on are ours */
    uint64_t next_number;
    uint64_t last_seq;
    uint64_t flushed_seq; /* up to there all is in tables: the greatest of a sound one */
    struct memtable *mem; /* what the logs hold */
    struct vptr checked;  /* the value last checked */
    int checked_rc;
};

/* ---- repair.c ---- */

/* One loss, told and counted. */
void repair_tell(struct repair *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
struct repair_file *repair_find(struct repair *r, enum file_kind kind, uint64_t number);
/* Damage, and not -ENOMEM or a newer format, after which repair must not go on. */
bool repair_is_damage(int rc);
/* The first bytes of a key, as hex. */
enum { REPAIR_KEY_TEXT = 2 * 48 + 4 };
const char *repair_key(struct slice key, char to[REPAIR_KEY_TEXT]);

/* ---- repair_manifest.c ---- */

/* Read into r->m the manifest that is left, if one is, and tell what is wrong with it;
 * r->out->rebuilt unless it is whole. Then r->next_number is above every number it gave
 * away. -EPROTONOSUPPORT and -EINVAL as from format_accept. */
int repair_read_manifest(struct repair *r);
void repair_manifest_release(struct repair_manifest *m);
/* Does it name that table? Or has it, and not any more? */
bool repair_manifest_has(const struct repair_manifest *m, uint64_t number);
bool repair_manifest_removed(const struct repair_manifest *m, uint64_t number);

/* ---- repair_table.c ---- */

int repair_open(struct repair *r, uint64_t number, struct table **out);
/* A builder of a new table at that level. */
int repair_build(struct repair *r, unsigned level, struct table_builder **out,
                 uint64_t *number);
/* End it; the table joins r->table, unless it is empty. */
int repair_built(struct repair *r, struct table_builder *b, uint64_t number,
                 unsigned level);
/* Add the entry, or, when its value is lost, a tombstone for it. */
int repair_add(struct repair *r, struct table_builder *b, struct slice ikey,
               struct slice value);
/* Take file f, found at that level, into r->table, or note that it is damaged. */
int repair_take_table(struct repair *r, struct repair_file *f, unsigned level);
/* Take what is left of the damaged table f. */
int repair_salvage(struct repair *r, struct repair_file *f);

/* ---- repair_log.c ---- */

/* Fill r->mem from the logs from log_number on, leaving out what is not newer than
 * `after`. */
int repair_read_logs(struct repair *r, uint64_t log_number, uint64_t after);

/* ---- repair_merge.c ---- */

/* r->mem becomes a table at level 0 in r->table. */
int repair_flush(struct repair *r);
/* All of r->table become tables that do not overlap, at the last level. */
int repair_merge(struct repair *r);

#endif
