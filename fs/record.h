/*
 * record.h - what the filesystem keeps under its keys: inodes, directory
 * entries, name lists, the superblock. Bytes: FORMAT.md.
 *
 * Decoders take hostile bytes: they return 0, or -EUCLEAN for whatever the
 * encoder cannot have written, and never read past the slice. What they return
 * borrows from it.
 */
#ifndef FS_RECORD_H
#define FS_RECORD_H

#include <sys/stat.h>

#include "../lsm/lsm.h"
#include "../lsm/lsm.h"

/* On disk: never renumber. */
enum {
    INO_FIRST = 16, /* below: reserved */

    /* record.flags; those not named here are refused */
    REC_TAIL = 1 << 0,      /* the last extent ends where the file does */
    REC_XATTR = 1 << 1,     /* has keys under X */
    REC_RUN = 1 << 2,       /* on disk only: the run fields follow */
    REC_UNWRITTEN = 1 << 3, /* on disk only: the bytes of unwritten ranges follow */
    /* Which attributes are among those keys; only with REC_XATTR. */
    REC_ACL = 1 << 4,         /* system.posix_acl_access */
    REC_DEFAULT_ACL = 1 << 5, /* system.posix_acl_default; of directories */
    REC_CAPABILITY = 1 << 6,  /* security.capability */
    REC_TREE = 1 << 7,        /* on disk only: the number of a quota tree follows */
    /* How contents are to be compressed: 0 as the store, else an enum lsm_compression
     * and 1, in these two bits; of files and directories. */
    REC_COMPRESSION_SHIFT = 8,
    REC_COMPRESSION = 3 << REC_COMPRESSION_SHIFT,
    REC_XATTRS = REC_XATTR | REC_ACL | REC_DEFAULT_ACL | REC_CAPABILITY,

    RUN_BYTES = 4096, /* a run of small tail extents is shorter than this... */
    RUN_COUNT = 8,    /* ...and has no more extents than this */

    SEQS_MAX = 16, /* names of one directory with one hash */
};

#define INO_MAX ((uint64_t)INT64_MAX) /* of inode numbers and seqs */

/* A moment. 12 bytes where timespec takes 16: each live inode holds four. */
struct stamp {
    int64_t sec;
    uint32_t nsec;
} __attribute__((packed, aligned(4)));

/* An inode as stored. */
struct record {
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t nlink; /* names; of a directory 1, or 0 when it was removed */
    uint32_t flags;
    struct stamp atime, mtime, ctime, btime;
    /* Of a file: the small tail extents that wait to be merged (extent.c). Here, because
     * the union would be larger with them, and every live inode has one. */
    uint16_t run_bytes;
    uint16_t run_count;
    union {
        struct {
            uint64_t size;
            uint64_t bytes;     /* sum of the lengths of the extents */
            uint64_t extents;   /* their number */
            uint64_t unwritten; /* sum of the lengths of the unwritten ranges */
        } file;
        struct {
            uint64_t parent;
            uint64_t entries;
            uint32_t subdirs;
        } dir;
        struct slice target; /* of a symbolic link */
        uint64_t rdev;       /* major << 32 | minor */
    };
};

static inline bool record_is_dir(const struct record *r)
{
    return S_ISDIR(r->mode);
}

static inline bool record_is_file(const struct record *r)
{
    return S_ISREG(r->mode);
}

/* Without a name, and not in an entry: it lies under O. A removed directory is nowhere. */
static inline bool record_is_orphan(const struct record *r)
{
    return !r->nlink && !record_is_dir(r);
}

/* Does the file consist of exactly one extent, and that at its end? Then its key is
 * known without looking. */
static inline bool record_sole_extent(const struct record *r)
{
    return record_is_file(r) && r->file.extents == 1 && (r->flags & REC_TAIL);
}

/* What was set for the inode, if something was. */
static inline bool record_compression(const struct record *r, enum lsm_compression *out)
{
    unsigned set = (r->flags & REC_COMPRESSION) >> REC_COMPRESSION_SHIFT;

    *out = (enum lsm_compression)(set - 1);
    return set;
}

void record_encode(struct buf *b, const struct record *r);
int record_decode(struct slice in, struct record *r);
/* Of a record with a key of its own: with the quota tree (quota.h) that it says, 0: none.
 * record_decode reads them, too. */
void record_encode_tree(struct buf *b, const struct record *r, uint64_t tree);
int record_decode_tree(struct slice in, struct record *r, uint64_t *tree);
/* Of a value under O: the record of an inode that has no name. -ENODATA: it is empty, as
 * older versions wrote it, which kept the record under I. */
int orphan_decode(struct slice in, struct record *r, uint64_t *tree);

/* A directory entry: a name, and the inode itself or its number. */
struct dentry {
    struct slice name;
    uint64_t ino;
    uint32_t type; /* the S_IFMT part of the mode */
    bool embedded;
    struct slice inode; /* when embedded: its bytes, */
    struct record rec;  /* and what they say */
};

void dentry_encode_inode(struct buf *b, struct slice name, uint64_t ino,
                         const struct record *r);
void dentry_encode_ref(struct buf *b, struct slice name, uint64_t ino, uint32_t type);
int dentry_decode(struct slice in, struct dentry *d);
/* All but rec; and that, of an embedded inode. A listing has mostly no use for it. */
int dentry_decode_name(struct slice in, struct dentry *d);
int dentry_decode_inode(struct dentry *d);

/* May name be that of an entry? 0, -ENAMETOOLONG, -EEXIST for "." and "..", -EINVAL
 * for an empty one and one with '/' or NUL. */
int name_check(struct slice name);

/* The entries of a directory whose names share a hash; nearly always one. */
struct seqs {
    unsigned n;
    uint64_t seq[SEQS_MAX];
};

void seqs_encode(struct buf *b, const struct seqs *s);
int seqs_decode(struct slice in, struct seqs *s);
/* -ENOSPC when the list is full. */
int seqs_add(struct seqs *s, uint64_t seq);
void seqs_remove(struct seqs *s, uint64_t seq);

struct super {
    uint64_t hash_seed;
    uint64_t root;
    uint64_t limit_bytes, limit_inodes; /* 0: none */
    bool quotas;                        /* there are quota trees */
};

void super_encode(struct buf *b, const struct super *s);
/* Also -EPROTONOSUPPORT when a newer program made it. */
int super_decode(struct slice in, struct super *s);

/* Counters (S next, S count) are one varint. */
int counter_decode(struct slice in, uint64_t *v);

/* What a filesystem with a limit keeps of what is used (S used); usage.c. */
struct used {
    uint64_t bytes;
    bool exact; /* so is S count, then; else they are some seconds old */
};

void used_encode(struct buf *b, const struct used *u);
int used_decode(struct slice in, struct used *u);

/* On disk: never renumber. */
enum quota_state {
    QUOTA_READY = 1,
    QUOTA_FILLING = 2,  /* not all that is in the tree says so yet */
    QUOTA_CLEARING = 3, /* some of it still does, and is not to */
    QUOTA_REMOVED = 4,  /* the directory is gone, or its quota; files without a name may
                           be left that count here */
};

/* The quota of a directory tree (Q); quota.h. */
struct quota_record {
    enum quota_state state;
    uint64_t outer;                     /* the tree that it lies in; 0: none */
    uint64_t limit_bytes, limit_inodes; /* 0: none */
    uint64_t bytes, inodes;             /* used; as exact as S quotas says */
};

void quota_encode(struct buf *b, const struct quota_record *q);
int quota_decode(struct slice in, struct quota_record *q);
/* S quotas: is what all of them say exact? */
int exact_decode(struct slice in, bool *exact);

#endif
