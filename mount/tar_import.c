/*
 * tar_import.c - see tar.h: what is in a tar archive, into a filesystem.
 *
 * There is no way out of t->path, whatever an archive says (tar_dirs.h). A directory's
 * times are set in the end, as what is made in it changes them; it is kept in memory
 * until then.
 */
#include "control.h"
#include "tar_dirs.h"
#include "tar_impl.h"

#ifdef HAVE_LIBARCHIVE

#include <stdlib.h>
#include <unistd.h>

struct late {
    uint64_t ino;
    unsigned set;
    struct stat st;
};

struct import {
    struct tar *t;
    struct why *why;
    struct archive *archive;
    bool begun;          /* there was an entry */
    bool ours;           /* all belongs to who calls */
    struct tar_dirs dir; /* below t->path; of the last name */
    struct late *late;
    size_t n_late, cap_late;
    struct buf bytes;
};

static const struct fs_cred as_root = {0};

/* ---- one entry ---- */

static int archive_why(struct import *im)
{
    const char *text = libarchive.archive_error_string(im->archive);

    return why_set(im->why, -EBADMSG,
                   im->begun ? "the archive is damaged or cut off (%s); what came before "
                               "that is there"
                             : "standard input is no tar archive (%s)",
                   text ? text : "no reason is known");
}

/* What is in the way of something that is not a directory. */
static int make_way(struct import *im, const char *name)
{
    struct fs_attr attr;
    int err = fs_lookup(im->t->fs, im->dir.ino, name, &attr);

    if (err)
        return err == -ENOENT ? 0 : err;
    fs_forget(im->t->fs, attr.st.st_ino, 1);
    return S_ISDIR(attr.st.st_mode) ? -EISDIR : fs_unlink(im->t->fs, im->dir.ino, name);
}

static int make_dir(struct import *im, const char *name, const struct fs_cred *c,
                    mode_t mode, struct fs_attr *attr)
{
    struct fs *fs = im->t->fs;
    int err = fs_lookup(fs, im->dir.ino, name, attr);

    if (!err && S_ISDIR(attr->st.st_mode))
        return 0;
    if (!err) {
        fs_forget(fs, attr->st.st_ino, 1);
        err = fs_unlink(fs, im->dir.ino, name);
    }
    return err && err != -ENOENT ? err : fs_mkdir(fs, c, im->dir.ino, name, mode, attr);
}

static int make(struct import *im, const char *name, struct archive_entry *entry,
                struct fs_attr *attr)
{
    const struct stat *st = libarchive.archive_entry_stat(entry);
    struct fs_cred c = {.uid = im->ours ? geteuid() : st->st_uid,
                        .gid = im->ours ? getegid() : st->st_gid};
    struct fs *fs = im->t->fs;
    const char *target;
    int err;

    if (S_ISDIR(st->st_mode))
        return make_dir(im, name, &c, st->st_mode & 07777, attr);
    err = make_way(im, name);
    if (err)
        return err;
    switch (st->st_mode & S_IFMT) {
    case S_IFLNK:
        target = libarchive.archive_entry_symlink(entry);
        return target ? fs_symlink(fs, &c, im->dir.ino, name, target, attr) : -EINVAL;
    case S_IFREG:
    case S_IFIFO:
    case S_IFCHR:
    case S_IFBLK:
        return fs_mknod(fs, &c, im->dir.ino, name, st->st_mode, st->st_rdev, attr);
    default:
        return -EOPNOTSUPP;
    }
}

static int tell_progress(struct import *im)
{
    struct tar *t = im->t;
    int64_t done = libarchive.archive_filter_bytes(im->archive, -1);

    return t->progress ? t->progress(t->arg, done > 0 ? (uint64_t)done : 0, t->total, 0)
                       : 0;
}

static int write_block(struct import *im, uint64_t ino, struct slice block, uint64_t off)
{
    int err = 0;

    while (!err && block.len) {
        size_t n = block.len < TAR_BLOCK ? block.len : TAR_BLOCK;

        err = fs_write(im->t->fs, ino, off, slice_of(block.data, n), false);
        off += n;
        block = slice_of(block.data + n, block.len - n);
        im->t->bytes += n;
    }
    return err ? err : tell_progress(im);
}

/* *end: how far data went. */
static int take_contents(struct import *im, uint64_t ino, uint64_t *end)
{
    const void *block;
    int64_t off;
    size_t len;
    int said, err = 0;

    *end = 0;
    while (!err) {
        said = libarchive.archive_read_data_block(im->archive, &block, &len, &off);
        if (said == ARCHIVE_EOF)
            return 0;
        if (said < ARCHIVE_WARN)
            return archive_why(im);
        if (off < 0)
            return -EFBIG;
        err = write_block(im, ino, slice_of(block, len), (uint64_t)off);
        if (!err && len)
            *end = (uint64_t)off + len;
    }
    return err;
}

static int drop_inherited(struct import *im, uint64_t ino, bool is_dir)
{
    int err = fs_removexattr(im->t->fs, ino, TAR_ACL_ACCESS);

    if ((!err || err == -ENODATA) && is_dir)
        err = fs_removexattr(im->t->fs, ino, TAR_ACL_DEFAULT);
    return err == -ENODATA ? 0 : err;
}

static void take_acl(struct import *im, const char *path, uint64_t ino,
                     struct archive_entry *entry, int type, const char *name)
{
    int err = tar_take_acl(entry, type, &im->bytes);

    if (!err && im->bytes.len)
        err = fs_setxattr(im->t->fs, &as_root, ino, name, buf_slice(&im->bytes), 0);
    if (err)
        tar_problem(im->t, path, "its ACL %s: %s",
                    err == -EINVAL ? "makes no sense here, or names a user or group that "
                                     "is not known here"
                                   : "was not set",
                    strerror(-err));
    if (im->bytes.len && type == ARCHIVE_ENTRY_ACL_TYPE_DEFAULT)
        tar_dirs_forget(&im->dir); /* it may be this one, and knew of no ACL */
}

/* only: the one of that name; whether it is one that can be is told when all are set. */
static void take_xattrs(struct import *im, const char *path, uint64_t ino,
                        struct archive_entry *entry, const char *only)
{
    const char *name;
    const void *value;
    size_t len;
    int n = libarchive.archive_entry_xattr_reset(entry), err;

    while (n-- > 0 && libarchive.archive_entry_xattr_next(entry, &name, &value, &len) ==
                          ARCHIVE_OK) {
        if (!name || strncmp(name, "system.posix_acl_", 17) == 0 ||
            (only && strcmp(name, only) != 0))
            continue; /* ACLs come as such */
        err = fs_setxattr(im->t->fs, &as_root, ino, name, slice_of(value, len), 0);
        if (err && !only)
            tar_problem(im->t, path, "attribute %s was not set: %s", name,
                        strerror(-err));
    }
}

static void take_attributes(struct import *im, const char *path, uint64_t ino,
                            struct archive_entry *entry)
{
    take_xattrs(im, path, ino, entry, NULL);
    take_acl(im, path, ino, entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, TAR_ACL_ACCESS);
    if (libarchive.archive_entry_filetype(entry) == AE_IFDIR)
        take_acl(im, path, ino, entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, TAR_ACL_DEFAULT);
}

static int remember(struct import *im, uint64_t ino, unsigned set, const struct stat *st)
{
    if (im->n_late == im->cap_late) {
        size_t cap = im->cap_late ? 2 * im->cap_late : 64;
        void *p = realloc(im->late, cap * sizeof(*im->late));

        if (!p)
            return -ENOMEM;
        im->late = p;
        im->cap_late = cap;
    }
    im->late[im->n_late++] = (struct late){.ino = ino, .set = set, .st = *st};
    return 0;
}

/* Owner, mode and times, then attributes, some of which a new owner would take away.
 * Gives up one reference of ino. */
static int take_rest(struct import *im, const char *path, uint64_t ino,
                     struct archive_entry *entry, uint64_t written)
{
    struct stat st = *libarchive.archive_entry_stat(entry);
    unsigned set = im->ours ? 0 : FS_SET_UID | FS_SET_GID, times = 0;
    struct fs_attr attr;
    int err = 0;

    if (im->dir.acl && !S_ISLNK(st.st_mode))
        err = drop_inherited(im, ino, S_ISDIR(st.st_mode));
    if (!S_ISLNK(st.st_mode))
        set |= FS_SET_MODE;
    if (libarchive.archive_entry_atime_is_set(entry))
        times |= FS_SET_ATIME;
    if (libarchive.archive_entry_mtime_is_set(entry))
        times |= FS_SET_MTIME;
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > written)
        set |= FS_SET_SIZE;
    if (!S_ISDIR(st.st_mode))
        set |= times;
    if (!err && set)
        err = fs_setattr(im->t->fs, &as_root, ino, set, &st, &attr);
    if (!err)
        take_attributes(im, path, ino, entry);
    if (!err && S_ISDIR(st.st_mode) && times)
        return remember(im, ino, times, &st);
    tar_dirs_leave(&im->dir, ino);
    return err;
}

static int take_link(struct import *im, const char *path, const char *target)
{
    struct fs_attr from, attr;
    const char *last;
    char *clean;
    int err = tar_clean_path(target, &clean);

    if (!err)
        err = tar_dirs_enter(&im->dir, clean, &last, MISSING_REFUSED);
    if (!err)
        err = fs_lookup(im->t->fs, im->dir.ino, last, &from);
    free(clean);
    if (err)
        return err;
    err = tar_dirs_enter(&im->dir, path, &last, MISSING_MADE);
    if (!err && fs_lookup(im->t->fs, im->dir.ino, last, &attr) == 0) {
        fs_forget(im->t->fs, attr.st.st_ino, 1);
        if (attr.st.st_ino == from.st.st_ino) {
            fs_forget(im->t->fs, from.st.st_ino, 1);
            return 0;
        }
        err = make_way(im, last);
    }
    if (!err)
        err = fs_link(im->t->fs, from.st.st_ino, im->dir.ino, last, &attr);
    if (!err)
        fs_forget(im->t->fs, attr.st.st_ino, 1);
    fs_forget(im->t->fs, from.st.st_ino, 1);
    return err;
}

/* A mount would hide what is called as its control directory. */
static int look_at_name(const struct import *im, const char *path)
{
    size_t len = strlen(CONTROL_NAME);
    bool is = strncmp(path, CONTROL_NAME, len) == 0 && (!path[len] || path[len] == '/');

    return is && im->dir.base == FS_ROOT ? -EADDRINUSE : 0;
}

static int look_at_owner(const struct import *im, struct archive_entry *entry)
{
    const struct stat *st = libarchive.archive_entry_stat(entry);

    return !im->ours && (st->st_uid == (uid_t)-1 || st->st_gid == (gid_t)-1) ? -EOVERFLOW
                                                                             : 0;
}

/* Not of a path that is the base itself. */
static int take_named(struct import *im, const char *path, struct archive_entry *entry)
{
    uint64_t written = 0;
    struct fs_attr attr;
    const char *last;
    int err = tar_dirs_enter(&im->dir, path, &last, MISSING_MADE);

    if (!err)
        err = make(im, last, entry, &attr);
    if (err)
        return err;
    if (S_ISREG(attr.st.st_mode)) {
        take_xattrs(im, path, attr.st.st_ino, entry, FS_COMPRESSION_NAME);
        err = take_contents(im, attr.st.st_ino, &written);
    }
    if (!err)
        return take_rest(im, path, attr.st.st_ino, entry, written);
    fs_forget(im->t->fs, attr.st.st_ino, 1);
    if (S_ISREG(attr.st.st_mode))
        (void)fs_unlink(im->t->fs, im->dir.ino, last); /* no half files */
    return err;
}

static bool ends_all(int err)
{
    return err == -ENOSPC || err == -EDQUOT || err == -EIO || err == -EROFS ||
           err == -EUCLEAN || err == -ENOMEM || err == -EBADMSG || err == -ECANCELED;
}

static void tell_problem(struct import *im, const char *path, const char *link, int err)
{
    switch (err) {
    case -EXDEV:
        tar_problem(im->t, path, "left out: it leads out of the tree%s%s",
                    link ? ", to " : "", link ? link : "");
        break;
    case -ELOOP:
        tar_problem(im->t, path,
                    "left out: it leads through a symbolic link, and those "
                    "are not followed");
        break;
    case -EOPNOTSUPP:
        tar_problem(im->t, path, "left out: of no kind that can be kept");
        break;
    case -EOVERFLOW:
        tar_problem(im->t, path, "left out: its owner is a number that no owner has");
        break;
    case -EADDRINUSE:
        tar_problem(im->t, path, "left out: of a mount, " CONTROL_NAME
                                 " is where the daemon is asked");
        break;
    default:
        tar_problem(im->t, path, "left out: %s%s%s", link ? link : "", link ? ": " : "",
                    strerror(-err));
        break;
    }
}

static int take_entry(struct import *im, struct archive_entry *entry)
{
    const char *path = libarchive.archive_entry_pathname(entry);
    const char *link = libarchive.archive_entry_hardlink(entry);
    char *clean = NULL;
    int err = path ? tar_clean_path(path, &clean) : -EILSEQ;

    if (!err)
        err = look_at_name(im, clean);
    if (!err && !link)
        err = look_at_owner(im, entry);
    if (!err && *clean)
        err = link ? take_link(im, clean, link) : take_named(im, clean, entry);
    else if (!err && libarchive.archive_entry_filetype(entry) == AE_IFDIR)
        err = take_rest(im, ".", im->dir.base, entry, 0);
    else if (!err)
        err = -EISDIR;
    free(clean);
    if (!err)
        im->t->files++;
    else if (!ends_all(err))
        tell_problem(im, path ? path : "?", link, err);
    return ends_all(err) ? err : tell_progress(im);
}

/* ---- the archive ---- */

/* After its last entry there is a block of zeros, unless it was cut off; what follows is
 * read, so that who writes it is not stopped. */
static int at_end(struct import *im)
{
    int64_t taken = libarchive.archive_filter_bytes(im->archive, 0);
    char rest[4096];

    if (taken <= libarchive.archive_read_header_position(im->archive))
        return why_set(im->why, -EBADMSG,
                       "the archive has no end: it may have been cut off; what came is "
                       "there");
    while (read(im->t->fd, rest, sizeof(rest)) > 0)
        ;
    return 0;
}

static int take_all(struct import *im)
{
    struct archive_entry *entry;
    int said, err = 0;

    while (!err) {
        said = libarchive.archive_read_next_header(im->archive, &entry);
        if (said == ARCHIVE_EOF)
            return at_end(im);
        if (said < ARCHIVE_WARN || said == ARCHIVE_RETRY) /* what follows may be contents */
            return archive_why(im);
        im->begun = true;
        err = take_entry(im, entry);
    }
    return err;
}

static int set_late_times(struct import *im)
{
    struct fs_attr attr;
    int err = 0, one;
    size_t i;

    for (i = 0; i < im->n_late; i++) {
        one = fs_setattr(im->t->fs, &as_root, im->late[i].ino, im->late[i].set,
                         &im->late[i].st, &attr);
        err = err ? err : one;
        tar_dirs_leave(&im->dir, im->late[i].ino);
    }
    return err;
}

static int open_archive(struct import *im)
{
    struct archive *a = im->archive = libarchive.archive_read_new();

    if (!a)
        return -ENOMEM;
    libarchive.archive_read_support_format_tar(a);
    libarchive.archive_read_support_filter_gzip(a);
    libarchive.archive_read_support_filter_bzip2(a);
    libarchive.archive_read_support_filter_xz(a);
    libarchive.archive_read_support_filter_zstd(a);
    libarchive.archive_read_support_filter_lz4(a);
    if (libarchive.archive_read_open_fd(a, im->t->fd, TAR_BLOCK) != ARCHIVE_OK)
        return archive_why(im);
    return 0;
}

/* In words, unless that was done. */
static int say_why(struct import *im, int err)
{
    if (err == -EBADMSG || !ends_all(err))
        return err;
    return why_set(im->why, err, "the import stopped: %s", strerror(-err));
}

int tar_import(struct tar *t, struct why *why)
{
    struct import im = {.t = t, .why = why, .ours = geteuid() != 0};
    int err = tar_dirs_init(&im.dir, t->fs, t->path), err2;

    if (err)
        return why_set(why, err, "%s: %s", t->path,
                       err == -EXDEV ? "give a path without \"..\"" : strerror(-err));
    err = open_archive(&im);
    if (!err)
        err = take_all(&im);
    err2 = set_late_times(&im);
    err = err ? err : err2;
    err2 = fs_sync(t->fs);
    err = say_why(&im, err ? err : err2);
    tar_dirs_release(&im.dir);
    libarchive.archive_read_free(im.archive);
    free(im.late);
    buf_release(&im.bytes);
    return err;
}

#endif
