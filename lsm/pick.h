/*
 * pick.h - choosing a compaction. Pure policy: values in, values out, no disk.
 */
#ifndef LSM_PICK_H
#define LSM_PICK_H

#include "version.h"

struct pick_options {
    enum lsm_strategy strategy;
    unsigned l0_trigger; /* tables of L0, or sorted runs where these are tiered */
    unsigned level_ratio;
    uint64_t l1_bytes; /* the base level's target is at most this, and at least
                          a level_ratio'th of it */
    uint64_t table_bytes;
    uint64_t l0_ref_bytes; /* of values that L0 may point to in any case; 0: any */
    uint64_t oldest_seq;   /* nobody reads at a sequence below it */
    bool recompress;       /* the last level is compressed otherwise than those above */
    bool at_rest;          /* nothing is being written: small reasons are enough */
    bool left_out; /* some table is (tfile.left_out): it may be in the way of others */
};

/*
 * Targets, from the largest level upward (RocksDB's dynamic level targets): the
 * last level may be as large as it is, each one above is level_ratio smaller,
 * up to the base level, where L0 compacts into. Levels between L0 and the base
 * are empty.
 */
struct level_targets {
    unsigned base;
    uint64_t bytes[LSM_LEVELS]; /* [0]: unused */
};
void pick_targets(const struct version *v, const struct pick_options *o,
                  struct level_targets *t);

/* How much a level wants a compaction: at 1.0 and above it gets one. Of tiered runs
 * L0 speaks for all. */
double pick_score(const struct version *v, const struct pick_options *o,
                  const struct level_targets *t, unsigned level);

enum pick_reason {
    PICK_NOTHING,
    PICK_L0,         /* too many tables in L0, or too many bytes */
    PICK_SIZE,       /* a level over its target */
    PICK_RUNS,       /* too many sorted runs */
    PICK_TOMBSTONES, /* a table with many deletes, or range deletes, not at the bottom; or
                        there, but no snapshot needs them any more */
    PICK_MANUAL,     /* asked for */
    PICK_COVERED,    /* tables that range deletes hide: covered.h */
    PICK_GARBAGE,    /* a table that points into value-log segments to be emptied */
};

/* Value-log segments, ascending. */
struct segment_set {
    uint64_t *number; /* malloc'ed */
    size_t n;
};
void segment_set_release(struct segment_set *s);
bool segment_set_has(const struct segment_set *s, uint64_t number);
int segment_set_copy(struct segment_set *to, const struct segment_set *from);
/* Bytes of values in them that the table points to. */
uint64_t segment_set_bytes(const struct segment_set *s, const struct table_meta *m);

/*
 * Of each level, the tables that take part, in the version's order. What is newer
 * than an input and holds one of its keys stays above where the outputs go; what is
 * older stays below, or is an input.
 */
struct compaction {
    enum pick_reason reason;
    unsigned level;                    /* the uppermost one with inputs */
    unsigned output_level;             /* at or below all inputs */
    struct tfile **inputs[LSM_LEVELS]; /* borrowed from the version, which is pinned */
    size_t n[LSM_LEVELS];
    bool move;                  /* one table, no overlap: only the manifest changes */
    bool drop;                  /* the inputs vanish unread */
    struct segment_set victims; /* values in them are moved as they pass */
    uint64_t moving_floor;      /* where to: db_moving_begin_locked */
    uint64_t moved_bytes;       /* so far, in records */
    bool (*go_on)(void *arg);   /* NULL, or may say no: lsm_compact_while */
    void *go_on_arg;
};

void compaction_release(struct compaction *c);
/* Number and bytes of all inputs. */
size_t compaction_tables(const struct compaction *c);
uint64_t compaction_bytes(const struct compaction *c);

/*
 * What to do next, avoiding tables that are being compacted or left out. reason
 * PICK_NOTHING when there is nothing. -ENOMEM. c is zeroed.
 */
int pick_compaction(const struct version *v, const struct pick_options *o,
                    struct compaction *c);

/*
 * All tables of the first level that holds data into the next one that does (of
 * L0 into the base), for a full compaction. PICK_NOTHING when everything is in one
 * level already, or something is in the way.
 */
int pick_full(const struct version *v, const struct pick_options *o,
              struct compaction *c);

/* Parts of policies: all of L0 into the base level; one table, rewritten where it
 * is. PICK_NOTHING when something is in the way. */
int pick_whole_l0(const struct version *v, const struct pick_options *o,
                  enum pick_reason reason, struct compaction *c);
int pick_rewrite(struct tfile *f, unsigned level, enum pick_reason reason,
                 struct compaction *c);
/* Where a table that is left out keeps L0 from going down: neighbouring runs of it, some
 * of which point to victims, into one that stays there. PICK_NOTHING when there are none.
 */
int pick_blocked_l0(const struct version *v, const struct pick_options *o,
                    const struct segment_set *victims, struct compaction *c);

/*
 * Can nothing below output_level, nor an older L0 table left out, hold a key of
 * the range? Then tombstones in it can go.
 */
bool pick_is_bottom(const struct version *v, const struct compaction *c,
                    const struct key_range *r);

#endif
