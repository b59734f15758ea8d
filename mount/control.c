/*
 * control.c - see control.h.
 */
#include "control.h"

#include <fcntl.h>
#include <stdlib.h>

#include "browse.h"
#include "orders.h"
#include "report.h"

#define DIR_INO       (1ull << 63)
#define SNAPSHOTS_INO (DIR_INO + 1)
#define FILE_INO(i)   (DIR_INO + 2 + (i))

struct control_file {
    const char *name;
    report_fn *write; /* NULL: it takes orders */
};

static const struct control_file files[] = {
    {"stats", report_text},
    {"stats.json", report_json},
    {"stats.prom", report_prometheus},
    {ORDERS_NAME, NULL},
};

enum { FILES = sizeof(files) / sizeof(files[0]) };

/* What a handle of an open file holds. */
struct content {
    char *text;
    size_t len;
    struct order *order; /* instead */
};

/* ---- names and attributes ---- */

static bool is_dir(fuse_ino_t ino)
{
    return ino == DIR_INO || ino == SNAPSHOTS_INO;
}

int control_getattr(const struct ops *o, fuse_ino_t ino, struct fs_attr *out)
{
    bool dir = is_dir(ino);

    if (browse_owns(ino))
        return browse_getattr(o->browse, ino, out);
    if (ino > FILE_INO(FILES - 1))
        return -ENOENT;
    memset(out, 0, sizeof(*out));
    out->st.st_ino = ino;
    out->st.st_mode = dir ? S_IFDIR | 0500 : S_IFREG | 0400;
    if (!dir && !files[ino - FILE_INO(0)].write)
        out->st.st_mode = S_IFREG | 0600;
    out->st.st_nlink = dir ? 2 : 1;
    out->st.st_uid = o->uid;
    out->st.st_gid = o->gid;
    out->st.st_blksize = 4096;
    out->st.st_atim = out->st.st_mtim = out->st.st_ctim = out->btime = o->mounted;
    return 0;
}

int control_lookup(const struct ops *o, fuse_ino_t parent, const char *name,
                   struct fs_attr *out)
{
    if (browse_owns(parent))
        return browse_lookup(o->browse, parent, name, out);
    if (parent == FS_ROOT || strcmp(name, ".") == 0)
        return control_getattr(o, parent == FS_ROOT ? DIR_INO : parent, out);
    if (!is_dir(parent))
        return -ENOTDIR;
    if (strcmp(name, "..") == 0)
        return parent == DIR_INO ? fs_lookup(o->fs, FS_ROOT, ".", out)
                                 : control_getattr(o, DIR_INO, out);
    if (parent == SNAPSHOTS_INO)
        return o->browse ? browse_root(o->browse, name, out) : -ENOENT;
    if (strcmp(name, BROWSE_NAME) == 0)
        return control_getattr(o, SNAPSHOTS_INO, out);
    for (unsigned i = 0; i < FILES; i++) {
        if (strcmp(name, files[i].name) == 0)
            return control_getattr(o, FILE_INO(i), out);
    }
    return -ENOENT;
}

int control_browse(struct ops *o)
{
    return browse_new(o, SNAPSHOTS_INO, &o->browse);
}

void control_forget(const struct ops *o, fuse_ino_t ino, uint64_t lookups)
{
    if (browse_owns(ino))
        browse_forget(o->browse, ino, lookups);
}

static const char *entry(const struct ops *o, fuse_ino_t dir, uint64_t place,
                         struct fs_attr *attr)
{
    switch (place) {
    case 0:
        control_getattr(o, dir, attr);
        return ".";
    case 1:
        control_getattr(o, DIR_INO, attr);
        if (dir == DIR_INO)
            attr->st.st_ino = FS_ROOT;
        return "..";
    case 2:
        control_getattr(o, SNAPSHOTS_INO, attr);
        return BROWSE_NAME;
    default:
        control_getattr(o, FILE_INO(place - 3), attr);
        return files[place - 3].name;
    }
}

/* The cookie after an entry is its place, from 1: the list never changes. */
int control_readdir(const struct ops *o, fuse_ino_t ino, uint64_t cookie, bool plus,
                    fs_dirent_fn *fn, void *arg)
{
    uint64_t entries = ino == DIR_INO ? 2 + 1 + FILES : 2;
    struct fs_attr attr;

    if (browse_owns(ino))
        return browse_readdir(o->browse, ino, cookie, plus, fn, arg);
    if (!is_dir(ino))
        return -ENOTDIR;
    for (; cookie < entries; cookie++) {
        const char *name = entry(o, ino, cookie, &attr);

        if (fn(arg, name, &attr, cookie + 1) == FS_FULL)
            return 0;
    }
    return ino == SNAPSHOTS_INO && o->browse ? browse_names(o->browse, cookie, fn, arg)
                                             : 0;
}

int control_readlink(const struct ops *o, fuse_ino_t ino, char *to)
{
    return browse_owns(ino) ? browse_readlink(o->browse, ino, to) : -EINVAL;
}

int control_getxattr(const struct ops *o, fuse_ino_t ino, const char *name, void *to,
                     size_t size, size_t *len)
{
    return browse_owns(ino) ? browse_getxattr(o->browse, ino, name, to, size, len)
                            : -ENODATA;
}

int control_listxattr(const struct ops *o, const struct fs_cred *c, fuse_ino_t ino,
                      char *to, size_t size, size_t *len)
{
    *len = 0;
    return browse_owns(ino) ? browse_listxattr(o->browse, c, ino, to, size, len) : 0;
}

/* ---- contents ---- */

static int write_content(const struct ops *o, const struct control_file *file,
                         struct content *c)
{
    struct lsm *db = fs_store(o->fs);
    struct lsm_stats lsm;
    struct fs_stats fs;
    struct report report = {.store = lsm_path(db), .fs = &fs, .lsm = &lsm};
    FILE *out = open_memstream(&c->text, &c->len);

    if (!out)
        return -ENOMEM;
    fs_get_stats(o->fs, &fs);
    lsm_get_stats(db, &lsm);
    file->write(out, &report);
    return fclose(out) == 0 ? 0 : -ENOMEM;
}

/* The kernel has checked the mode; orders are worth a second look. */
static int open_orders(struct ops *o, uid_t uid, const struct fuse_file_info *fi,
                       struct content *c)
{
    if (!order_allowed(o, uid) || (fi->flags & O_ACCMODE) != O_RDWR)
        return -EACCES;
    return order_new(o, &c->order);
}

int control_open(struct ops *o, uid_t uid, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct control_file *file;
    struct content *c;
    int err;

    if (browse_owns(ino))
        return browse_open(o->browse, ino, fi);
    if (is_dir(ino) || ino > FILE_INO(FILES - 1))
        return is_dir(ino) ? -EISDIR : -ENOENT;
    file = &files[ino - FILE_INO(0)];
    if (file->write && (fi->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    err = file->write ? write_content(o, file, c) : open_orders(o, uid, fi, c);
    if (err) {
        free(c->text);
        free(c);
        return err;
    }
    fi->fh = (uintptr_t)c;
    fi->direct_io = 1; /* the size in its attributes is 0: read on to the end */
    fi->nonseekable = file->write == NULL;
    return 0;
}

int control_read(const struct ops *o, fuse_ino_t ino, const struct fuse_file_info *fi,
                 uint64_t off, size_t len, void *to, size_t *got)
{
    const struct content *c = (const struct content *)(uintptr_t)fi->fh;

    if (browse_owns(ino))
        return browse_read(o->browse, ino, off, len, to, got);
    if (c->order)
        return order_read(c->order, to, len, got);
    *got = off >= c->len ? 0 : len < c->len - off ? len : c->len - off;
    if (*got)
        memcpy(to, c->text + off, *got);
    return 0;
}

int control_lseek(const struct ops *o, fuse_ino_t ino, uint64_t off, int whence,
                  uint64_t *out)
{
    return browse_owns(ino) ? browse_lseek(o->browse, ino, off, whence, out) : -EINVAL;
}

/* What can be open for writing is a control file. */
int control_write(const struct fuse_file_info *fi, struct slice data)
{
    const struct content *c = (const struct content *)(uintptr_t)fi->fh;

    return c->order ? order_give(c->order, data) : -EACCES;
}

int control_release(const struct ops *o, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct content *c = (struct content *)(uintptr_t)fi->fh;

    if (browse_owns(ino))
        return browse_release(o->browse, ino);
    if (c->order)
        order_free(c->order);
    free(c->text);
    free(c);
    return 0;
}
