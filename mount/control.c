/*
 * control.c - see control.h.
 *
 * Files are opened without our being asked (ops.c), so nothing can be kept for a handle.
 * Each lookup of a file therefore leads to an inode of its own, with a text of its own,
 * and so does each creation of `command`: with no time to live and no links, so that the
 * kernel forgets it as soon as nobody has it open.
 */
#include "control.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#include "browse.h"
#include "orders.h"
#include "report.h"
#include "settings.h"

#define DIR_INO       (1ull << 63)
#define SNAPSHOTS_INO (DIR_INO + 1)
#define FILE_INO(i)   (DIR_INO + 2 + (i)) /* in listings only */
#define NODE_INO(n)   (DIR_INO + 64 + (n))

static const struct control_file {
    const char *name;
    report_fn *report; /* NULL: the options */
} files[] = {
    {"stats", report_text},
    {"stats.json", report_json},
    {"stats.prom", report_prometheus},
    {"metrics", report_prometheus},
    {"config", NULL},
};

enum { FILES = sizeof(files) / sizeof(files[0]) };

/* A file that the kernel knows. */
struct control_node {
    struct control_node *next;
    fuse_ino_t ino;
    char *text;
    size_t len;
    struct order *order; /* instead */
};

static pthread_mutex_t nodes_mu = PTHREAD_MUTEX_INITIALIZER; /* ops->nodes, next_node */

/* ---- files that the kernel knows ---- */

static struct control_node *node_new(struct ops *o)
{
    struct control_node *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    pthread_mutex_lock(&nodes_mu);
    n->ino = NODE_INO(o->next_node++);
    n->next = o->nodes;
    o->nodes = n;
    pthread_mutex_unlock(&nodes_mu);
    return n;
}

/* It stays as long as the kernel may ask for it. */
static struct control_node *node_find(struct ops *o, fuse_ino_t ino)
{
    struct control_node *n;

    pthread_mutex_lock(&nodes_mu);
    for (n = o->nodes; n && n->ino != ino; n = n->next)
        ;
    pthread_mutex_unlock(&nodes_mu);
    return n;
}

static void node_free(struct ops *o, struct control_node *n)
{
    struct control_node **at;

    pthread_mutex_lock(&nodes_mu);
    for (at = &o->nodes; *at != n; at = &(*at)->next)
        ;
    *at = n->next;
    pthread_mutex_unlock(&nodes_mu);
    if (n->order)
        order_free(n->order);
    free(n->text);
    free(n);
}

int control_report(struct ops *o, report_fn *report, char **text, size_t *len)
{
    struct lsm *db = fs_store(o->fs);
    struct lsm_stats lsm;
    struct fs_stats fs;
    struct report r = {.store = lsm_path(db), .fs = &fs, .lsm = &lsm, .meter = &o->meter};
    FILE *out = open_memstream(text, len);

    if (!out)
        return -ENOMEM;
    fs_get_stats(o->fs, &fs);
    lsm_get_stats(db, &lsm);
    report(out, &r);
    return fclose(out) == 0 ? 0 : -ENOMEM;
}

static int write_config(struct ops *o, char **text, size_t *len)
{
    FILE *out = open_memstream(text, len);
    struct mount_options now = *o->options;

    if (!out)
        return -ENOMEM;
    settings_now(o, &now.lsm);
    mount_options_print(out, &now);
    return fclose(out) == 0 ? 0 : -ENOMEM;
}

static int write_text(struct ops *o, const struct control_file *file,
                      struct control_node *n)
{
    return file->report ? control_report(o, file->report, &n->text, &n->len)
                        : write_config(o, &n->text, &n->len);
}

/* ---- names and attributes ---- */

static bool is_dir(fuse_ino_t ino)
{
    return ino == DIR_INO || ino == SNAPSHOTS_INO;
}

static void fill_attr(const struct ops *o, fuse_ino_t ino, mode_t mode,
                      struct fs_attr *out)
{
    memset(out, 0, sizeof(*out));
    out->st.st_ino = ino;
    out->st.st_mode = mode;
    out->st.st_nlink = S_ISDIR(mode) ? 2 : 0;
    out->st.st_uid = o->uid;
    out->st.st_gid = o->gid;
    out->st.st_blksize = 4096;
    out->st.st_atim = out->st.st_mtim = out->st.st_ctim = out->btime = o->mounted;
}

static void dir_attr(const struct ops *o, fuse_ino_t ino, struct fs_attr *out)
{
    /* In the first, whoever gives an order makes a file. */
    fill_attr(o, ino, S_IFDIR | (ino == DIR_INO ? 0700 : 0500), out);
}

static void node_attr(const struct ops *o, const struct control_node *n,
                      struct fs_attr *out)
{
    fill_attr(o, n->ino, S_IFREG | (n->order ? 0600 : 0400), out);
    out->st.st_size = (off_t)n->len;
}

int control_getattr(struct ops *o, fuse_ino_t ino, struct fs_attr *out)
{
    struct control_node *n;

    if (browse_owns(ino))
        return browse_getattr(o->browse, ino, out);
    if (is_dir(ino)) {
        dir_attr(o, ino, out);
        return 0;
    }
    n = node_find(o, ino);
    if (!n)
        return -ESTALE;
    node_attr(o, n, out);
    return 0;
}

static int lookup_file(struct ops *o, const char *name, struct fs_attr *out)
{
    struct control_node *n;
    unsigned i;
    int err;

    for (i = 0; i < FILES && strcmp(name, files[i].name) != 0; i++)
        ;
    if (i == FILES)
        return -ENOENT;
    n = node_new(o);
    if (!n)
        return -ENOMEM;
    err = write_text(o, &files[i], n);
    if (err)
        node_free(o, n);
    else
        node_attr(o, n, out);
    return err;
}

int control_lookup(struct ops *o, fuse_ino_t parent, const char *name,
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
    return lookup_file(o, name, out);
}

/* Its answers come when they come: not through the kernel's pages. */
int control_create(struct ops *o, uid_t uid, fuse_ino_t parent, const char *name,
                   struct fuse_file_info *fi, struct fs_attr *out)
{
    struct control_node *n;
    int err;

    if (parent != DIR_INO || strcmp(name, ORDERS_NAME) != 0)
        return -EPERM;
    if (!order_allowed(o, uid) || (fi->flags & O_ACCMODE) != O_RDWR)
        return -EACCES;
    n = node_new(o);
    if (!n)
        return -ENOMEM;
    err = order_new(o, &n->order);
    if (err) {
        node_free(o, n);
        return err;
    }
    fi->direct_io = 1;
    fi->nonseekable = 1;
    node_attr(o, n, out);
    return 0;
}

int control_browse(struct ops *o)
{
    return browse_new(o, SNAPSHOTS_INO, &o->browse);
}

void control_forget(struct ops *o, fuse_ino_t ino, uint64_t lookups)
{
    struct control_node *n;

    if (browse_owns(ino)) {
        browse_forget(o->browse, ino, lookups);
    } else if (!is_dir(ino)) {
        n = node_find(o, ino);
        if (n)
            node_free(o, n);
    }
}

void control_end(struct ops *o)
{
    while (o->nodes)
        node_free(o, o->nodes);
    browse_free(o->browse);
}

static const char *entry(const struct ops *o, fuse_ino_t dir, uint64_t place,
                         struct fs_attr *attr)
{
    switch (place) {
    case 0:
        dir_attr(o, dir, attr);
        return ".";
    case 1:
        dir_attr(o, dir == DIR_INO ? FS_ROOT : DIR_INO, attr);
        return "..";
    case 2:
        dir_attr(o, SNAPSHOTS_INO, attr);
        return BROWSE_NAME;
    default:
        /* No links: its name only, as what it leads to is made by a lookup. */
        fill_attr(o, FILE_INO(place - 3), S_IFREG, attr);
        return files[place - 3].name;
    }
}

/* The cookie after an entry is its place, from 1: the list never changes. */
int control_readdir(struct ops *o, fuse_ino_t ino, uint64_t cookie, bool plus,
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

int control_read(struct ops *o, fuse_ino_t ino, uint64_t off, size_t len, void *to,
                 size_t *got)
{
    struct control_node *n;

    if (browse_owns(ino))
        return browse_read(o->browse, ino, off, len, to, got);
    n = node_find(o, ino);
    if (!n)
        return -ESTALE;
    if (n->order)
        return order_read(n->order, to, len, got);
    *got = off >= n->len ? 0 : len < n->len - off ? len : n->len - off;
    if (*got)
        memcpy(to, n->text + off, *got);
    return 0;
}

int control_lseek(const struct ops *o, fuse_ino_t ino, uint64_t off, int whence,
                  uint64_t *out)
{
    return browse_owns(ino) ? browse_lseek(o->browse, ino, off, whence, out) : -EINVAL;
}

int control_refusal(fuse_ino_t ino)
{
    return browse_owns(ino) ? -EROFS : -EPERM;
}

int control_write(struct ops *o, fuse_ino_t ino, struct slice data)
{
    struct control_node *n;

    if (browse_owns(ino))
        return control_refusal(ino);
    n = node_find(o, ino);
    if (!n)
        return -ESTALE;
    return n->order ? order_give(n->order, data) : -EACCES;
}
