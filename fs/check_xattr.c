/*
 * check_xattr.c - the part of fs_check that looks at extended attributes, and whether
 * ACLs, mode and flags are in step.
 */
#include "check_impl.h"
#include "xattr.h"

static int check_acl(struct check *c, const struct known *k, uint32_t flag,
                     struct lsm_iter *it)
{
    const char *kind = flag == REC_ACL ? "access" : "default";
    struct slice value;
    struct acl acl;
    int rc = lsm_iter_value(it, &value);

    if (rc)
        return rc;
    if (acl_decode(value, &acl) || !acl.n)
        problem(c, "inode %" PRIu64 ": bad %s ACL", k->ino, kind);
    else if (flag == REC_ACL && acl_mode(&acl, k->mode) != k->mode)
        problem(c, "inode %" PRIu64 ": its ACL says mode %o, not %o", k->ino,
                acl_mode(&acl, k->mode) & 0777, k->mode & 0777);
    return 0;
}

int visit_xattr(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct slice name;
    struct known *k;
    uint64_t ino;
    uint32_t flag;

    if (!key_parse_xattr(key, &ino, &name)) {
        problem(c, "bad attribute key");
        return 0;
    }
    k = known_find(&c->inodes, ino);
    if (!has_record(k)) {
        problem(c, "an attribute of %" PRIu64 ", which is no inode", ino);
        return 0;
    }
    c->bytes += (uint64_t)usage_of_xattr(name.len, lsm_iter_value_len(it));
    flag = xattr_flag(name);
    k->found_flags |= (uint16_t)(REC_XATTR | flag);
    if (lsm_iter_value_len(it) > FS_XATTR_SIZE_MAX)
        problem(c, "inode %" PRIu64 ": an attribute of %zu bytes", ino,
                lsm_iter_value_len(it));
    else if (flag == REC_ACL || flag == REC_DEFAULT_ACL)
        return check_acl(c, k, flag, it);
    return 0;
}

void check_xattrs(struct check *c, const struct known *k)
{
    uint32_t missing = k->flags & REC_XATTRS & ~(uint32_t)k->found_flags;
    uint32_t more = k->found_flags & ~k->flags;

    if (more)
        problem(c, "inode %" PRIu64 ": has attributes but no flag (%" PRIu32 ")", k->ino,
                more);
    if (missing)
        problem(c, "inode %" PRIu64 ": a flag (%" PRIu32 ") but no such attributes",
                k->ino, missing);
}
