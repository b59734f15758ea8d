/*
 * check_xattr.c - the extended attributes of an inode: whether its flags tell of them,
 * and ACLs are in step with its mode.
 */
#include "mend.h"

#include "xattr.h"

static int drop_acl(struct check *c, struct subject *s, struct cursor *at,
                    const char *kind)
{
    struct text t;

    problem(c, "given up; the mode counts", "%s: its %s ACL makes no sense",
            text_inode(c, s->ino, &t), kind);
    return cursor_drop(c, at);
}

/* The mode is what everybody sees, so the list follows it. */
static int mend_acl(struct check *c, struct subject *s, struct cursor *at,
                    struct acl *acl)
{
    struct buf b = {0};
    int rc;

    acl_chmod(acl, s->rec.mode);
    acl_encode(&b, acl);
    rc = buf_error(&b) ? -ENOMEM : mend_put(c, lsm_iter_key(at->it), buf_slice(&b));
    buf_release(&b);
    return rc;
}

/* *gone is set when the list goes. */
static int check_acl(struct check *c, struct subject *s, struct cursor *at, uint32_t flag,
                     bool *gone)
{
    bool access = flag == REC_ACL;
    bool misplaced = access ? S_ISLNK(s->rec.mode) : !record_is_dir(&s->rec);
    struct slice value;
    struct acl acl;
    struct text t;
    int rc = lsm_iter_value(at->it, &value);

    if (rc)
        return rc;
    if (misplaced || acl_decode(value, &acl) || !acl.n) {
        *gone = true;
        return drop_acl(c, s, at, access ? "access" : "default");
    }
    if (!access || acl_mode(&acl, s->rec.mode) == s->rec.mode)
        return 0;
    problem(c, "the list set right", "%s: its ACL says mode %o, not %o",
            text_inode(c, s->ino, &t), acl_mode(&acl, s->rec.mode) & 0777,
            s->rec.mode & 0777);
    return mend_acl(c, s, at, &acl);
}

/* The flags that ask for attributes there are, and for those that went just now. */
struct flags {
    uint32_t there, gone;
};

static int visit_xattr(struct check *c, struct subject *s, struct cursor *at,
                       struct flags *flags)
{
    uint32_t flag = xattr_flag(at->name);
    size_t len = lsm_iter_value_len(at->it);
    bool gone = len > FS_XATTR_SIZE_MAX;
    struct text t, name;
    int rc = 0;

    c->bytes += (uint64_t)usage_of_xattr(at->name.len, len);
    if (gone) {
        problem(c, "given up", "%s: its attribute %s has %zu bytes",
                text_inode(c, s->ino, &t), text_name(at->name, &name), len);
        rc = cursor_drop(c, at);
    } else if (flag == REC_ACL || flag == REC_DEFAULT_ACL) {
        rc = check_acl(c, s, at, flag, &gone);
    }
    *(gone ? &flags->gone : &flags->there) |= REC_XATTR | flag;
    return rc;
}

static const char *flag_name(uint32_t flags)
{
    if (flags & REC_XATTR)
        return "attributes";
    if (flags & REC_ACL)
        return "an access ACL";
    return flags & REC_DEFAULT_ACL ? "a default ACL" : "a file capability";
}

int check_xattrs(struct check *c, struct subject *s, struct cursor *at)
{
    struct flags flags = {0};
    uint32_t says = s->rec.flags & REC_XATTRS, more, fewer;
    struct text t;
    int rc = 0;

    while (!rc && at->ino == s->ino) {
        rc = visit_xattr(c, s, at, &flags);
        if (!rc)
            rc = cursor_next(c, at);
    }
    if (rc || flags.there == says)
        return rc;
    more = flags.there & ~says;
    fewer = says & ~flags.there & ~flags.gone;
    if (more && !s->quiet)
        problem(c, "set right", "%s: has %s, but says that it has none",
                text_inode(c, s->ino, &t), flag_name(more));
    if (fewer && !s->quiet)
        problem(c, "set right", "%s: says that it has %s, but has none",
                text_inode(c, s->ino, &t), flag_name(fewer));
    s->rec.flags = (s->rec.flags & ~(uint32_t)REC_XATTRS) | flags.there;
    s->changed = true;
    return 0;
}
