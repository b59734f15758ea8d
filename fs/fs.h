/*
 * fs.h - the filesystem, without FUSE: names, inodes and file contents on an
 * ordered store (lsm/lsm.h). Everything public is here.
 *
 * Functions return 0 or -errno as the system call of that name would; -EUCLEAN
 * (reported to users as EIO) when the store holds what it cannot hold. One
 * operation is one batch: after a crash it happened or it did not.
 *
 * References. The table of live inodes counts, for every inode, the
 * *lookups* its user knows of: each call that returns attributes by name
 * (fs_lookup, fs_tmpfile, fs_mknod, fs_mkdir, fs_symlink, fs_link, and an
 * entry of fs_readdir that the sink took with FS_TAKEN_LOOKUP) adds one, fs_forget
 * takes them off. The root needs none. An inode number is valid while it is referenced:
 * who has a file open keeps a lookup of it. A file without a name lives, contents and
 * all, until it has no reference any more (or until the next mount); only a removed
 * directory is an empty shell at once. So who looked a name up can open what it found,
 * even when the name was unlinked or renamed over meanwhile.
 *
 * Permissions are the caller's business (the kernel's, with
 * default_permissions), except where the operation itself changes mode bits:
 * clearing suid, sgid and file capabilities on write, truncate and chown; group and
 * sgid inheritance in directories with sgid; default ACLs; the sticky bit is not
 * checked here.
 *
 * Locks, outermost first: the rename lock (renames between directories); inode
 * locks: directory before its entry, two directories ancestor first else by
 * number, then files, by number; the deletion of inodes that nobody refers to; a
 * shard of the inode table, by number, then by name, or the counters; the engine's. No
 * lock is held when a call returns.
 */
#ifndef FS_H
#define FS_H

#include <sys/stat.h>
#include <time.h>

#include "../lsm/lsm.h"

enum {
    FS_NAME_MAX = 255,
    FS_SYMLINK_MAX = 4095,
    FS_XATTR_NAME_MAX = 255,       /* bytes, the namespace included */
    FS_XATTR_SIZE_MAX = 64 * 1024, /* of a value */
    FS_XATTR_LIST_MAX = 64 * 1024, /* of the names of one inode, a NUL after each */
    FS_ROOT = 1,
    FS_BLOCK = 4096,            /* st_blksize, and what SEEK_HOLE tells apart */
    FS_EXTENT_MAX = 128 * 1024, /* bytes of content in one extent */
    FS_LINK_MAX = 2000000000,   /* links of a file; subdirectories of a directory */
};

#define FS_SIZE_MAX INT64_MAX /* bytes in a file */

/* lsm_options.format of a store with a filesystem. What later versions of the records
 * need is told in the superblock: this only keeps others from writing to it. */
#define FS_FORMAT "siltfs-1"

struct fs;

/* When a read sets the time of access. */
enum fs_atime {
    FS_RELATIME, /* when it is not newer than the last change, or a day old */
    FS_NOATIME,  /* never */
    FS_STRICTATIME,
};

struct fs_options {
    bool read_only;
    enum fs_atime atime;
    bool nodiratime;       /* never by a listing */
    unsigned writeback_ms; /* a thread writes lazy attributes (atime) this often, and
                              gives back memory of what was forgotten; 0: none does */
    /* Called, if there is one, by the operation that takes the last name from a file that
     * is still referred to, with locks held: it must not call back. */
    void (*last_name)(uint64_t ino, uint64_t size_bytes);
    /* fs_write, fs_mknod, fs_mkdir, fs_symlink and fs_tmpfile return when others see what
     * they did; who asked for it is told after fs_settle. So while a store on RADOS is
     * waited for, no inode is locked. */
    bool told_later;
};

void fs_options_init(struct fs_options *o);

/* Of a filesystem; 0: none. */
struct fs_limits {
    uint64_t bytes;
    uint64_t inodes;
};

/*
 * Make an empty filesystem in the open, empty store db; its root belongs to
 * uid, gid with mode (permission bits). limits NULL: none, as fs_set_limits. -EEXIST
 * when db holds one already, -ENOTEMPTY when it holds anything else.
 */
int fs_format(struct lsm *db, uid_t uid, gid_t gid, mode_t mode,
              const struct fs_limits *limits);

/*
 * What may be used of the filesystem in db, from now on; nobody has it mounted. Bytes are
 * those that `du` counts, and 256 for each name (FORMAT.md, "Limits"): not what the
 * store takes on the disk, which may be more or less. At a limit everything that would
 * use more is -ENOSPC; what uses no more goes on: overwriting, renaming, writing where
 * fallocate set room aside, deleting. A limit may be less than is used. Lists all
 * files, to count; survives power loss when it returns. -EINVAL beyond INT64_MAX.
 */
int fs_set_limits(struct lsm *db, const struct fs_limits *limits);
int fs_get_limits(struct lsm *db, struct fs_limits *limits);

/*
 * Use db, which fs_mount does not take: close it after fs_unmount. Removes the
 * orphans that a crash left. -ENODATA when db holds no filesystem,
 * -EPROTONOSUPPORT when it is of a newer version.
 */
int fs_mount(struct lsm *db, const struct fs_options *o, struct fs **out);
/* Writes what is pending, forgets all references, frees fs in any case. */
int fs_unmount(struct fs *fs);

struct lsm *fs_store(struct fs *fs);

/* Who asks: owner of what is made, and whose rights clear suid and sgid. */
struct fs_cred {
    uid_t uid;
    gid_t gid;
    mode_t umask;
    pid_t pid;
    /* Is the caller a member of gid (besides cred.gid)? NULL: no. */
    bool (*in_group)(const struct fs_cred *c, gid_t gid);
};

/* What a call by name returns: st_ino, st_nlink, st_blocks and all others set;
 * st_dev 0. generation is always 0: numbers are never reused. */
struct fs_attr {
    struct stat st;
    struct timespec btime;
    /* A name of this file went within the last second, and others are there: whoever
     * counts names by himself, as a kernel does, may still have to take that one off, and
     * then must not have taken st_nlink for his count before. Never when the mode was
     * changed by something else than fs_setattr asked to: that has to reach him. */
    bool lost_name;
};

/* ---- names ---- */

/* -ENOENT, -ENAMETOOLONG, -ENOTDIR. Knows ".." of a directory, and "." of anything: that
 * is the inode of number `parent`, which nobody needs to refer to; -ESTALE when there is
 * none. That of a file which was never linked a second time is looked for in all
 * directories: a get for each. */
int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fs_attr *out);
void fs_forget(struct fs *fs, uint64_t ino, uint64_t lookups);

/* Regular file, FIFO, socket, device by mode's type. mode is masked by umask, or by the
 * directory's default ACL if it has one. */
int fs_mknod(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
             mode_t mode, dev_t rdev, struct fs_attr *out);
/*
 * open(2)'s O_TMPFILE: a regular file made as fs_mknod would in the directory, which has
 * no name. fs_link can give it one (unlike a file whose last name was
 * removed: -ENOENT); else it goes with its last reference, or at the next mount.
 */
int fs_tmpfile(struct fs *fs, const struct fs_cred *c, uint64_t parent, mode_t mode,
               struct fs_attr *out);
int fs_mkdir(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
             mode_t mode, struct fs_attr *out);
int fs_symlink(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
               const char *target, struct fs_attr *out);
int fs_link(struct fs *fs, uint64_t ino, uint64_t parent, const char *name,
            struct fs_attr *out);
int fs_unlink(struct fs *fs, uint64_t parent, const char *name);
int fs_rmdir(struct fs *fs, uint64_t parent, const char *name);

/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT of <linux/fs.h>, else
 * -EINVAL, as for EXCHANGE with another. WHITEOUT leaves a device 0:0 of mode 0 under the
 * old name, which belongs to c; only for that c is needed. */
int fs_rename(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
              uint64_t new_parent, const char *new_name, unsigned flags);
/* NUL-terminated into to, which holds FS_SYMLINK_MAX + 1. */
int fs_readlink(struct fs *fs, uint64_t ino, char *to);

/*
 * Entries of directory ino after the position `cookie` (0: from the start), in
 * a lasting order: what exists throughout a scan is seen exactly once, whatever
 * else comes and goes. "." and ".." come first. `st` is complete with plus,
 * else only st_ino and the type in st_mode are set. next is the cookie to go on
 * after this entry. The sink is called with the directory locked: it must not
 * call back. It answers:
 */
enum fs_taken {
    FS_FULL,         /* no room: not taken, stop */
    FS_TAKEN,        /* go on */
    FS_TAKEN_LOOKUP, /* with plus: go on; it counts as a lookup, but for "." and ".." */
};
typedef enum fs_taken fs_dirent_fn(void *arg, const char *name,
                                   const struct fs_attr *attr, uint64_t next);
int fs_readdir(struct fs *fs, uint64_t ino, uint64_t cookie, bool plus, fs_dirent_fn *fn,
               void *arg);

/* ---- quotas of directory trees ---- */

/*
 * What may be used of all that is below a directory, in the measure of limits
 * (fs_set_limits); the directory itself does not count. At a quota everything that would
 * use more there is -EDQUOT. Trees may lie in each other; then all their quotas hold.
 * Between trees files can be renamed; directories, and files with several names, cannot,
 * nor can a name be added to a file in another tree: -EXDEV.
 */
enum fs_quota_state {
    FS_QUOTA_READY,
    FS_QUOTA_COUNTING, /* what is there is still being counted; nothing is refused */
    FS_QUOTA_CLEARING, /* it will be gone soon */
};

struct fs_quota {
    uint64_t dir;
    enum fs_quota_state state;
    struct fs_limits limits; /* 0: none */
    struct fs_limits used;
};

/*
 * Give the directory a quota, or change that which it has. One that is new begins to
 * count when what is there was counted: fs_quota_get tells. That is done by a thread,
 * over the next mounts if it must; by this call when writeback_ms is 0. -EBUSY while one
 * is being cleared there. Durable when it returns.
 */
int fs_quota_set(struct fs *fs, uint64_t ino, const struct fs_limits *limits);
/* Take it away: likewise. -ENODATA when it has none, -EBUSY while it is being counted. */
int fs_quota_clear(struct fs *fs, uint64_t ino);
/* That of the innermost tree that ino is in, or the directory of; -ENODATA. */
int fs_quota_get(struct fs *fs, uint64_t ino, struct fs_quota *out);
/* All of them, ascending by directory, and the path of that, control characters and
 * backslashes as \ooo. What fn returns other than 0 ends it. It must not call back. */
typedef int fs_quota_fn(void *arg, const struct fs_quota *q, const char *path);
int fs_quota_list(struct fs *fs, fs_quota_fn *fn, void *arg);

/* ---- attributes ---- */

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *out);

enum {
    FS_SET_MODE = 1 << 0,
    FS_SET_UID = 1 << 1,
    FS_SET_GID = 1 << 2,
    FS_SET_SIZE = 1 << 3,
    FS_SET_ATIME = 1 << 4,
    FS_SET_MTIME = 1 << 5,
    FS_SET_ATIME_NOW = 1 << 6,
    FS_SET_MTIME_NOW = 1 << 7,
    FS_SET_CTIME = 1 << 8, /* the kernel's, with its writeback cache */
};
/* Changes what `set` names, from `st`; the mode's type is ignored. */
int fs_setattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, unsigned set,
               const struct stat *st, struct fs_attr *out);

/* ---- extended attributes ---- */

/*
 * Namespaces user. (files and directories only, else -EPERM), trusted., security., and
 * the two names of POSIX ACLs; -EOPNOTSUPP for others, -EINVAL for a namespace
 * alone. -ENODATA: there is none. To get security.selinux of an inode without any
 * attributes is -EOPNOTSUPP: then ls does not ask for it of each file.
 *
 * An ACL is kept in step with the mode, both ways: setting system.posix_acl_access sets
 * the mode's bits, and is not stored when the mode says it all; fs_setattr changes it.
 * system.posix_acl_default (directories only, else -EACCES) is inherited by what is made
 * there, and then the umask does not count. -EINVAL for an ACL that makes no sense.
 *
 * security.capability goes at every write, truncation, fallocate, copy into the file
 * and change of owner.
 */

/*
 * Of a directory with a quota user.siltfs.rbytes and user.siltfs.rfiles are what is used
 * in its tree: decimal numbers, listed nowhere, set by nobody (-EPERM).
 */

/*
 * How contents of a file are compressed from now on, where they are stored by
 * themselves: none, lz4, zstd, else -EINVAL. Without it, as the store says. Files and
 * directories have it from the directory they are made in. It is no attribute of its own,
 * but two bits of the inode.
 */
#define FS_COMPRESSION_NAME "user.siltfs.compression"

/* The value into `to`, of size bytes, -ERANGE when it is longer; only its length into
 * *len when size is 0. */
int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *to, size_t size,
                size_t *len);
/* Names, each with a NUL after it; the same about size. trusted. only for root. */
int fs_listxattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, char *to,
                 size_t size, size_t *len);
/* flags: 0, XATTR_CREATE (-EEXIST) or XATTR_REPLACE (-ENODATA) of <sys/xattr.h>.
 * -E2BIG: value too long; -ENOSPC: too many names. */
int fs_setxattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, const char *name,
                struct slice value, int flags);
int fs_removexattr(struct fs *fs, uint64_t ino, const char *name);

/* ---- contents ---- */

/*
 * Read up to len bytes at off into `to`; *got is less only at the end of the
 * file. Holes read as zeros. -EUCLEAN when a byte asked for is damaged.
 */
int fs_read(struct fs *fs, uint64_t ino, uint64_t off, size_t len, void *to, size_t *got);
/* The same, and no time of access is set: O_NOATIME. */
int fs_read_noatime(struct fs *fs, uint64_t ino, uint64_t off, size_t len, void *to,
                    size_t *got);
/*
 * Write all of data at off, or nothing. suid and sgid are cleared when
 * clear_suid. -EFBIG beyond FS_SIZE_MAX.
 */
int fs_write(struct fs *fs, uint64_t ino, uint64_t off, struct slice data,
             bool clear_suid);
/* Bytes that this file can grow by before a limit, or a quota: so much of a write refused
 * with -ENOSPC or -EDQUOT will do. UINT64_MAX without either. */
uint64_t fs_room(struct fs *fs, uint64_t ino);

/*
 * fallocate(2). mode: 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE with KEEP_SIZE,
 * FALLOC_FL_ZERO_RANGE with or without it, FALLOC_FL_COLLAPSE_RANGE,
 * FALLOC_FL_INSERT_RANGE; else -EOPNOTSUPP. Any byte may be an edge. Plain and
 * ZERO_RANGE make unwritten ranges: zeros that count in st_blocks, to the end of the
 * file and beyond. -ENOSPC when the disk has not got the room now; it is not
 * set aside, so that a later write may still get -ENOSPC. Collapse and insert refuse
 * (-EOPNOTSUPP) when more than some 250,000 extents would move. suid and sgid: the
 * caller's business.
 */
int fs_fallocate(struct fs *fs, uint64_t ino, int mode, uint64_t off, uint64_t len);
/* SEEK_DATA or SEEK_HOLE from off: blocks of FS_BLOCK bytes are data when anything was
 * written to them, and the end is a hole. -ENXIO at and after the end, and when
 * SEEK_DATA has only a hole before it. */
int fs_lseek(struct fs *fs, uint64_t ino, uint64_t off, int whence, uint64_t *out);
/*
 * copy_file_range(2): the copy shares the contents, and holes stay holes. *copied is
 * less than len at the end of the source, and when there are so many extents that one
 * batch will not do: call again for the rest. -EINVAL when the ranges overlap.
 */
int fs_copy_range(struct fs *fs, uint64_t from_ino, uint64_t from, uint64_t to_ino,
                  uint64_t to, uint64_t len, uint64_t *copied);

/* All that returned before is safe from power loss when these return 0. */
int fs_fsync(struct fs *fs, uint64_t ino);
/* The same, without waiting while others sync: r->done is told (lsm_sync_notify). */
void fs_fsync_notify(struct fs *fs, uint64_t ino, struct lsm_sync_request *r);
int fs_sync(struct fs *fs);
/* Who asked for what was done before may be told (fs_options.told_later), or -errno. */
int fs_settle(struct fs *fs);

/*
 * Without a limit, blocks are what the disk has, blocks less blocks_free what the store
 * takes of it (so that others' data count as free, but not as available, as in df), and
 * blocks_avail what the disk has left. With one, blocks are the limit, and less
 * blocks_free what is used; blocks_avail is no more than the disk has left. In a tree
 * with quotas, and in its directory, likewise: the one of them, or the limit, that has
 * the least left is shown; of bytes and inodes each for itself.
 */
struct fs_statfs {
    uint64_t block_bytes;
    uint64_t blocks, blocks_free, blocks_avail;
    uint64_t files, files_free;
};
int fs_statfs(struct fs *fs, uint64_t ino, struct fs_statfs *out);

/* How an inode is kept. Of a file, ranges of the first `segments_told` segments that hold
 * bytes of it are told. */
enum { FS_INFO_SEGMENTS = 16 };
struct fs_info {
    uint64_t ino;
    mode_t mode;
    bool embedded; /* its record is in its entry; else it has a key of its own */
    bool xattrs;   /* it has extended attributes */
    const char
        *compression; /* what is set for it, as FS_COMPRESSION_NAME; NULL: nothing */
    uint64_t entries, subdirs; /* of a directory */
    /* The rest of a file. */
    uint64_t size, extents, bytes, unwritten;
    uint64_t inline_extents, inline_bytes; /* among names and attributes, in tables */
    /* In the value log: the contents' bytes there, and what the records they are in
     * take; those of copies that share a record count for each. */
    uint64_t separated_bytes, stored_bytes, raw_bytes;
    uint64_t segment[FS_INFO_SEGMENTS];
    unsigned segments_told;
    uint64_t segments_more; /* extents in others */
};
/* Reads where the contents are, not the contents. */
int fs_info(struct fs *fs, uint64_t ino, struct fs_info *out);

/* What is in a directory, without itself, and in all that is below it. */
struct fs_du {
    uint64_t inodes; /* a file with several names once */
    uint64_t dirs;   /* of them */
    uint64_t size;   /* of files, holes included */
    uint64_t bytes;  /* as `du` counts: contents, unwritten ranges, targets of links */
    uint64_t stored_bytes; /* the contents: in the value log, what they take there; in
                              tables, where they are compressed with what is beside them,
                              as they are. What copies share counts for each. */
};
/*
 * Tell fn of each directory in ino, and ino in the end, after all that is in it; path is
 * relative to it: "", "/a", "/a/b", escaped as in fs_quota_list. Of what is no
 * directory, of that. As of one moment; reads no contents. What fn returns other than 0
 * ends it.
 */
typedef int fs_du_fn(void *arg, const char *path, const struct fs_du *sum);
int fs_du(struct fs *fs, uint64_t ino, fs_du_fn *fn, void *arg);

struct fs_stats {
    uint64_t inodes;          /* in the filesystem */
    uint64_t live_inodes;     /* in memory */
    uint64_t orphans_removed; /* at this mount */
    struct fs_limits limits;
    uint64_t used_bytes; /* of the limits; 0 when there are none */
};
void fs_get_stats(struct fs *fs, struct fs_stats *out);

/* ---- check and repair ---- */

/*
 * Read the whole tree and tell each inconsistency to `report` (which may be NULL), a
 * line each, as the count in *problems; lines that begin with "remark: " are no
 * problems. Needs a filesystem nobody changes meanwhile. Returns an error only when
 * the check could not be finished; as fs_mount, and -EUCLEAN: a block is damaged.
 */
typedef void fs_report_fn(void *arg, const char *line);
int fs_check(struct lsm *db, fs_report_fn *report, void *arg, uint64_t *problems);
/* Reads the contents of all files, too, and tells those that are damaged. */
int fs_check_contents(struct lsm *db, fs_report_fn *report, void *arg,
                      uint64_t *problems);

struct fs_repair_options {
    uid_t uid; /* owner of the root when that has to be made anew; else what is made */
    gid_t gid; /* belongs to the root's owner */
    bool contents; /* report unreadable ones, as fs_check_contents; they stay so */
};

struct fs_repair_result {
    uint64_t problems; /* all that were found */
    uint64_t left;     /* of them those that are still there */
};

/*
 * fs_check, and mend what it finds; each line says what was done. Inodes that nobody
 * names go to /lost+found (made when needed, 0700) as "#" and their number, directories
 * with all that is below them; what makes no sense is removed. Mending one thing
 * may show another: goes on until nothing is found. May be cut off anywhere, and then
 * done again; nothing that is sound is lost meanwhile. Durable when it returns 0.
 * fs_mount must not have db.
 */
int fs_repair(struct lsm *db, const struct fs_repair_options *o, fs_report_fn *report,
              void *arg, struct fs_repair_result *out);

enum fs_diff_kind {
    FS_DIFF_ADDED,
    FS_DIFF_REMOVED,
    FS_DIFF_CHANGED, /* contents or attributes; of a directory also: what it holds */
    FS_DIFF_RENAMED, /* which may have changed, too */
};
/* path: in `new`, of what was removed in `old`; old_path of what was renamed. Control
 * characters and backslashes as \ooo. Its first non-zero result ends it and is returned.
 */
typedef int fs_diff_fn(void *arg, enum fs_diff_kind kind, const char *path,
                       const char *old_path);
/*
 * What is different in the filesystem in `new`, of which that in `old` is a snapshot, or
 * the other way round. Reads names and attributes, no contents; a time of access is no
 * difference. Nobody changes either meanwhile. -E2BIG: more than 4 million came or went.
 */
int fs_diff(struct lsm *old, struct lsm *new, fs_diff_fn *fn, void *arg);

struct fs_scrub_options {
    fs_report_fn *report;
    lsm_progress_fn *progress; /* NULL, or see struct lsm_verify_options */
    void *arg;                 /* of both */
    uint64_t bytes_per_s;      /* 0: as fast as it goes */
    uint64_t after;            /* 0, or a position from `progress` to go on from */
};

/*
 * Have the engine read and check every byte, of a store at rest or of one that is mounted
 * and in use. Tells what is damaged, a line each, the path first:
 *
 *     /a/b: bytes 4096-8191 cannot be read (000012.vlog at 16384)
 *
 * *problems is the number of damaged places. Lines are told in the end: the names are
 * found by a scan of all entries (paths.h). 0 when all was looked at, damaged or not;
 * else what ended it, which may be what `progress` returned: what was found until then
 * is told all the same.
 */
int fs_scrub(struct lsm *db, const struct fs_scrub_options *o, uint64_t *problems);

#endif
