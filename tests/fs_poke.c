/*
 * fs_poke.c - see fs_poke.h.
 *
 * What is found is bounded: a hostile tree may have no end.
 */
#include "tests/fs_poke.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { FOUND_MAX = 64, LIST_MAX = 24, CHUNK = 5, ROOM = 64 * 1024, READ = 8 * 1024 };

struct found {
    uint64_t ino, parent;
    uint32_t mode;
    uint64_t size;
    char name[FS_NAME_MAX + 1];
};

struct poke {
    struct fs *fs;
    bool sound;
    struct fs_cred cred;
    struct found found[FOUND_MAX];
    unsigned n;
    uint8_t room[ROOM];
};

/* What a call may say of a sound filesystem. */
static int said(const struct poke *p, int rc)
{
    POKE_CHECK(rc <= 0);
    POKE_CHECK(!p->sound || (rc != -EUCLEAN && rc != -EIO));
    return rc;
}

/* ---- walking ---- */

struct listing {
    char name[LIST_MAX][FS_NAME_MAX + 1];
    unsigned n, chunk;
    uint64_t cookie;
    bool dots;
};

static enum fs_taken take_name(void *arg, const char *name, const struct fs_attr *attr,
                               uint64_t next)
{
    struct listing *l = arg;
    bool dot = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;

    if (l->chunk == CHUNK || l->n == LIST_MAX)
        return FS_FULL;
    POKE_CHECK(next > l->cookie && next <= INT64_MAX);
    POKE_CHECK(*name && !strchr(name, '/') && strlen(name) <= FS_NAME_MAX);
    POKE_CHECK(dot == (next <= 2) && attr->st.st_ino);
    l->cookie = next;
    l->chunk++;
    if (!dot)
        strcpy(l->name[l->n++], name);
    return FS_TAKEN;
}

static void list(struct poke *p, uint64_t ino, struct listing *l)
{
    bool plus = false;
    int rc;

    l->n = 0;
    l->cookie = 0;
    do {
        l->chunk = 0;
        rc = said(p, fs_readdir(p->fs, ino, l->cookie, plus, take_name, l));
        plus = !plus;
    } while (!rc && l->chunk == CHUNK && l->n < LIST_MAX);
}

static void look_up(struct poke *p, uint64_t parent, const char *name)
{
    struct found *f = &p->found[p->n];
    struct fs_attr a;

    if (said(p, fs_lookup(p->fs, parent, name, &a)))
        return;
    if (p->n == FOUND_MAX) {
        fs_forget(p->fs, a.st.st_ino, 1);
        return;
    }
    f->ino = a.st.st_ino;
    f->parent = parent;
    f->mode = a.st.st_mode;
    f->size = (uint64_t)a.st.st_size;
    snprintf(f->name, sizeof(f->name), "%s", name);
    p->n++;
}

static void read_attributes(struct poke *p, const struct found *f)
{
    size_t len = 0, at, value_len;
    struct fs_attr a;

    (void)said(p, fs_getattr(p->fs, f->ino, &a));
    (void)said(p, fs_listxattr(p->fs, &p->cred, f->ino, NULL, 0, &len));
    if (said(p, fs_listxattr(p->fs, &p->cred, f->ino, (char *)p->room, ROOM, &len)))
        return;
    POKE_CHECK(len <= ROOM);
    for (at = 0; at < len; at += strlen((char *)p->room + at) + 1) {
        static uint8_t value[FS_XATTR_SIZE_MAX];

        (void)said(p, fs_getxattr(p->fs, f->ino, (char *)p->room + at, value,
                                  sizeof(value), &value_len));
    }
}

static void read_file(struct poke *p, const struct found *f)
{
    const uint64_t offs[] = {0, 4095, f->size / 2, f->size - 1, f->size, INT64_MAX - 1};
    uint64_t at = 0;
    unsigned i;
    size_t got;

    for (i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
        if (said(p, fs_read(p->fs, f->ino, offs[i], READ, p->room, &got)) == 0)
            POKE_CHECK(got <= READ);
    }
    for (i = 0; i < 20; i++) {
        uint64_t next;

        if (said(p, fs_lseek(p->fs, f->ino, at, i % 2 ? SEEK_HOLE : SEEK_DATA, &next)))
            break;
        POKE_CHECK(next >= at);
        at = next;
    }
}

static void read_one(struct poke *p, const struct found *f)
{
    char target[FS_SYMLINK_MAX + 1];

    read_attributes(p, f);
    if (S_ISREG(f->mode))
        read_file(p, f);
    else if (S_ISLNK(f->mode) && said(p, fs_readlink(p->fs, f->ino, target)) == 0)
        POKE_CHECK(*target && strlen(target) <= FS_SYMLINK_MAX);
}

static void walk(struct poke *p)
{
    static struct listing l;
    unsigned i, j;

    p->n = 1;
    p->found[0] =
        (struct found){.ino = FS_ROOT, .parent = FS_ROOT, .mode = S_IFDIR, .name = "."};
    for (i = 0; i < p->n; i++) {
        read_one(p, &p->found[i]);
        if (!S_ISDIR(p->found[i].mode))
            continue;
        list(p, p->found[i].ino, &l);
        for (j = 0; j < l.n; j++)
            look_up(p, p->found[i].ino, l.name[j]);
        look_up(p, p->found[i].ino, "..");
    }
}

/* ---- changing ---- */

static uint64_t offset_of(const struct found *f, unsigned i)
{
    static const uint64_t offs[] = {0,
                                    1,
                                    100,
                                    4095,
                                    4096,
                                    5000,
                                    65536,
                                    131072,
                                    200000,
                                    1ull << 40,
                                    1 << 20,
                                    INT64_MAX,
                                    INT64_MAX - 1,
                                    INT64_MAX - 5000,
                                    INT64_MAX - 131072};

    return i % 16 == 15 ? f->size : offs[i % 16];
}

static void do_range(struct poke *p, const struct found *f, const struct found *to,
                     unsigned how)
{
    static const int modes[] = {0,
                                FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_COLLAPSE_RANGE,
                                FALLOC_FL_INSERT_RANGE};
    uint64_t off = offset_of(f, how), len = offset_of(f, how >> 4), copied;

    if (f == to)
        (void)said(p, fs_fallocate(p->fs, f->ino, modes[how % 6], off, len));
    else
        (void)said(p, fs_copy_range(p->fs, f->ino, off, to->ino, offset_of(to, how + len),
                                    len, &copied));
}

static void do_setattr(struct poke *p, const struct found *f, const struct found *to,
                       unsigned how)
{
    struct stat st = {.st_mode = how & 07777, .st_uid = how, .st_gid = how + 1};
    struct fs_attr a;

    st.st_size = (off_t)offset_of(f, how);
    (void)said(p, fs_setattr(p->fs, &p->cred, f->ino,
                             f == to ? FS_SET_SIZE : FS_SET_MODE | FS_SET_UID, &st, &a));
}

static const char *new_name(unsigned how)
{
    static const char *const names[] = {"a", "b",          "c",        "d",
                                        "e", "a long one", "\xff\xfe", "f"};

    return names[how % 8];
}

static void do_xattr(struct poke *p, const struct found *f, unsigned how)
{
    static const char *const names[] = {"user.a", "user.b", "security.capability",
                                        "system.posix_acl_access",
                                        "system.posix_acl_default"};
    static const uint8_t acl[] = {
        2, 0, 0,    0,    1,    0,    6,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,   4,
        0, 7, 0,    0,    0,    4,    0,  4, 0,    0xff, 0xff, 0xff, 0xff, 16,  0,
        6, 0, 0xff, 0xff, 0xff, 0xff, 32, 0, 0,    0,    0xff, 0xff, 0xff, 0xff};
    const char *name = names[how % 5];

    if (how & 64)
        (void)said(p, fs_removexattr(p->fs, f->ino, name));
    else
        (void)said(p, fs_setxattr(p->fs, &p->cred, f->ino, name,
                                  how % 5 > 2 ? slice_of(acl, sizeof(acl))
                                              : slice_of(p->room, how * 5),
                                  how >> 7));
}

static void make_one(struct poke *p, const struct found *dir, unsigned how)
{
    const char *name = new_name(how);
    struct fs_attr a;
    int rc;

    switch (how >> 6) {
    case 0:
        rc = fs_mkdir(p->fs, &p->cred, dir->ino, name, 0777, &a);
        break;
    case 1:
        rc = fs_symlink(p->fs, &p->cred, dir->ino, name, "a target", &a);
        break;
    case 2:
        rc = fs_mknod(p->fs, &p->cred, dir->ino, name, S_IFREG | 0666, 0, &a);
        break;
    default:
        rc = fs_mknod(p->fs, &p->cred, dir->ino, name, S_IFCHR | 0666, 5, &a);
    }
    if (said(p, rc) == 0)
        fs_forget(p->fs, a.st.st_ino, 1);
    look_up(p, dir->ino, name);
}

static void link_one(struct poke *p, const struct found *f, const struct found *dir,
                     unsigned how)
{
    struct fs_attr a;

    if (said(p, fs_link(p->fs, f->ino, dir->ino, new_name(how), &a)) == 0)
        fs_forget(p->fs, a.st.st_ino, 1);
}

static void rename_one(struct poke *p, const struct found *f, const struct found *to,
                       unsigned how)
{
    static const unsigned flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE,
                                     RENAME_WHITEOUT};

    if (how & 64)
        (void)said(p, fs_rename(p->fs, &p->cred, f->parent, f->name, to->parent, to->name,
                                flags[how & 3]));
    else
        (void)said(p, fs_rename(p->fs, &p->cred, f->parent, f->name, to->ino,
                                new_name(how >> 2), flags[how & 3]));
}

static void open_one(struct poke *p, const struct found *f, unsigned how)
{
    struct fs_attr a;

    if (said(p, fs_lookup(p->fs, f->parent, f->name, &a)))
        return;
    (void)said(p, fs_fsync(p->fs, f->ino));
    if (how & 2)
        (void)said(p, fs_unlink(p->fs, f->parent, f->name));
    fs_forget(p->fs, a.st.st_ino, 1);
}

static void quota_one(struct poke *p, const struct found *dir, unsigned how)
{
    struct fs_limits limits = {(uint64_t)how << 12, how & 7 ? how : 0};
    struct fs_quota q;

    (void)said(p, fs_quota_get(p->fs, dir->ino, &q));
    if (how & 64)
        (void)said(p, fs_quota_clear(p->fs, dir->ino));
    else
        (void)said(p, fs_quota_set(p->fs, dir->ino, &limits));
}

static void do_one(struct poke *p, const uint8_t op[4])
{
    const struct found *f = &p->found[op[1] % p->n], *to = &p->found[op[2] % p->n];
    unsigned how = op[3];

    if (op[0] >= 14 * 18) { /* one of the rest */
        quota_one(p, to, how);
        return;
    }
    switch (op[0] % 14) {
    case 0:
    case 1:
        (void)said(p, fs_write(p->fs, f->ino, offset_of(f, how),
                               slice_of(p->room, (size_t)op[2] * 64), how & 16));
        break;
    case 2:
        do_setattr(p, f, to, how);
        break;
    case 3:
    case 4:
        rename_one(p, f, to, how);
        break;
    case 5:
        (void)said(p, fs_unlink(p->fs, f->parent, f->name));
        break;
    case 6:
        (void)said(p, fs_rmdir(p->fs, f->parent, f->name));
        break;
    case 7:
        link_one(p, f, to, how);
        break;
    case 8:
    case 9:
        make_one(p, to, how);
        break;
    case 10:
        do_xattr(p, f, how);
        break;
    case 11:
        do_range(p, f, to, how);
        break;
    case 12:
        open_one(p, f, how);
        break;
    case 13:
        read_one(p, f);
        break;
    }
}

static int no_du(void *arg, const char *path, const struct fs_du *sum)
{
    return 0;
}

void fs_poke(struct fs *fs, struct slice ops, bool sound)
{
    static struct poke p;
    struct fs_statfs statfs;

    memset(&p, 0, sizeof(p));
    p.fs = fs;
    p.sound = sound;
    walk(&p);
    if (ops.len >= 4) {
        for (; ops.len >= 4; ops = slice_of(ops.data + 4, ops.len - 4))
            do_one(&p, ops.data);
        walk(&p);
    }
    (void)fs_statfs(fs, FS_ROOT, &statfs);
    (void)said(&p, fs_du(fs, FS_ROOT, no_du, NULL));
    (void)said(&p, fs_sync(fs));
}
