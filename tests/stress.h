/*
 * stress.h - a random load on a mount, and what must be there when its daemon was
 * killed. tool_stress.c is the program.
 *
 * What is expected is kept outside the mount, in a mapped file (RocksDB's db_stress has
 * it so): it survives the daemon, and the workers too. It is cut into *regions*. A region
 * is a directory of its own, and names of its own in a directory that all share; it has
 * one worker, or several that take turns. Before a worker makes a call it writes down
 * what it is about to do (`op`), after the reply it does the same to the model. So
 * whenever everything stops, each region is known up to one call, which must have
 * happened wholly or not at all.
 *
 * What the kernel still held (its writeback cache, a shared mapping) was not promised:
 * such pages are `dirty` until an fsync, and are not compared.
 */
#ifndef STRESS_H
#define STRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STRESS_DIRS = 6,     /* of a region: */
    STRESS_TOP = 0,      /* its own */
    STRESS_COMMON = 1,   /* the one all share; the others are made and removed */
    STRESS_FILES = 20,   /* inodes */
    STRESS_ENTRIES = 48, /* names of all kinds */
    STRESS_NAMES = 20,   /* to choose from, in each directory */
    STRESS_FILE_MAX = 512 * 1024,
    STRESS_PAGE = 4096,
    STRESS_PAGES = STRESS_FILE_MAX / STRESS_PAGE,
    STRESS_XATTRS = 3,
    STRESS_XATTR_MAX = 6000,
    STRESS_LINK_MAX = 300, /* bytes of a symbolic link's target */
    STRESS_HELD = 8,       /* unlinked files that a worker keeps open */
    STRESS_PAST = 400, /* calls that are remembered, to be told when something is wrong */
};

enum stress_kind {
    STRESS_NOTHING, /* in an entry: free; in an op: none in flight */
    /* entries */
    STRESS_FILE,
    STRESS_DIR,
    STRESS_SYMLINK,
    /* calls that change names */
    STRESS_CREATE,
    STRESS_MKDIR,
    STRESS_MAKE_LINK,
    STRESS_MAKE_SYMLINK,
    STRESS_UNLINK,
    STRESS_RMDIR,
    STRESS_RENAME,
    /* contents */
    STRESS_WRITE,
    STRESS_APPEND,
    STRESS_MMAP,
    STRESS_TRUNCATE,
    STRESS_OPEN_TRUNC,
    STRESS_FALLOCATE,
    STRESS_COPY,
    STRESS_FSYNC,
    /* attributes */
    STRESS_CHMOD,
    STRESS_UTIMENS,
    STRESS_SETXATTR,
    STRESS_REMOVEXATTR,
    /* looking */
    STRESS_READ,
    STRESS_LIST,
    STRESS_KINDS
};

struct stress_entry {
    uint8_t kind;
    uint8_t dir, name; /* where: a directory of the region, and the number of the name */
    uint8_t target;    /* the file, the directory; of a symbolic link its number */
};

struct stress_file {
    uint32_t nlink; /* 0: free */
    uint32_t mode;
    uint64_t size;
    uint64_t size_min; /* at least that is in the store: less only in writeback */
    uint64_t mtime;    /* 0: not known */
    uint32_t xattr_len[STRESS_XATTRS]; /* plus one; 0: there is none */
    uint64_t xattr_seed[STRESS_XATTRS];
    uint8_t dirty[STRESS_PAGES];
};

/* A call: which entry, which other one or place, and numbers. */
struct stress_op {
    uint32_t kind;
    uint32_t entry, other;
    uint32_t dir, name; /* where to */
    uint32_t file;      /* of entry; for people */
    uint32_t flags;     /* of rename, fallocate; an attribute's number; keep it open */
    uint32_t mode;
    int32_t expect; /* the errno that it must fail with; 0: none */
    uint64_t off, to, len, seed;
};

struct stress_region {
    pthread_mutex_t turn; /* shared between processes */
    uint32_t number;
    uint64_t operations;
    struct stress_op op;                /* in flight */
    struct stress_op past[STRESS_PAST]; /* a ring; operations tells where it ends */
    struct stress_entry entry[STRESS_ENTRIES];
    struct stress_file file[STRESS_FILES];
    uint8_t data[STRESS_FILES][STRESS_FILE_MAX];
};

/* How a call is chosen and made. */
struct stress_worker {
    const char *mnt;
    uint64_t random;
    bool writeback;        /* the mount has the kernel's cache of writes */
    int held[STRESS_HELD]; /* descriptors of unlinked files; -1 */
    unsigned next_held;
    uint8_t *buf; /* STRESS_FILE_MAX bytes */
};

/* ---- the model: stress_model.c ---- */

/* A new region: an empty directory of mode 0755. */
void stress_region_init(struct stress_region *r, uint32_t number);
/* What op does, without expect. */
void stress_apply(struct stress_region *r, const struct stress_op *op, bool writeback);
/* A call that makes sense now, or fails as op->expect says. */
void stress_draw(struct stress_region *r, struct stress_worker *w, struct stress_op *op);
/* len bytes that seed stands for. */
void stress_fill(uint8_t *to, size_t len, uint64_t seed);
/* The path of a directory, and of a name in it, into a buffer of PATH_MAX. */
void stress_dir_path(const struct stress_region *r, const char *mnt, unsigned dir,
                     char *to);
void stress_path(const struct stress_region *r, const char *mnt, unsigned dir,
                 unsigned name, char *to);
void stress_link_target(unsigned number, char to[STRESS_LINK_MAX + 1]);
bool stress_is_dirty(const struct stress_file *f);

/* ---- calls: stress_do.c ---- */

/* Make the call; 0 or -errno. STRESS_READ and STRESS_LIST compare, and return -EBADMSG
 * after telling on stderr what is wrong. */
int stress_do(struct stress_region *r, struct stress_worker *w,
              const struct stress_op *op);
/* The mount is dead: do open files say so? 0, or -EBADMSG. */
int stress_held_are_dead(struct stress_worker *w);
const char *stress_kind_name(unsigned kind);

/* ---- comparing: stress_check.c ---- */

struct stress_counts {
    uint64_t files, bytes;        /* compared */
    uint64_t in_flight, happened; /* calls, and those of them that took place */
    uint64_t unsynced;            /* pages not compared */
};

/*
 * Is the region in the mount what the model says, before or after the call in flight? If
 * so the model is made exact: 0, else -EBADMSG after telling on stderr. -ENOTCONN when
 * the mount died meanwhile: the model is as before.
 */
int stress_check(struct stress_region *r, const char *mnt, bool writeback,
                 struct stress_counts *c);
/* The calls that changed the region's files last, to stderr. */
void stress_tell_past(const struct stress_region *r);
/* The mount was ended in good order, and nobody used it: nothing is dirty any more. */
void stress_all_synced(struct stress_region *r);
/* In a mount that lives, silent when all is well: the bytes of file f, open as fd; the
 * number of names in a directory. 0, -EBADMSG, -ENOTCONN. */
int stress_check_open(const struct stress_region *r, unsigned f, int fd,
                      const char *path);
int stress_check_list(const struct stress_region *r, const char *mnt, unsigned dir);

#endif
