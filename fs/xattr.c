/*
 * xattr.c - see xattr.h.
 */
#include "xattr.h"

#include <sys/xattr.h>

uint32_t xattr_flag(struct slice name)
{
    if (slice_eq(name, slice_str(ACL_ACCESS_NAME)))
        return REC_ACL;
    if (slice_eq(name, slice_str(ACL_DEFAULT_NAME)))
        return REC_DEFAULT_ACL;
    return slice_eq(name, slice_str("security.capability")) ? REC_CAPABILITY : 0;
}

static uint32_t flag_of(const char *name)
{
    return xattr_flag(slice_str(name));
}

/* Can the flags alone tell that there is none? */
static bool surely_absent(const struct record *rec, uint32_t flag)
{
    return !(rec->flags & REC_XATTR) || (flag && !(rec->flags & flag));
}

/* What the attribute under this key uses. By an iterator, which tells the length of a
 * value that is damaged, too: it can be replaced. */
static int find_use(struct fs *fs, struct slice key, int64_t *uses)
{
    struct lsm_iter_options o = {.lower = &key};
    struct lsm_iter *it;
    int rc = lsm_iter_new(fs->db, &o, &it);

    if (rc)
        return rc;
    lsm_iter_seek(it, key);
    rc = lsm_iter_error(it);
    if (lsm_iter_valid(it) && slice_eq(lsm_iter_key(it), key))
        *uses = usage_of_xattr(key.len - XATTR_KEY_PREFIX, lsm_iter_value_len(it));
    lsm_iter_free(it);
    return rc;
}

/* *uses: what it uses of limits; 0 when there are none. */
static bool present(struct fs *fs, uint64_t ino, const struct record *rec,
                    const char *name, int64_t *uses, int *rc)
{
    struct xattr_key k;
    struct slice key = key_xattr(&k, ino, slice_str(name));

    *uses = 0;
    *rc = 0;
    if (surely_absent(rec, flag_of(name)))
        return false;
    *rc = lsm_exists(fs->db, NULL, key);
    if (*rc == -ENOENT) {
        *rc = 0;
        return false;
    }
    if (!*rc && usage_wanted(fs))
        *rc = find_use(fs, key, uses);
    return true;
}

int xattr_read(struct fs *fs, uint64_t ino, const struct record *rec, const char *name,
               struct lsm_value *value)
{
    uint32_t flag = flag_of(name);
    struct xattr_key k;
    int rc;

    if (surely_absent(rec, flag))
        return -ENODATA;
    rc = lsm_get(fs->db, NULL, key_xattr(&k, ino, slice_str(name)), value);
    if (rc == -ENOENT)
        return flag ? fs_corrupt("an attribute is missing", ino, flag) : -ENODATA;
    return rc;
}

int xattr_names(struct fs *fs, uint64_t ino, xattr_name_fn *fn, void *arg)
{
    struct lsm_iter_options o = {0};
    struct key from, to;
    struct slice lower = key_one(&from, KEY_XATTR, ino), name;
    struct slice upper = key_one(&to, KEY_XATTR, ino + 1);
    struct lsm_iter *it;
    uint64_t number;
    int rc;

    o.lower = &lower;
    o.upper = &upper;
    rc = lsm_iter_new(fs->db, &o, &it);
    if (rc)
        return rc;
    for (lsm_iter_first(it); !rc && lsm_iter_valid(it); lsm_iter_next(it)) {
        if (key_parse_xattr(lsm_iter_key(it), &number, &name))
            rc = fn(arg, name, lsm_iter_value_len(it));
        else
            rc = fs_corrupt("bad attribute key", ino, 0);
    }
    if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

/* ---- changing one ---- */

static int add_length(void *arg, struct slice name, size_t value_len)
{
    *(size_t *)arg += name.len + 1;
    return 0;
}

/* Is there room in the list for one more? What nobody can list is as good as lost. */
static int check_room(struct fs *fs, uint64_t ino, const struct record *rec,
                      const char *name)
{
    size_t sum = strlen(name) + 1;
    int rc = 0;

    if (rec->flags & REC_XATTR)
        rc = xattr_names(fs, ino, add_length, &sum);
    return !rc && sum > FS_XATTR_LIST_MAX ? -ENOSPC : rc;
}

int xattr_put(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
              const char *name, struct slice value, int flags)
{
    struct xattr_key k;
    int64_t uses;
    int rc;
    bool have = present(fs, ino, rec, name, &uses, &rc);

    if (!rc && have && (flags & XATTR_CREATE))
        rc = -EEXIST;
    if (!rc && !have && (flags & XATTR_REPLACE))
        rc = -ENODATA;
    if (!rc && !have)
        rc = check_room(fs, ino, rec, name);
    if (rc)
        return rc;
    lsm_batch_put(t->batch, key_xattr(&k, ino, slice_str(name)), value);
    t->bytes += (uint64_t)(usage_of_xattr(strlen(name), value.len) - uses);
    rec->flags |= REC_XATTR | flag_of(name);
    return 0;
}

static int is_another(void *arg, struct slice name, size_t value_len)
{
    return !slice_eq(name, slice_str(arg));
}

int xattr_remove(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                 const char *name)
{
    struct xattr_key k;
    int64_t uses;
    int rc;
    bool have = present(fs, ino, rec, name, &uses, &rc);

    if (rc)
        return rc;
    if (!have)
        return -ENODATA;
    rc = xattr_names(fs, ino, is_another, (void *)name);
    if (rc < 0)
        return rc;
    lsm_batch_delete(t->batch, key_xattr(&k, ino, slice_str(name)));
    t->bytes -= (uint64_t)uses;
    rec->flags &= ~(flag_of(name) | (rc ? 0 : REC_XATTR));
    return 0;
}

/* ---- all of them ---- */

struct remover {
    struct txn *t;
    uint64_t ino;
    unsigned n;
};

static int remove_name(void *arg, struct slice name, size_t value_len)
{
    struct remover *r = arg;
    struct xattr_key k;

    r->t->bytes -= (uint64_t)usage_of_xattr(name.len, value_len);
    if (++r->n <= FEW_EXTENTS)
        lsm_batch_delete(r->t->batch, key_xattr(&k, r->ino, name));
    return 0;
}

/* Range deletes cost every later read until compaction has dealt with them: they are for
 * those who have many. */
int xattr_remove_all(struct fs *fs, struct txn *t, uint64_t ino, const struct record *rec)
{
    struct remover r = {.t = t, .ino = ino};
    struct key a, b;
    int rc;

    if (!(rec->flags & REC_XATTR))
        return 0;
    rc = xattr_names(fs, ino, remove_name, &r);
    if (is_unreadable(rc))
        usage_lose(fs);
    if (r.n > FEW_EXTENTS || is_unreadable(rc)) {
        lsm_batch_delete_range(t->batch, key_one(&a, KEY_XATTR, ino),
                               key_one(&b, KEY_XATTR, ino + 1));
        rc = 0;
    }
    return rc;
}

int xattr_drop_capability(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec)
{
    if (!(rec->flags & REC_CAPABILITY))
        return 0;
    return xattr_remove(fs, t, ino, rec, "security.capability");
}

/* ---- ACLs ---- */

/* One that the store holds: never empty. */
static int read_acl(struct fs *fs, uint64_t ino, const struct record *rec,
                    const char *name, struct acl *a)
{
    struct lsm_value value = {0};
    int rc = xattr_read(fs, ino, rec, name, &value);

    if (!rc && (acl_decode(value.value, a) || !a->n))
        rc = fs_corrupt("bad access control list", ino, flag_of(name));
    lsm_value_release(&value);
    return rc;
}

/* Into the scratch buffer of t, from where it is put. */
static struct slice encode_acl(struct txn *t, const struct acl *a)
{
    buf_clear(&t->scratch);
    acl_encode(&t->scratch, a);
    if (buf_error(&t->scratch))
        t->error = -ENOMEM;
    return buf_slice(&t->scratch);
}

int xattr_put_acl(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                  const char *name, const struct acl *a)
{
    bool access = flag_of(name) == REC_ACL;
    int rc;

    if (a->n && access)
        rec->mode = acl_mode(a, rec->mode);
    if (a->n && !(access && acl_is_mode(a)))
        return xattr_put(fs, t, ino, rec, name, encode_acl(t, a), 0);
    rc = xattr_remove(fs, t, ino, rec, name);
    return rc == -ENODATA ? 0 : rc;
}

int xattr_follow_mode(struct fs *fs, struct txn *t, uint64_t ino,
                      const struct record *rec)
{
    struct xattr_key k;
    struct acl a;
    int rc;

    if (!(rec->flags & REC_ACL))
        return 0;
    rc = read_acl(fs, ino, rec, ACL_ACCESS_NAME, &a);
    if (rc)
        return rc;
    acl_chmod(&a, rec->mode);
    lsm_batch_put(t->batch, key_xattr(&k, ino, slice_str(ACL_ACCESS_NAME)),
                  encode_acl(t, &a));
    return 0;
}

/* ---- inheritance ---- */

static int inherit(struct fs *fs, const struct inode *dir, struct record *rec,
                   struct inherited *out)
{
    struct acl a;
    int rc = read_acl(fs, dir->ino, &dir->rec, ACL_DEFAULT_NAME, &a);

    if (rc)
        return rc;
    if (record_is_dir(rec)) {
        acl_encode(&out->deflt, &a);
        rec->flags |= REC_XATTR | REC_DEFAULT_ACL;
    }
    acl_create(&a, &rec->mode);
    if (!acl_is_mode(&a)) {
        acl_encode(&out->access, &a);
        rec->flags |= REC_XATTR | REC_ACL;
    }
    rc = buf_error(&out->deflt);
    return rc ? rc : buf_error(&out->access);
}

int xattr_inherit(struct fs *fs, const struct inode *dir, mode_t umask,
                  struct record *rec, struct inherited *out)
{
    *out = (struct inherited){{0}, {0}};
    if (S_ISLNK(rec->mode))
        return 0; /* has no permissions */
    if (dir->rec.flags & REC_DEFAULT_ACL)
        return inherit(fs, dir, rec, out);
    rec->mode &= ~(uint32_t)(umask & 0777);
    return 0;
}

static void put_new(struct txn *t, uint64_t ino, const char *name, struct slice value)
{
    struct xattr_key k;

    lsm_batch_put(t->batch, key_xattr(&k, ino, slice_str(name)), value);
    t->bytes += (uint64_t)usage_of_xattr(strlen(name), value.len);
}

void xattr_put_inherited(struct txn *t, uint64_t ino, const struct inherited *inherited)
{
    if (inherited->access.len)
        put_new(t, ino, ACL_ACCESS_NAME, buf_slice(&inherited->access));
    if (inherited->deflt.len)
        put_new(t, ino, ACL_DEFAULT_NAME, buf_slice(&inherited->deflt));
}

void inherited_release(struct inherited *inherited)
{
    buf_release(&inherited->access);
    buf_release(&inherited->deflt);
}
