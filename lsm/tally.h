/*
 * tally.h - what the edits of a manifest leave, counted up as they are read: tables
 * and sealed segments. Each costs the same however many there are, where to make a
 * version of each edit (version_apply) costs as much as there are tables: a manifest
 * of a stranger may have a million of both.
 */
#ifndef LSM_TALLY_H
#define LSM_TALLY_H

#include "version.h"

/* Hash tables by number; what is gone leaves its slot taken. Zeroed is empty. */
struct tally {
    struct tally_table *table;
    struct tally_segment *segment;
    size_t n_tables, cap_tables; /* used slots; a power of two */
    size_t n_segments, cap_segments;
};

void tally_release(struct tally *t);

/* After an error, t is only good for tally_release. -EUCLEAN (logged under `where`): a
 * table is added that is there, or removed from a level where it is not. Takes the
 * metadata of the tables that e adds. */
int tally_apply(struct tally *t, struct edit *e, const char *where);

/* The tables, as version_apply would have them; t has none any more. */
int tally_version(struct tally *t, struct table_cache *tables, const char *where,
                  struct version **out);
/* The segments, ascending by number, malloced. */
int tally_segments(const struct tally *t, struct edit_segment **list, size_t *n);

#endif
