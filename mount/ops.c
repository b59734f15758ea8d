/*
 * ops.c - see ops.h: the table of operations, what is agreed with the kernel at
 * INIT, and the replies.
 *
 * Left out on purpose, so that the kernel gets ENOSYS once and never asks again:
 * release and flush (closing a file needs nothing from us), access (it checks itself).
 */
#include "ops_impl.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "session.h"
#include "wire.h"

enum {
    MAX_WRITE = 1024 * 1024, /* 256 pages: as many as a request may have */
    MAX_BACKGROUND = 64,     /* the kernel's own 12 and 9 hold back read-ahead */
    CONGESTION = 48,
};

void ops_init(struct ops *o, struct fs *fs, const struct mount_options *options)
{
    o->fs = fs;
    o->options = options;
    o->lsm = options->lsm;
    o->uid = getuid();
    o->gid = getgid();
    clock_gettime(CLOCK_REALTIME, &o->mounted);
}

/* ---- INIT ---- */

static void set_wanted(struct fuse_conn_info *conn, unsigned caps, bool want)
{
    conn->want &= ~caps;
    if (want)
        conn->want |= caps & conn->capable;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct ops *o = userdata;

    conn->max_write = MAX_WRITE;
    conn->max_read = o->options->max_read;
    conn->max_background = MAX_BACKGROUND;
    conn->congestion_threshold = CONGESTION;
    set_wanted(conn, FUSE_CAP_ASYNC_READ | FUSE_CAP_READDIRPLUS | FUSE_CAP_EXPORT_SUPPORT,
               true);
    /* After an asynchronous direct write the kernel (6.18) does not drop the pages that a
     * buffered reader has brought in meanwhile: they would stay old for good. */
    set_wanted(conn, FUSE_CAP_ASYNC_DIO, o->options->async_dio);
    set_wanted(conn, FUSE_CAP_CACHE_SYMLINKS, kernel_may_answer(o));
    set_wanted(conn, FUSE_CAP_READDIRPLUS_AUTO, false); /* plus.h knows better */
    /* The kernel checks ACLs. It must not apply the umask: where a default ACL is
     * inherited it does not count, and only we know where. */
    set_wanted(conn, FUSE_CAP_DONT_MASK, true);
    set_wanted(conn, FUSE_CAP_POSIX_ACL, !o->options->noacl && !o->options->noxattr);
    /* With OPEN not asked for O_TRUNC would be lost: so a SETATTR follows instead. */
    set_wanted(conn, FUSE_CAP_ATOMIC_O_TRUNC, false);
    /* Nobody else changes files: what the kernel has cached stays right. */
    set_wanted(conn, FUSE_CAP_AUTO_INVAL_DATA, false);
    set_wanted(conn, FUSE_CAP_WRITEBACK_CACHE, o->options->writeback);
    set_wanted(conn, FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE,
               false);
    wire_init(conn);
    o->ready = true;
}

const struct fuse_lowlevel_ops ops_table = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .create = op_create,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .fsync = op_fsync,
    .fsyncdir = op_fsync,
    .opendir = op_opendir,
    .releasedir = op_releasedir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .statfs = op_statfs,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
    .copy_file_range = op_copy_file_range,
    .setxattr = op_setxattr,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .removexattr = op_removexattr,
};

/* ---- who asks ---- */

static bool in_group(const struct fs_cred *cred, gid_t gid)
{
    const struct caller *c = (const struct caller *)cred;
    gid_t some[64], *groups = some;
    int count = fuse_req_getgroups(c->req, 64, some), i;
    bool member = false;

    if (count > 64) {
        groups = malloc((size_t)count * sizeof(*groups));
        if (groups) {
            i = fuse_req_getgroups(c->req, count, groups);
            count = i < count ? i : count; /* they may have changed between */
        } else {
            groups = some;
            count = 64;
        }
    }
    for (i = 0; i < count && !member; i++)
        member = groups[i] == gid;
    if (groups != some)
        free(groups);
    return member;
}

_Static_assert(offsetof(struct caller, cred) == 0, "in_group finds the caller by it");

void caller_init(struct caller *c, fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);

    c->cred = (struct fs_cred){
        .uid = ctx->uid,
        .gid = ctx->gid,
        .umask = ctx->umask,
        .pid = ctx->pid,
        .in_group = in_group,
    };
    c->req = req;
}

/* ---- replies ---- */

static __thread int last_error;

int ops_take_error(void)
{
    int error = last_error;

    last_error = 0;
    return error;
}

void reply_err(fuse_req_t req, int err)
{
    last_error = reply_errno(err);
    fuse_reply_err(req, last_error);
}

void reply_uncounted(struct ops *o, int err, const struct fs_attr *attr)
{
    if (err || !attr->lost_name)
        return;
    session_about_to_block(); /* should the kernel just be letting go of the inode */
    /* It fails when the kernel does not know the inode: then it counts nothing. */
    fuse_lowlevel_notify_inval_inode(o->session, attr->st.st_ino, -1, 0);
}

void reply_attr(fuse_req_t req, int err, const struct fs_attr *attr)
{
    if (err)
        reply_err(req, err);
    else
        fuse_reply_attr(req, &attr->st, ops_of(req)->options->attr_timeout);
}

void entry_fill(const struct ops *o, const struct fs_attr *attr,
                struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){
        .ino = attr->st.st_ino,
        .attr = attr->st,
        .attr_timeout = o->options->attr_timeout,
        /* What has no name is not found a second time. */
        .entry_timeout = attr->st.st_nlink ? o->options->entry_timeout : 0,
    };
}

void reply_entry(fuse_req_t req, int err, const struct fs_attr *attr)
{
    struct ops *o = ops_of(req); /* the reply frees req */
    struct fuse_entry_param e;

    if (err) {
        reply_err(req, err);
        return;
    }
    entry_fill(o, attr, &e);
    if (fuse_reply_entry(req, &e) == 0)
        return;
    if (control_owns(e.ino))
        control_forget(o, e.ino, 1);
    else
        fs_forget(o->fs, e.ino, 1);
}

/* ---- memory ---- */

static __thread struct {
    void *mem;
    size_t cap;
} mine;
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    pthread_key_create(&at_thread_end, free);
}

void *scratch(size_t size)
{
    enum { SMALL = 128 << 10, LARGE = 1 << 20 };

    if (mine.cap < size) {
        /* A mapping of its own (heap.h), which grows by being touched. */
        if (size > SMALL)
            size = (size + LARGE - 1) / LARGE * LARGE;
        pthread_once(&once, make_key);
        free(mine.mem);
        mine.cap = 0;
        mine.mem = malloc(size);
        pthread_setspecific(at_thread_end, mine.mem);
        if (mine.mem)
            mine.cap = size;
    }
    return mine.mem;
}
