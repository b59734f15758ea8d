/*
 * control.c - see control.h.
 */
#include "control.h"

#include <fcntl.h>
#include <stdlib.h>

#include "orders.h"
#include "report.h"

#define DIR_INO     (1ull << 63)
#define FILE_INO(i) (DIR_INO + 1 + (i))

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

int control_getattr(const struct ops *o, fuse_ino_t ino, struct fs_attr *out)
{
    bool dir = ino == DIR_INO;

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
    if (parent == FS_ROOT || strcmp(name, ".") == 0)
        return control_getattr(o, parent == FS_ROOT ? DIR_INO : parent, out);
    if (parent != DIR_INO)
        return -ENOTDIR;
    if (strcmp(name, "..") == 0)
        return fs_lookup(o->fs, FS_ROOT, ".", out);
    for (unsigned i = 0; i < FILES; i++) {
        if (strcmp(name, files[i].name) == 0)
            return control_getattr(o, FILE_INO(i), out);
    }
    return -ENOENT;
}

/* The cookie after an entry is its place, from 1: the list never changes. */
int control_readdir(const struct ops *o, fuse_ino_t ino, uint64_t cookie,
                    fs_dirent_fn *fn, void *arg)
{
    struct fs_attr attr;
    const char *name;

    if (ino != DIR_INO)
        return -ENOTDIR;
    for (; cookie < FILES + 2; cookie++) {
        switch (cookie) {
        case 0:
            name = ".";
            control_getattr(o, DIR_INO, &attr);
            break;
        case 1:
            name = "..";
            control_getattr(o, DIR_INO, &attr);
            attr.st.st_ino = FS_ROOT;
            break;
        default:
            name = files[cookie - 2].name;
            control_getattr(o, FILE_INO(cookie - 2), &attr);
        }
        if (fn(arg, name, &attr, cookie + 1) == FS_FULL)
            break;
    }
    return 0;
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

    if (ino == DIR_INO || ino > FILE_INO(FILES - 1))
        return ino == DIR_INO ? -EISDIR : -ENOENT;
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

int control_read(const struct fuse_file_info *fi, uint64_t off, size_t len, void *to,
                 size_t *got)
{
    const struct content *c = (const struct content *)(uintptr_t)fi->fh;

    if (c->order)
        return order_read(c->order, to, len, got);
    *got = off >= c->len ? 0 : len < c->len - off ? len : c->len - off;
    if (*got)
        memcpy(to, c->text + off, *got);
    return 0;
}

int control_write(const struct fuse_file_info *fi, struct slice data)
{
    const struct content *c = (const struct content *)(uintptr_t)fi->fh;

    return c->order ? order_give(c->order, data) : -EACCES;
}

void control_release(struct fuse_file_info *fi)
{
    struct content *c = (struct content *)(uintptr_t)fi->fh;

    if (c->order)
        order_free(c->order);
    free(c->text);
    free(c);
}
