/*
 * covered.h - tables that a range delete hides whole: they can go unread.
 */
#ifndef LSM_COVERED_H
#define LSM_COVERED_H

#include "pick.h"

/*
 * Into a zeroed *c, with reason PICK_COVERED, the tables of v that nobody can see:
 * over all of a table's keys lie range deletes of newer tables, newer than all that is
 * in it, and no snapshot stands between the two. snaps: the sequence numbers that
 * somebody reads at, ascending (db_snapshots). Opens tables with range deletes: not
 * under a lock. Tables that are being compacted may be among them.
 * 0 (PICK_NOTHING: there are none), -ENOMEM, or what opening a table gave.
 */
int covered_find(const struct version *v, const uint64_t *snaps, size_t n_snaps,
                 struct compaction *c);

#endif
