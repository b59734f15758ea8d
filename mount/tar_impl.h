/*
 * tar_impl.h - what tar_export.c and tar_import.c share.
 */
#ifndef MOUNT_TAR_IMPL_H
#define MOUNT_TAR_IMPL_H

#include "libarchive.h"
#include "tar.h"

enum { TAR_BLOCK = 1 << 20 }; /* bytes of contents read and written at once */

/* "PATH: what happened", counted as a problem. Control characters are shown as "?". */
void tar_problem(struct tar *t, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, but no problem. */
void tar_remark(struct tar *t, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define TAR_ACL_ACCESS  "system.posix_acl_access"
#define TAR_ACL_DEFAULT "system.posix_acl_default"

#ifdef HAVE_LIBARCHIVE
/* The bytes of an ACL attribute into the entry; type: ARCHIVE_ENTRY_ACL_TYPE_ACCESS or
 * _DEFAULT. -EUCLEAN: they are none. */
int tar_put_acl(struct archive_entry *entry, int type, struct slice bytes);
/* And out of it; empty: it has none. -EINVAL: of a user or group nobody knows, or of no
 * kind that there is. */
int tar_take_acl(struct archive_entry *entry, int type, struct buf *bytes);
#endif

#endif
