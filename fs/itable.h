/*
 * itable.h - the live inodes: those somebody refers to.
 *
 * A reference is a pin (an operation in progress), a lookup or an open (the
 * user's, see fs.h). An inode stays in the table as long as it has one; the
 * kernel decides how many there are, so each is small (240 bytes and its name) and
 * costs no more than two hash chains: by number, and by name if its directory embeds it.
 *
 * The table never calls the store. Whoever wants an inode that is not live
 * reads its record and offers it with itable_insert. Between reading and
 * offering, another thread may have brought the inode in, changed its record
 * and dropped it again; what was read would then be stale. So each removal of
 * a changed inode is noted in a counter (of many, by the number under which
 * its record is found), the reader samples it before reading, and
 * itable_insert refuses when it has moved.
 */
#ifndef FS_ITABLE_H
#define FS_ITABLE_H

#include <stdatomic.h>

#include "../lsm/lsm.h"
#include "record.h"

/* Where an inode's record is: embedded in the entry seq of directory parent, which
 * also holds the name; or, when parent is 0, under the inode's own key. */
struct home {
    uint64_t parent;
    uint64_t seq;
    const char *name;
};

/* inode.state */
enum {
    INODE_CHANGED = 1 << 0,  /* its record in the store changed since it became live */
    INODE_ATIME = 1 << 1,    /* the atime in memory is newer than the store's */
    INODE_ORPHAN = 1 << 2,   /* no name any more; record and contents are still there */
    INODE_GONE = 1 << 3,     /* nothing of it is in the store any more */
    INODE_LINKABLE = 1 << 4, /* never had a name: fs_link may give it one */
    INODE_MODE = 1 << 5,     /* its mode changed without being asked to, as by a write */
};

/*
 * What an entry that leads to an inode must agree with: the parent of a directory, the
 * type of anything else. Inodes are locked in the order of the tree; an entry of a
 * damaged or hostile store may lead up it.
 */
#define KIN_TYPE ((uint64_t)1 << 63)

static inline uint64_t kin_of(const struct record *r)
{
    return record_is_dir(r) ? r->dir.parent : KIN_TYPE | (r->mode & S_IFMT);
}

/* The address of an inode, and in the bits that no address needs some of the hash that it
 * is found by, and whether others follow: who looks for another need not look at it,
 * which would be a cache miss. */
typedef uint64_t inode_link;

struct inode {
    inode_link next; /* under the lock of its number's shard, like the counts */
    uint64_t ino;
    uint64_t nlookup;
    uint32_t pins; /* one for each operation in progress */
    uint8_t state; /* under `lock`, and here only to fill a gap */
    /* No other name of its directory has the hash of its own: under the lock of its
     * name's shard, and to be relied on under the directory's. */
    bool sole;
    uint8_t room;         /* first_name takes a name so long */
    _Atomic uint64_t kin; /* kin_of(rec): to be asked before the lock may be taken */
    union {
        inode_link name_next;  /* under the lock of its name's shard, */
        _Atomic uint64_t tree; /* Of one that no directory embeds: the quota tree that its
                                  record says (quota.h); 0: none */
    };
    union {
        uint64_t name_hash;       /* like this and, to be changed, `home` */
        _Atomic uint64_t missing; /* of a directory, under its lock: a hash that no name
                                     in it has, the last that was asked for; 0: none */
    };

    struct rwlock lock; /* over the rest; a change needs it exclusively */
    struct record rec;  /* a symlink's target is owned */
    struct home home;
    char first_name[]; /* home.name, until it gets one that is longer */
};

enum {
    ITABLE_SHARDS = 64,
    ITABLE_NOTES = 1024,
};

/* A live inode can be found by its number; by its name, too, if it is embedded. */
enum itable_by {
    BY_NUMBER,
    BY_NAME,
};

struct itable_shard {
    struct mutex mu;
    enum itable_by by;
    inode_link *bucket;
    uint64_t mask; /* buckets - 1 */
    uint64_t count;
} __attribute__((aligned(64)));

struct itable {
    struct itable_shard shard[2][ITABLE_SHARDS]; /* enum itable_by */
    uint64_t hash_seed;                          /* of names; constant */
    _Atomic uint64_t note[ITABLE_NOTES];
};

int itable_init(struct itable *t);
/* The table must be empty. */
void itable_release(struct itable *t);

/*
 * A new inode, pinned once, in no table; copies the name (NULL: the record has
 * its own key) and a symlink's target. NULL: no memory.
 */
struct inode *inode_new(uint64_t ino, const struct record *rec, uint64_t parent,
                        uint64_t seq, const struct slice *name);
/* For one that never got into a table. */
void inode_free(struct inode *in);

/* The live inode, pinned, or NULL. */
struct inode *itable_find(struct itable *t, uint64_t ino);

/* The tree of a live inode that has a record of its own; false: it is not live. */
bool itable_tree(struct itable *t, uint64_t ino, uint64_t *tree);

/*
 * The live inode that directory `parent` embeds under that name, pinned, or NULL: that
 * says nothing. Needs the directory's lock, which keeps the answer true. *seq is its
 * place, *sole whether that is known to be the only one with this hash.
 */
struct inode *itable_find_name(struct itable *t, uint64_t parent, uint64_t hash,
                               struct slice name, uint64_t *seq, bool *sole);
/* In that directory inode ino's is the only name with this hash; 0: there are several.
 * Needs the directory's lock, and when something changed it exclusively. */
void itable_set_sole(struct itable *t, uint64_t parent, uint64_t hash, uint64_t ino);

/* Memory for a name that the inode is to get: NULL where it has room for it. -ENOMEM.
 * Needs the inode's lock. */
int inode_name_room(const struct inode *in, const char *name, char **memory);
/* The record of a live inode is now elsewhere; takes the memory for its name (which is
 * NULL with parent 0; then its tree is 0). Needs the inode's lock exclusively, and of
 * directories those that the names change in. */
void itable_move(struct itable *t, struct inode *in, uint64_t parent, uint64_t seq,
                 const char *name, char *memory);

/* The counter for records found by way of `number`: an inode's own key, or the
 * directory that embeds it. Sample it before reading the record. */
uint64_t itable_sample(struct itable *t, uint64_t number);
/* Note that records found by way of number moved elsewhere. */
void itable_note(struct itable *t, uint64_t number);

/*
 * Make `in` live, or return the inode that already is, pinned, and free `in`.
 * NULL (and `in` is freed) when the sample is out of date: read again.
 */
struct inode *itable_insert(struct itable *t, struct inode *in, uint64_t sample);
/* Make an inode live whose number nobody knows yet. */
void itable_add(struct itable *t, struct inode *in);

/* The caller holds a pin for all of these. */
void itable_add_lookup(struct itable *t, struct inode *in);
/* Give the pin back and add a lookup. */
void itable_keep_lookup(struct itable *t, struct inode *in);
void itable_take_lookups(struct itable *t, struct inode *in, uint64_t n);
/* Does the user refer to it, by a lookup or an open? With the locks held that a
 * lookup of its name needs, and its own exclusively, the answer can only become false. */
bool itable_referenced(struct itable *t, struct inode *in);

/*
 * Give a pin back. False: it was the last reference to an inode whose state
 * still asks for work in the store (INODE_ATIME, INODE_ORPHAN). The caller then
 * keeps the pin, does the work, and calls again.
 */
bool itable_put(struct itable *t, struct inode *in);

uint64_t itable_count(struct itable *t);

/* For unmount, when nobody else is there: every inode loses its references, is given
 * to fn for the work its state asks for, and freed. */
typedef void itable_drain_fn(void *arg, struct inode *in);
void itable_drain(struct itable *t, itable_drain_fn *fn, void *arg);

#endif
