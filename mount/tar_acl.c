/*
 * tar_acl.c - see tar.h: what is reported, and ACLs.
 *
 * An archive has ACLs as text, which libarchive takes apart; the filesystem has them as
 * the bytes of attributes (fs/FORMAT.md).
 */
#include "tar_impl.h"

#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>

static void report(struct tar *t, const char *path, const char *fmt, va_list ap)
{
    char line[1024], *c;
    size_t at;

    snprintf(line, sizeof(line) / 2, "%s", path);
    at = strlen(line);
    at += (size_t)snprintf(line + at, sizeof(line) - at, ": ");
    vsnprintf(line + at, sizeof(line) - at, fmt, ap);
    for (c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    t->report(t->arg, line);
}

void tar_problem(struct tar *t, const char *path, const char *fmt, ...)
{
    va_list ap;

    t->problems++;
    va_start(ap, fmt);
    report(t, path, fmt, ap);
    va_end(ap);
}

void tar_remark(struct tar *t, const char *path, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report(t, path, fmt, ap);
    va_end(ap);
}

#ifdef HAVE_LIBARCHIVE

enum {
    VERSION = 2,
    HEADER = 4,
    ENTRY = 8,
};

/* Tags of the bytes, and libarchive's. In the order in which they have to be. */
static const struct {
    uint16_t tag;
    int type;
} tags[] = {
    {0x01, ARCHIVE_ENTRY_ACL_USER_OBJ},  {0x02, ARCHIVE_ENTRY_ACL_USER},
    {0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ}, {0x08, ARCHIVE_ENTRY_ACL_GROUP},
    {0x10, ARCHIVE_ENTRY_ACL_MASK},      {0x20, ARCHIVE_ENTRY_ACL_OTHER},
};

enum { TAGS = sizeof(tags) / sizeof(tags[0]) };

int tar_put_acl(struct archive_entry *entry, int type, struct slice bytes)
{
    size_t at;
    unsigned i;
    int id;

    if (bytes.len < HEADER || (bytes.len - HEADER) % ENTRY ||
        load_le32(bytes.data) != VERSION)
        return -EUCLEAN;
    for (at = HEADER; at < bytes.len; at += ENTRY) {
        const uint8_t *e = bytes.data + at;

        for (i = 0; i < TAGS && tags[i].tag != load_le16(e); i++)
            ;
        if (i == TAGS)
            return -EUCLEAN;
        id = (int)load_le32(e + 4);
        if (libarchive.archive_entry_acl_add_entry(entry, type, load_le16(e + 2) & 7,
                                                   tags[i].type, id, NULL) != ARCHIVE_OK)
            return -ENOMEM;
    }
    return 0;
}

/* The number of the user or group; of a name, what it is called here. */
static int find_id(int type, const char *name, int *id)
{
    const struct passwd *user;
    const struct group *group;

    if (type != ARCHIVE_ENTRY_ACL_USER && type != ARCHIVE_ENTRY_ACL_GROUP) {
        *id = -1;
        return 0;
    }
    if (*id != -1)
        return 0;
    if (!name)
        return -EINVAL;
    if (type == ARCHIVE_ENTRY_ACL_USER) {
        user = getpwnam(name);
        *id = user ? (int)user->pw_uid : -1;
    } else {
        group = getgrnam(name);
        *id = group ? (int)group->gr_gid : -1;
    }
    return *id == -1 ? -EINVAL : 0;
}

/* Those of one tag: entries come in any order. */
static int take_tag(struct archive_entry *entry, int want, uint16_t tag, int tag_type,
                    struct buf *bytes)
{
    int type, permset, got, id, err = 0;
    uint8_t e[ENTRY];
    const char *name;

    libarchive.archive_entry_acl_reset(entry, want);
    while (!err && libarchive.archive_entry_acl_next(entry, want, &type, &permset, &got,
                                                     &id, &name) == ARCHIVE_OK) {
        if (got != tag_type)
            continue;
        err = find_id(got, name, &id);
        store_le16(e, tag);
        store_le16(e + 2, (uint16_t)(permset & 7));
        store_le32(e + 4, (uint32_t)id);
        buf_append(bytes, e, sizeof(e));
    }
    return err;
}

int tar_take_acl(struct archive_entry *entry, int type, struct buf *bytes)
{
    unsigned i;
    int err = 0;

    buf_clear(bytes);
    if (!libarchive.archive_entry_acl_count(entry, type))
        return 0;
    put_le32(bytes, VERSION);
    for (i = 0; i < TAGS && !err; i++)
        err = take_tag(entry, type, tags[i].tag, tags[i].type, bytes);
    return err ? err : buf_error(bytes);
}

#endif
