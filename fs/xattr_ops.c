/*
 * xattr_ops.c - getxattr, listxattr, setxattr, removexattr.
 *
 * Which names there are, and what they may be given; how they are kept is
 * xattr.c's.
 */
#include "xattr.h"

#include <sys/xattr.h>

/* ---- names ---- */

enum space { USER, TRUSTED, SECURITY, ACL_ACCESS, ACL_DEFAULT, COMPRESSION };

/* The namespace of a name, or -EOPNOTSUPP; -EINVAL, -ERANGE as the kernel has it. */
static int space_of(const char *name)
{
    static const struct {
        const char *prefix;
        enum space space;
    } prefixes[] = {{"user.", USER}, {"trusted.", TRUSTED}, {"security.", SECURITY}};
    size_t len = strlen(name), n;

    if (!len || len > FS_XATTR_NAME_MAX)
        return -ERANGE;
    if (strcmp(name, ACL_ACCESS_NAME) == 0)
        return ACL_ACCESS;
    if (strcmp(name, ACL_DEFAULT_NAME) == 0)
        return ACL_DEFAULT;
    if (strcmp(name, FS_COMPRESSION_NAME) == 0)
        return COMPRESSION;
    for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        n = strlen(prefixes[i].prefix);
        if (len >= n && memcmp(name, prefixes[i].prefix, n) == 0)
            return len > n ? (int)prefixes[i].space : -EINVAL;
    }
    return -EOPNOTSUPP;
}

/* May this kind of inode have such a thing? */
static int space_fits(int space, const struct record *rec)
{
    if ((space == USER || space == COMPRESSION) && !record_is_file(rec) &&
        !record_is_dir(rec))
        return -EPERM;
    if ((space == ACL_ACCESS || space == ACL_DEFAULT) && S_ISLNK(rec->mode))
        return -EOPNOTSUPP;
    return space == ACL_DEFAULT && !record_is_dir(rec) ? -EACCES : 0;
}

/* ---- compression: no attribute of its own ---- */

static const char *const compressions[] = {
    [LSM_RAW] = "none", [LSM_LZ4] = "lz4", [LSM_ZSTD] = "zstd"};

const char *xattr_compression(const struct record *rec)
{
    enum lsm_compression kind;

    return record_compression(rec, &kind) ? compressions[kind] : NULL;
}

/* value NULL: remove it. */
static int set_compression(struct record *rec, const struct slice *value, int flags)
{
    unsigned kind, kinds = sizeof(compressions) / sizeof(compressions[0]);
    bool have = rec->flags & REC_COMPRESSION;

    for (kind = 0; value && kind < kinds; kind++)
        if (slice_eq(*value, slice_str(compressions[kind])))
            break;
    if (value && kind == kinds)
        return -EINVAL;
    if (have && (flags & XATTR_CREATE))
        return -EEXIST;
    if (!have && (!value || (flags & XATTR_REPLACE)))
        return -ENODATA;
    rec->flags &= ~(uint32_t)REC_COMPRESSION;
    if (value)
        rec->flags |= (kind + 1) << REC_COMPRESSION_SHIFT;
    return 0;
}

/* ---- reading ---- */

/*
 * `ls -l` asks for the label of each file, unless the first says that there are no such
 * things here. The kernel does not remember that there is none.
 */
static int absent(const struct record *rec, const char *name)
{
    bool label = strcmp(name, "security.selinux") == 0;

    return label && !(rec->flags & REC_XATTR) ? -EOPNOTSUPP : -ENODATA;
}

static int read_locked(struct fs *fs, struct inode *in, int space, const char *name,
                       void *to, size_t size, size_t *len)
{
    struct lsm_value value = {0};
    const char *set = space == COMPRESSION ? xattr_compression(&in->rec) : NULL;
    int rc = -ENODATA;

    if (set) {
        value.value = slice_str(set);
        rc = 0;
    } else if (space != COMPRESSION && !(in->state & INODE_GONE))
        rc = xattr_read(fs, in->ino, &in->rec, name, &value);
    if (rc == -ENODATA)
        rc = absent(&in->rec, name);
    if (!rc) {
        *len = value.value.len;
        if (size && *len > size)
            rc = -ERANGE;
        else if (size && *len)
            memcpy(to, value.value.data, *len);
    }
    lsm_value_release(&value);
    return rc;
}

int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *to, size_t size,
                size_t *len)
{
    struct inode *in;
    int space = space_of(name), rc;

    if (space < 0)
        return space;
    if (space == USER && quota_owns_xattr(name))
        return quota_getxattr(fs, ino, name, to, size, len);
    rc = inode_get(fs, ino, &in);
    if (rc)
        return rc;
    rwlock_read(&in->lock);
    rc = read_locked(fs, in, space, name, to, size, len);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    return rc;
}

struct list {
    char *to;
    size_t size, len;
    bool root;
};

static int add_name(void *arg, struct slice name, size_t value_len)
{
    struct list *l = arg;
    struct slice trusted = slice_str("trusted.");

    if (!l->root && name.len > trusted.len &&
        memcmp(name.data, trusted.data, trusted.len) == 0)
        return 0;
    if (l->size) {
        if (name.len + 1 > l->size - l->len)
            return -ERANGE;
        memcpy(l->to + l->len, name.data, name.len);
        l->to[l->len + name.len] = '\0';
    }
    l->len += name.len + 1;
    return 0;
}

int fs_listxattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, char *to,
                 size_t size, size_t *len)
{
    struct list l = {.to = to, .size = size, .root = !c || c->uid == 0};
    struct inode *in;
    int rc = inode_get(fs, ino, &in);

    if (rc)
        return rc;
    rwlock_read(&in->lock);
    if ((in->rec.flags & REC_XATTR) && !(in->state & INODE_GONE))
        rc = xattr_names(fs, ino, add_name, &l);
    if (!rc && (in->rec.flags & REC_COMPRESSION))
        rc = add_name(&l, slice_str(FS_COMPRESSION_NAME), 0);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    *len = l.len;
    return rc;
}

/* ---- changing ---- */

/* What to do to an inode: set, or with value NULL remove. */
struct change {
    const struct fs_cred *cred;
    const char *name;
    const struct slice *value;
    int flags;
    int space;
    struct acl acl; /* the value, when it is one */
};

static int fill(struct fs *fs, struct txn *t, const struct change *c, uint64_t ino,
                struct record *rec)
{
    int rc;

    if (c->space == COMPRESSION)
        return set_compression(rec, c->value, c->flags);
    if (c->space != ACL_ACCESS && c->space != ACL_DEFAULT)
        return c->value ? xattr_put(fs, t, ino, rec, c->name, *c->value, c->flags)
                        : xattr_remove(fs, t, ino, rec, c->name);
    rc = xattr_put_acl(fs, t, ino, rec, c->name, &c->acl);
    /* As chmod: nobody gets the privileges of a group that he is not in. */
    if (c->space == ACL_ACCESS && c->acl.n && !cred_in_group(c->cred, rec->gid))
        rec->mode &= ~(uint32_t)S_ISGID;
    return rc;
}

/* Needs the lock exclusively. */
static int change_locked(struct fs *fs, struct inode *in, const struct change *c)
{
    struct record rec = in->rec;
    struct txn *t;
    int rc = space_fits(c->space, &rec);

    if (rc == -EACCES && !c->acl.n)
        return 0; /* there never was one */
    if (rc)
        return rc;
    if (in->state & INODE_GONE)
        return -ESTALE;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    txn_of(fs, t, in);
    rc = fill(fs, t, c, in->ino, &rec);
    rec.ctime = stamp_now();
    if (!rc)
        txn_put_inode(t, in, &rec);
    rc = txn_end(fs, t, rc);
    if (!rc)
        inode_set(in, &rec);
    return rc;
}

static int change(struct fs *fs, uint64_t ino, struct change *c)
{
    struct inode *in;
    int rc;

    c->space = space_of(c->name);
    if (c->space < 0)
        return c->space;
    if (c->space == USER && quota_owns_xattr(c->name))
        return -EPERM;
    if (c->value && c->value->len > FS_XATTR_SIZE_MAX)
        return -E2BIG;
    c->acl.n = 0;
    if (c->value && (c->space == ACL_ACCESS || c->space == ACL_DEFAULT)) {
        rc = acl_decode(*c->value, &c->acl);
        if (rc)
            return rc;
    }
    rc = inode_begin(fs, ino, &in);
    if (rc)
        return rc;
    rc = change_locked(fs, in, c);
    inode_end(fs, in);
    return rc;
}

int fs_setxattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, const char *name,
                struct slice value, int flags)
{
    struct change change_to;

    if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    change_to.cred = c;
    change_to.name = name;
    change_to.value = &value;
    change_to.flags = flags;
    return change(fs, ino, &change_to);
}

int fs_removexattr(struct fs *fs, uint64_t ino, const char *name)
{
    struct change change_to;

    change_to.cred = NULL;
    change_to.name = name;
    change_to.value = NULL;
    change_to.flags = 0;
    return change(fs, ino, &change_to);
}
