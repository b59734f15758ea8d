/*
 * ops_xattr.c - extended attributes, POSIX ACLs among them. See ops.h.
 *
 * The kernel has checked names, sizes and rights; it checks permissions by the
 * ACLs it gets here, and remembers them, also that there is none.
 */
#include "ops_impl.h"

/*
 * With noxattr, ENOSYS: the kernel never asks again, not even for
 * security.capability, which it otherwise wants before the first write to a file.
 */
static int refused(fuse_req_t req, fuse_ino_t ino, int control_err)
{
    if (ops_of(req)->options->noxattr)
        return -ENOSYS;
    return control_owns(ino) ? control_err : 0;
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct ops *o = ops_of(req);
    int err = refused(req, ino, 0);
    void *buf = NULL;
    size_t len;

    if (!err && size) {
        size = size < FS_XATTR_SIZE_MAX ? size : FS_XATTR_SIZE_MAX;
        buf = scratch(size);
        err = buf ? 0 : -ENOMEM;
    }
    if (!err)
        err = control_owns(ino) ? control_getxattr(o, ino, name, buf, size, &len)
                                : fs_getxattr(o->fs, ino, name, buf, size, &len);
    if (err)
        reply_err(req, err);
    else if (size)
        fuse_reply_buf(req, buf, len);
    else
        fuse_reply_xattr(req, len);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct ops *o = ops_of(req);
    int err = refused(req, ino, 0);
    struct caller c;
    char *buf = NULL;
    size_t len = 0;

    caller_init(&c, req);
    if (!err && size) {
        size = size < FS_XATTR_LIST_MAX ? size : FS_XATTR_LIST_MAX;
        buf = scratch(size);
        err = buf ? 0 : -ENOMEM;
    }
    if (!err)
        err = control_owns(ino) ? control_listxattr(o, &c.cred, ino, buf, size, &len)
                                : fs_listxattr(o->fs, &c.cred, ino, buf, size, &len);
    if (err)
        reply_err(req, err);
    else if (size)
        fuse_reply_buf(req, buf, len);
    else
        fuse_reply_xattr(req, len);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                 size_t size, int flags)
{
    int err = refused(req, ino, -EPERM);
    struct caller c;

    caller_init(&c, req);
    if (!err)
        err = fs_setxattr(ops_of(req)->fs, &c.cred, ino, name, slice_of(value, size),
                          flags);
    reply_err(req, err);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    int err = refused(req, ino, -EPERM);

    if (!err)
        err = fs_removexattr(ops_of(req)->fs, ino, name);
    reply_err(req, err);
}
