/*
 * acl.h - POSIX access control lists as values: bytes, validity, and what they
 * have to do with a mode. Pure functions; who stores them is xattr.c.
 *
 * Bytes: those of the attributes system.posix_acl_access and _default, which
 * are what the system calls pass and what the store keeps (FORMAT.md).
 */
#ifndef FS_ACL_H
#define FS_ACL_H

#include "../lsm/lsm.h"

#define ACL_ACCESS_NAME  "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"

enum {
    ACL_ENTRIES_MAX = 511, /* the kernel reads and writes at most a page */

    /* On disk, and in the kernel's interface: never renumber. */
    ACL_VERSION = 2,
    ACL_USER_OBJ = 0x01, /* the owner */
    ACL_USER = 0x02,     /* user `id` */
    ACL_GROUP_OBJ = 0x04,
    ACL_GROUP = 0x08,
    ACL_MASK = 0x10, /* what all but owner and others get at most */
    ACL_OTHER = 0x20,
};

#define ACL_NO_ID UINT32_MAX /* of all entries but ACL_USER and ACL_GROUP */

struct acl_entry {
    uint16_t tag;
    uint16_t perm; /* rwx: 4, 2, 1 */
    uint32_t id;
};

struct acl {
    unsigned n; /* 0: none at all */
    struct acl_entry entry[ACL_ENTRIES_MAX];
};

/*
 * 0, or why these bytes are no ACL: -EINVAL, -EOPNOTSUPP for another version,
 * -E2BIG. One is valid when it has, in this order, the owner, users, the owning
 * group, groups, a mask (if there are users or groups), others. No entries at
 * all are 0, with n 0: the system calls mean "remove it" by that.
 */
int acl_decode(struct slice in, struct acl *a);
void acl_encode(struct buf *b, const struct acl *a);

/* Does a mode's bits say all that this list does? */
bool acl_is_mode(const struct acl *a);
/* mode with the permission bits that show this list to those who see only modes. */
uint32_t acl_mode(const struct acl *a, uint32_t mode);
/* The list after chmod: owner, others, and the mask (without one: the group) of mode. */
void acl_chmod(struct acl *a, uint32_t mode);
/* A default list becomes the access list of a new inode asked for with *mode: each takes
 * from the other what it does not allow. */
void acl_create(struct acl *a, uint32_t *mode);

#endif
