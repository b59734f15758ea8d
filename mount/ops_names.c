/*
 * ops_names.c - operations on names: lookup, create, link, unlink, rename,
 * list. See ops.h.
 */
#include "ops_impl.h"

#include <stdlib.h>

#include "evict.h"
#include "plus.h"
#include "wire.h"

enum { REST_S = 2 }; /* without a change, until listings of a directory are cached */

/* The name of the control directory is not to be had for anything else. */
static bool is_control_name(fuse_ino_t parent, const char *name)
{
    return parent == FS_ROOT && strcmp(name, CONTROL_NAME) == 0;
}

static bool is_control(fuse_ino_t parent, const char *name)
{
    return control_owns(parent) || is_control_name(parent, name);
}

/* ---- lookup and forget ---- */

/* Of names in one of some directories; see plus.h. */
static _Atomic uint32_t *lookups_in(struct ops *o, fuse_ino_t dir)
{
    return &o->lookups[dir % OPS_LOOKUPS];
}

static void reply_negative(fuse_req_t req)
{
    struct fuse_entry_param e = {.entry_timeout = ops_of(req)->options->negative_timeout};

    if (e.entry_timeout > 0)
        fuse_reply_entry(req, &e);
    else
        reply_err(req, -ENOENT);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct ops *o = ops_of(req);
    struct fs_attr attr;
    int err;

    atomic_fetch_add_explicit(lookups_in(o, parent), 1, memory_order_relaxed);
    if (is_control(parent, name))
        err = control_lookup(o, parent, name, &attr);
    else
        err = fs_lookup(o->fs, parent, name, &attr);
    reply_uncounted(o, err, &attr);
    if (err == -ENOENT && !control_owns(parent))
        reply_negative(req);
    else
        reply_entry(req, err, &attr);
}

static void forget(struct ops *o, fuse_ino_t ino, uint64_t lookups)
{
    if (control_owns(ino))
        control_forget(o, ino, lookups);
    else
        fs_forget(o->fs, ino, lookups);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
    forget(ops_of(req), ino, lookups);
    fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct ops *o = ops_of(req);

    for (size_t i = 0; i < count; i++)
        forget(o, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

/* ---- new names ---- */

/* What was made is stored before anybody is told; else the kernel hears of no entry that
 * it would have to forget. */
static int settle_entry(struct fs *fs, int err, const struct fs_attr *attr)
{
    if (err)
        return err;
    err = fs_settle(fs);
    if (err)
        fs_forget(fs, attr->st.st_ino, 1);
    return err;
}

/* What a new name at the control directory's gets; 0: it is not there. */
static int refuse_new(fuse_ino_t parent, const char *name)
{
    if (control_owns(parent))
        return -EPERM;
    return is_control_name(parent, name) ? -EEXIST : 0;
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    int err = refuse_new(parent, name);
    struct fs_attr attr;
    struct caller c;

    caller_init(&c, req);
    if (!err) {
        err = fs_mknod(ops_of(req)->fs, &c.cred, parent, name, mode, dev, &attr);
        err = settle_entry(ops_of(req)->fs, err, &attr);
    }
    reply_entry(req, err, &attr);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    int err = refuse_new(parent, name);
    struct fs_attr attr;
    struct caller c;

    caller_init(&c, req);
    if (!err) {
        err = fs_mkdir(ops_of(req)->fs, &c.cred, parent, name, mode, &attr);
        err = settle_entry(ops_of(req)->fs, err, &attr);
    }
    reply_entry(req, err, &attr);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    int err = refuse_new(parent, name);
    struct fs_attr attr;
    struct caller c;

    caller_init(&c, req);
    if (!err) {
        err = fs_symlink(ops_of(req)->fs, &c.cred, parent, name, target, &attr);
        err = settle_entry(ops_of(req)->fs, err, &attr);
    }
    reply_entry(req, err, &attr);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    int err = control_owns(ino) ? -EPERM : refuse_new(parent, name);
    struct fs_attr attr;

    if (!err)
        err = fs_link(ops_of(req)->fs, ino, parent, name, &attr);
    reply_entry(req, err, &attr);
}

static int create(struct ops *o, const struct caller *c, fuse_ino_t parent,
                  const char *name, mode_t mode, struct fuse_file_info *fi,
                  struct fs_attr *attr)
{
    int err;

    if (control_owns(parent))
        return control_create(o, c->cred.uid, parent, name, fi, attr);
    err = refuse_new(parent, name);
    if (err)
        return err;
    fi->keep_cache = 1;
    if (wire_is_tmpfile(name))
        err = fs_tmpfile(o->fs, &c->cred, parent, mode, attr);
    else
        err = fs_mknod(o->fs, &c->cred, parent, name, S_IFREG | (mode & 07777), 0, attr);
    return settle_entry(o->fs, err, attr);
}

/* Also opens, for the kernel: of that we know nothing (ops.c). */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    struct ops *o = ops_of(req);
    struct fuse_entry_param e;
    struct fs_attr attr;
    struct caller c;
    int err;

    caller_init(&c, req);
    err = create(o, &c, parent, name, mode, fi, &attr);
    if (err) {
        reply_err(req, err);
        return;
    }
    entry_fill(o, &attr, &e);
    if (fuse_reply_create(req, &e, fi) < 0)
        forget(o, e.ino, 1); /* nobody took it */
}

/* ---- old names ---- */

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    int err = is_control(parent, name) ? -EPERM : 0;

    if (!err)
        err = fs_unlink(ops_of(req)->fs, parent, name);
    evict_noted(ops_of(req)->evict);
    reply_err(req, err);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    int err = is_control(parent, name) ? -EPERM : 0;

    reply_err(req, err ? err : fs_rmdir(ops_of(req)->fs, parent, name));
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
               const char *new_name, unsigned flags)
{
    int err = is_control(parent, name) || is_control(new_parent, new_name) ? -EPERM : 0;
    struct caller c;

    caller_init(&c, req);
    if (!err)
        err = fs_rename(ops_of(req)->fs, &c.cred, parent, name, new_parent, new_name,
                        flags);
    evict_noted(ops_of(req)->evict);
    reply_err(req, err);
}

/* ---- lists ---- */

struct listing {
    fuse_req_t req;
    const struct ops *ops;
    char *buf;
    size_t size, used;
    struct plus *plus; /* NULL: READDIR, whose entries have no room for attributes */
    bool attrs;
};

static bool is_dot(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Is it to come with attributes? Where only names are told there are no links; and see
 * reply_uncounted. */
static bool has_attrs(const struct listing *l, const struct fs_attr *attr)
{
    return l->attrs && attr->st.st_nlink && !attr->lost_name;
}

/* Without attributes the entry's node is 0. */
static size_t add_plus(struct listing *l, const char *name, const struct fs_attr *attr,
                       uint64_t next)
{
    struct fuse_entry_param e = {.attr = attr->st};

    if (has_attrs(l, attr))
        entry_fill(l->ops, attr, &e);
    return fuse_add_direntry_plus(l->req, l->buf + l->used, l->size - l->used, name, &e,
                                  (off_t)next);
}

/* Only what fits is taken, and only what is taken counts as looked up. */
static enum fs_taken add_entry(void *arg, const char *name, const struct fs_attr *attr,
                               uint64_t next)
{
    struct listing *l = arg;
    size_t room = l->size - l->used, need;

    if (l->plus)
        need = add_plus(l, name, attr, next);
    else
        need = fuse_add_direntry(l->req, l->buf + l->used, room, name, &attr->st,
                                 (off_t)next);
    if (need > room)
        return FS_FULL;
    l->used += need;
    if (!has_attrs(l, attr) || is_dot(name))
        return FS_TAKEN;
    plus_give(l->plus);
    return FS_TAKEN_LOOKUP;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                 struct plus *plus)
{
    struct ops *o = ops_of(req);
    struct listing l = {.req = req, .ops = o, .size = size, .plus = plus};
    int err;

    l.attrs = plus && plus_begin(plus, atomic_load(lookups_in(o, ino)), cookie == 0);
    l.buf = scratch(size);
    if (!l.buf)
        err = -ENOMEM;
    else if (control_owns(ino))
        err = control_readdir(o, ino, (uint64_t)cookie, l.attrs, add_entry, &l);
    else
        err = fs_readdir(o->fs, ino, (uint64_t)cookie, l.attrs, add_entry, &l);
    /* What was taken must reach the kernel, which will forget it some day; an
     * error comes up again where the next request begins. */
    if (err && !l.used)
        reply_err(req, err);
    else
        fuse_reply_buf(req, l.buf, l.used);
}

/*
 * The kernel may cache a listing, until a name in the directory changes, if the directory
 * rested for a while. Not of one in which names come and go: when a listing is filled in
 * by one process while another changes the directory and a third begins to list it, the
 * kernel (6.18) takes what it got before the change for the state after it, and who
 * unlinked a name finds it listed. So OPENDIR is not answered ENOSYS either, for then the
 * kernel caches all.
 */
static bool is_at_rest(struct ops *o, fuse_ino_t ino)
{
    struct fs_attr attr;
    struct timespec now;

    if (control_owns(ino) || fs_getattr(o->fs, ino, &attr))
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec - attr.st.st_ctim.tv_sec > REST_S;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct plus *plus = calloc(1, sizeof(*plus));
    struct ops *o = ops_of(req);

    if (!plus) {
        reply_err(req, -ENOMEM);
        return;
    }
    fi->fh = (uintptr_t)plus;
    fi->keep_cache = 1; /* or it forgets what it has at every opening */
    fi->cache_readdir = kernel_may_answer(o) && is_at_rest(o, ino);
    if (fuse_reply_open(req, fi) < 0)
        free(plus);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    free((struct plus *)(uintptr_t)fi->fh);
    reply_err(req, 0);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                struct fuse_file_info *fi)
{
    list(req, ino, size, cookie, NULL);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                    struct fuse_file_info *fi)
{
    list(req, ino, size, cookie, (struct plus *)(uintptr_t)fi->fh);
}
