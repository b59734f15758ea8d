/*
 * check_impl.h - inside fs_check and fs_repair: the state of a check, and what its
 * files call of each other.
 *
 * The passes, in order: check.c (superblock, keys of no kind), check_entries.c
 * (inode records; then directory entries, first those that are as they should be,
 * then the doubtful ones), check_tree.c (does every directory lead up to the
 * root?), check_inode.c (each inode against all that lies under its number:
 * check_extents.c, check_xattr.c, check_names.c), check_quota.c, check_counters.c.
 *
 * What is wrong is found there, by problem(); what is done about it is in mend.h,
 * whose functions do nothing unless this is a repair. So the finding code is the
 * same for both, and there is one place that knows what a consistent change is.
 * Each mend is one batch and leaves the store no worse than before: a repair may be
 * cut off anywhere. Iterators see the store as of the beginning of their pass,
 * gets as it is now.
 */
#ifndef FS_CHECK_IMPL_H
#define FS_CHECK_IMPL_H

#include "check_known.h"
#include "fs_impl.h"

#include <inttypes.h>

/* Greater numbers than this no counter has reached: they are damage. What is below
 * leaves enough of them for all that a repair has to number. */
#define NUMBER_LIMIT (INO_MAX - (UINT64_C(1) << 32))

struct check {
    struct lsm *db;
    fs_report_fn *report;
    void *arg;
    bool repair;
    bool contents; /* read all of them */
    uint64_t problems;
    uint64_t before; /* of them those found by earlier rounds */
    uint64_t left;   /* of them those that nothing mends */

    uint64_t hash_seed;
    bool seed_lost;
    uint64_t next; /* the counter; 0: it is bad */
    uint64_t top;  /* number in any key or entry, or given out by the repair */

    bool limited;
    struct used used; /* with a limit: what the store says */
    uint64_t bytes;   /* used, by what was found (usage.c) */
    uint64_t leaving; /* orphans with their record under O */

    bool quotas; /* the superblock tells of some (quota.h) */
    bool quotas_exact;
    uint64_t labelled; /* records that tell of some */

    struct known_table inodes;
    uint64_t doubtful;   /* entries left to the second pass */
    uint64_t lost_found; /* the directory; 0: there is none yet */
    uid_t uid;           /* owner of what is made: that of the root */
    gid_t gid;

    struct lsm_value value; /* of short-lived gets */
    struct lsm_value name;  /* of gets for the sake of a path */
    struct lsm_batch *batch;
    struct buf scratch;
    uint64_t written; /* batches */
};

/* ---- check_report.c ---- */

/*
 * Count a problem and report it, followed, when this is a repair, by what is done about
 * it: "removed". mend NULL: nothing is, by neither. The line has no control
 * characters but what the caller puts in it.
 */
void problem(struct check *c, const char *mend, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Report what is no problem. */
void remark(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct text {
    char s[800];
};
/* "inode 17 (/a/b)", as far as it can be told. */
const char *text_inode(struct check *c, uint64_t ino, struct text *t);
/* "/a/b", or "b in directory 16". */
const char *text_entry(struct check *c, uint64_t dir, struct slice name, struct text *t);
/* Printable as it is, else escaped. */
const char *text_key(struct slice key, struct text *t);
const char *text_name(struct slice name, struct text *t);

/* ---- check.c ---- */

/* Look at the key and value under the iterator. What is wrong with them is a problem;
 * returned is only what ends the check. */
typedef int visit_fn(struct check *c, struct slice key, struct lsm_iter *it);
/* All keys from..to, or of one letter. */
int visit_range(struct check *c, struct slice from, struct slice to, visit_fn *fn);
int visit_letter(struct check *c, enum key_letter letter, visit_fn *fn);
/* A key that cannot be, of that kind: a problem, and removed. */
int bad_key(struct check *c, struct slice key, const char *kind);
/* May it be the number of an inode? Of an entry? */
static inline bool ino_valid(uint64_t n)
{
    return n == FS_ROOT || (n >= INO_FIRST && n <= NUMBER_LIMIT);
}
static inline bool seq_valid(uint64_t n)
{
    return n >= INO_FIRST && n <= NUMBER_LIMIT;
}
/* Is there a key with this letter and number first? Its iterator stands there. */
int exists_under(struct check *c, enum key_letter letter, uint64_t n, bool *exists);

/* ---- the passes ---- */

int read_counters(struct check *c);  /* check_counters.c */
int check_records(struct check *c);  /* check_entries.c */
int check_entries(struct check *c);  /* check_entries.c */
int check_doubtful(struct check *c); /* check_doubt.c */
int check_tree(struct check *c);     /* check_tree.c */
int check_inodes(struct check *c);   /* check_inode.c */
int read_quotas(struct check *c);    /* check_quota.c */
int check_quotas(struct check *c);   /* check_quota.c */
int check_counters(struct check *c); /* check_counters.c */

/* An entry embeds this record, in the right place. */
void note_embedded(struct check *c, struct known *k, const struct record *rec);
/* False for what cannot be an entry. */
bool entry_decode(struct slice value, struct dentry *d);
/* Does it count as a subdirectory? By what it leads to, if that is known. */
bool entry_is_dir(const struct check *c, const struct dentry *d);

/* The number is referred to, as something of that type (0: of any), and has no record:
 * one is made of what there is, a directory of entries, a file of extents. *made is
 * false when there is nothing. */
int remake(struct check *c, uint64_t ino, uint32_t type, bool *made);

/* ---- one inode, with all that lies under its number ---- */

/* An iterator over one kind of key, and the number it stands at. */
struct cursor {
    enum key_letter letter;
    struct lsm_iter *it;
    uint64_t ino;      /* UINT64_MAX: at the end */
    uint64_t second;   /* number of the key, if it has one: end, hash */
    struct slice name; /* of an attribute */
};

struct subject {
    uint64_t ino;
    uint32_t bits; /* of what is known */
    bool exists;   /* has a record that can be looked at: rec */
    bool quiet;    /* the record was made just now: set it right without a word */
    bool changed;  /* rec is to be written */
    struct record rec;
    uint64_t tree;              /* if it has a key of its own (quota.h) */
    struct slice embedded_name; /* the entry's */
    uint64_t home;              /* its directory; 0: under I */
    struct lsm_value value;     /* rec and name borrow from it */
};

/* The record of a known inode; exists is false when there is none (any more). */
int subject_load(struct check *c, uint64_t ino, struct subject *s);
void subject_release(struct subject *s);

/* Each goes over its keys of that inode and leaves the cursor behind them. */
int check_extents(struct check *c, struct subject *s, struct cursor *at);
int check_unwritten(struct check *c, struct subject *s, struct cursor *at);
int check_xattrs(struct check *c, struct subject *s, struct cursor *at);
int check_names(struct check *c, struct subject *s, struct cursor *at);
/* The next key of that kind that is none too bad. */
int cursor_next(struct check *c, struct cursor *at);
/* Remove the key under the cursor. */
int cursor_drop(struct check *c, struct cursor *at);

#endif
