/*
 * pick_impl.h - what the pick*.c files share: building a compaction input by input.
 */
#ifndef LSM_PICK_IMPL_H
#define LSM_PICK_IMPL_H

#include "pick.h"

/* On -ENOMEM the caller releases c. */
int compaction_add(struct compaction *c, unsigned level, struct tfile *f);

bool pick_any_compacting(struct tfile *const *files, size_t n);

/*
 * Complete c, whose inputs of c->level are chosen and whose output_level is set, with
 * what they overlap there. PICK_NOTHING when something of that is being compacted.
 */
int pick_complete(const struct version *v, const struct pick_options *o,
                  struct compaction *c);

/* Deletes of a table, range deletes weighed as many. */
uint64_t pick_tombstones_of(const struct table_meta *m);
/* So many, or so close, that the table is worth a compaction on their account. */
bool pick_mostly_tombstones(const struct table_meta *m);

/* The level that tables of `level` go to. */
unsigned pick_next_level(const struct level_targets *t, unsigned level);

/* All of L0 into the base; PICK_NOTHING when something is in the way. */
int pick_l0(const struct version *v, const struct pick_options *o,
            const struct level_targets *t, enum pick_reason reason, struct compaction *c);

/* Is the way from L0 to the base blocked by a table that is left out? Then its runs are
 * merged in L0, for as long. */
bool pick_l0_is_blocked(const struct version *v, const struct pick_options *o,
                        const struct level_targets *t);

/* pick_leveled.c: the levels below L0, by size. */
int pick_by_size(const struct version *v, const struct pick_options *o,
                 const struct level_targets *t, struct compaction *c);
/* And by tombstones, L0 first. */
int pick_by_tombstones(const struct version *v, const struct pick_options *o,
                       const struct level_targets *t, struct compaction *c);

/* Tombstones at the bottom, kept for a snapshot that is gone. */
int pick_by_old_tombstones(const struct version *v, const struct pick_options *o,
                           struct compaction *c);

/* pick_tiered.c */
int pick_tiered(const struct version *v, const struct pick_options *o,
                struct compaction *c);
int pick_hybrid(const struct version *v, const struct pick_options *o,
                const struct level_targets *t, struct compaction *c);
/* Too many runs of L0, or ones of like size, into one that stays there. */
int pick_l0_runs(const struct version *v, const struct pick_options *o,
                 struct compaction *c);
/* Of L0 alone; as far as merging can do something about their number. */
size_t pick_count_l0_runs(const struct version *v);
/* Sorted runs of the version: groups of disjoint tables in L0, and the levels below.
 * Counted likewise. */
size_t pick_count_runs(const struct version *v);

#endif
