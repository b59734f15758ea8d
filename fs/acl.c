/*
 * acl.c - see acl.h.
 */
#include "acl.h"

/* ---- bytes ---- */

static bool is_named(uint16_t tag)
{
    return tag == ACL_USER || tag == ACL_GROUP;
}

/* What may come next; an ACL passes through them in this order. */
enum place { AT_OWNER, AT_USERS, AT_GROUPS, AT_OTHERS, AT_END };

/* Where the list stands after e, or -1 when e may not stand there. */
static int place_after(enum place at, const struct acl_entry *e, bool *named)
{
    switch (e->tag) {
    case ACL_USER_OBJ:
        return at == AT_OWNER ? AT_USERS : -1;
    case ACL_USER:
        *named = true;
        return at == AT_USERS && e->id != ACL_NO_ID ? AT_USERS : -1;
    case ACL_GROUP_OBJ:
        return at == AT_USERS ? AT_GROUPS : -1;
    case ACL_GROUP:
        *named = true;
        return at == AT_GROUPS && e->id != ACL_NO_ID ? AT_GROUPS : -1;
    case ACL_MASK:
        return at == AT_GROUPS ? AT_OTHERS : -1;
    case ACL_OTHER:
        return at == AT_OTHERS || (at == AT_GROUPS && !*named) ? AT_END : -1;
    default:
        return -1;
    }
}

static bool acl_valid(const struct acl *a)
{
    bool named = false;
    int at = AT_OWNER;

    for (unsigned i = 0; i < a->n && at >= 0; i++)
        at = a->entry[i].perm > 7 ? -1 : place_after(at, &a->entry[i], &named);
    return at == AT_END || !a->n;
}

int acl_decode(struct slice in, struct acl *a)
{
    uint32_t version;

    a->n = 0;
    if (!get_le32(&in, &version))
        return -EINVAL;
    if (version != ACL_VERSION)
        return -EOPNOTSUPP;
    if (in.len % 8)
        return -EINVAL;
    if (in.len / 8 > ACL_ENTRIES_MAX)
        return -E2BIG;
    while (in.len) {
        struct acl_entry *e = &a->entry[a->n++];
        uint32_t both;

        if (!get_le32(&in, &both) || !get_le32(&in, &e->id))
            return -EINVAL;
        e->tag = (uint16_t)both;
        e->perm = (uint16_t)(both >> 16);
        if (!is_named(e->tag))
            e->id = ACL_NO_ID; /* as the kernel does: what was there means nothing */
    }
    return acl_valid(a) ? 0 : -EINVAL;
}

void acl_encode(struct buf *b, const struct acl *a)
{
    put_le32(b, ACL_VERSION);
    for (unsigned i = 0; i < a->n; i++) {
        put_le32(b, a->entry[i].tag | (uint32_t)a->entry[i].perm << 16);
        put_le32(b, a->entry[i].id);
    }
}

/* ---- lists and modes ---- */

static struct acl_entry *find(struct acl *a, uint16_t tag)
{
    for (unsigned i = 0; i < a->n; i++) {
        if (a->entry[i].tag == tag)
            return &a->entry[i];
    }
    return NULL;
}

/* The three entries that the three digits of a mode stand for. */
struct classes {
    struct acl_entry *owner, *group, *other;
};

static struct classes classes_of(struct acl *a)
{
    struct classes c = {find(a, ACL_USER_OBJ), find(a, ACL_MASK), find(a, ACL_OTHER)};

    if (!c.group)
        c.group = find(a, ACL_GROUP_OBJ);
    return c;
}

bool acl_is_mode(const struct acl *a)
{
    return a->n == 3; /* a valid one: owner, group, others */
}

uint32_t acl_mode(const struct acl *a, uint32_t mode)
{
    struct classes c = classes_of((struct acl *)a);

    return (mode & ~(uint32_t)0777) | (uint32_t)c.owner->perm << 6 |
           (uint32_t)c.group->perm << 3 | c.other->perm;
}

void acl_chmod(struct acl *a, uint32_t mode)
{
    struct classes c = classes_of(a);

    c.owner->perm = (mode >> 6) & 7;
    c.group->perm = (mode >> 3) & 7;
    c.other->perm = mode & 7;
}

void acl_create(struct acl *a, uint32_t *mode)
{
    *mode &= acl_mode(a, ~(uint32_t)0);
    acl_chmod(a, *mode);
}
