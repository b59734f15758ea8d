/*
 * check_impl.h - inside fs_check: the state of a check, and what check.c,
 * check_extents.c and check_xattr.c call of each other.
 */
#ifndef FS_CHECK_IMPL_H
#define FS_CHECK_IMPL_H

#include "known.h"
#include "txn.h"

#include <inttypes.h>

struct check {
    struct lsm *db;
    struct lsm_snapshot *snap;
    fs_report_fn *report;
    void *arg;
    uint64_t problems;
    uint64_t hash_seed;
    uint64_t next;    /* the counter */
    uint64_t highest; /* number seen */
    struct known_table inodes;
    uint64_t n_dentries, n_indexed;
    bool limited;
    uint64_t bytes, n_inodes; /* used (usage.c) */
    struct lsm_value value;
};

/* Count a problem, and report the line. */
void problem(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Look at the key and value under the iterator. What is wrong with them is a problem;
 * returned is only what ends the check. The inodes are known by then. */
typedef int visit_fn(struct check *c, struct slice key, struct lsm_iter *it);

visit_fn visit_extent, visit_unwritten; /* check_extents.c */
visit_fn visit_xattr;                   /* check_xattr.c */

/* When all keys were seen: do they add up to what the record says? */
void check_file(struct check *c, const struct known *k);
void check_xattrs(struct check *c, const struct known *k);

#endif
