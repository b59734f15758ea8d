/*
 * fs_load.c - see fs_load.h.
 */
#include "tests/fs_load.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

const char *const fs_load_names[FS_LOAD_KINDS] = {
    "create",     "mkdir",      "symlink", "mknod",      "link",
    "unlink",     "rmdir",      "rename",  "exchange",   "write",
    "truncate",   "fallocate",  "punch",   "zero range", "collapse range",
    "insert",     "copy range", "setattr", "setxattr",   "removexattr",
    "set an ACL", "open",       "close",   "quota",      "sync",
};

static const struct fs_cred cred;
static uint8_t scratch[FS_LOAD_SIZE_MAX * 2];

static unsigned below(struct fs_load *l, unsigned n)
{
    return (unsigned)test_below(&l->rng, n);
}

bool fs_load_died(int rc)
{
    return rc == -EIO || rc == -EROFS || rc == -ENOSPC || rc == -EUCLEAN;
}

/* ---- the store ---- */

int fs_load_mount(struct fs_load *l)
{
    struct lsm_options o;
    struct fs_options fo;
    int rc;

    lsm_options_init(&o);
    o.env = l->env;
    o.create = true;
    o.memtable_bytes = 16 * 1024; /* so that flushes and compactions happen */
    o.table_bytes = 16 * 1024;
    o.l0_trigger = 2;
    o.l1_bytes = 32 * 1024;
    o.segment_bytes = 64 * 1024;
    o.garbage_ratio = 0.1;
    o.workers = 0; /* deterministic */
    o.sync_interval_ms = 0;
    rc = lsm_open("/store", &o, &l->db);
    if (rc)
        return rc;
    fs_options_init(&fo);
    fo.writeback_ms = 0;
    rc = fs_mount(l->db, &fo, &l->fs);
    if (rc == -ENODATA) {
        rc = fs_format(l->db, 0, 0, 0755, NULL);
        if (!rc)
            rc = fs_mount(l->db, &fo, &l->fs);
    }
    if (rc)
        lsm_close(l->db);
    return rc;
}

void fs_load_begin(struct fs_load *l, uint64_t seed)
{
    memset(l, 0, sizeof(*l));
    l->rng = seed | 1;
    l->env = env_mem_new(seed);
    model_init(&l->m, FS_ROOT);
    ck_ok(fs_load_mount(l));
    ck_ok(fs_sync(l->fs));
}

int fs_load_unmount(struct fs_load *l)
{
    int rc = fs_unmount(l->fs), close_rc = lsm_close(l->db);

    l->fs = NULL;
    l->db = NULL;
    return rc ? rc : close_rc;
}

void fs_load_end(struct fs_load *l)
{
    if (l->fs)
        (void)fs_load_unmount(l); /* it may be dead */
    model_release(&l->m);
}

static void tell(void *arg, const char *line)
{
    printf("fs_check: %s\n", line);
    fflush(stdout);
}

void fs_load_check(struct fs_load *l)
{
    uint64_t problems = 0;

    ck_ok(fs_check(l->db, tell, NULL, &problems));
    ck_assert_uint_eq(problems, 0);
}

/* ---- prints: sums over entries, in whatever order ---- */

static uint64_t entry_print(uint64_t dir, const char *name, uint64_t ino, uint32_t type,
                            unsigned nlink, const void *data, size_t size)
{
    uint64_t part[5] = {dir, ino, type & S_IFMT, nlink, size};
    uint64_t h = XXH3_64bits(part, sizeof(part));

    h = XXH3_64bits_withSeed(name, strlen(name), h);
    return size ? XXH3_64bits_withSeed(data, size, h) : h;
}

uint64_t fs_load_model_print(const struct fs_load *l)
{
    const struct model_node *d, *n;
    uint64_t sum = 0;
    size_t i;

    for (d = l->m.all.next; d != &l->m.all; d = d->next) {
        for (i = 0; i < d->entries; i++) {
            n = d->entry[i].node;
            sum += entry_print(d->ino, d->entry[i].name, n->ino, n->mode,
                               S_ISDIR(n->mode) ? 2 + model_subdirs(n) : n->nlink,
                               n->data, n->size);
        }
    }
    return sum;
}

struct dir_list {
    uint64_t todo[64];
    unsigned n_todo;
    struct {
        char name[16];
        struct fs_attr attr;
    } found[16];
    unsigned n_found;
};

static enum fs_taken collect(void *arg, const char *name, const struct fs_attr *attr,
                             uint64_t next)
{
    struct dir_list *d = arg;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return FS_TAKEN;
    ck_assert_uint_lt(d->n_found, 16);
    snprintf(d->found[d->n_found].name, 16, "%.15s", name);
    d->found[d->n_found++].attr = *attr;
    return FS_TAKEN_LOOKUP;
}

static uint64_t hash_of(uint64_t h, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, h);
}

/* Attributes: names and values. */
static uint64_t xattr_print(struct fs_load *l, uint64_t ino)
{
    char names[1000], *name;
    uint8_t value[2000];
    uint64_t h = 0;
    size_t len, n;

    ck_ok(fs_listxattr(l->fs, &cred, ino, names, sizeof(names), &len));
    for (name = names; name < names + len; name += strlen(name) + 1) {
        ck_ok(fs_getxattr(l->fs, ino, name, value, sizeof(value), &n));
        h += hash_of(hash_of(n, value, n), name, strlen(name));
    }
    return h;
}

/* What the model knows nothing of. */
static uint64_t more_print(struct fs_load *l, const struct stat *st)
{
    uint64_t part[5] = {st->st_mode, st->st_uid, st->st_gid, (uint64_t)st->st_blocks,
                        st->st_rdev};
    uint64_t h = XXH3_64bits(part, sizeof(part)), at = 0;
    int whence = SEEK_DATA;

    while (S_ISREG(st->st_mode) && fs_lseek(l->fs, st->st_ino, at, whence, &at) == 0) {
        h = hash_of(h, &at, sizeof(at));
        whence = whence == SEEK_DATA ? SEEK_HOLE : SEEK_DATA;
    }
    return h + xattr_print(l, st->st_ino);
}

uint64_t fs_load_print(struct fs_load *l, uint64_t *all)
{
    static struct dir_list d;
    uint64_t sum = 0, more = 0, dir;
    unsigned i;

    memset(&d, 0, sizeof(d));
    d.todo[d.n_todo++] = FS_ROOT;
    while (d.n_todo) {
        dir = d.todo[--d.n_todo];
        d.n_found = 0;
        ck_ok(fs_readdir(l->fs, dir, 0, true, collect, &d));
        for (i = 0; i < d.n_found; i++) {
            struct stat *st = &d.found[i].attr.st;
            size_t n = 0;

            if (S_ISDIR(st->st_mode)) {
                d.todo[d.n_todo++] = st->st_ino;
            } else if (S_ISLNK(st->st_mode)) {
                ck_ok(fs_readlink(l->fs, st->st_ino, (char *)scratch));
                n = strlen((char *)scratch);
            } else if (S_ISREG(st->st_mode)) {
                ck_ok(fs_read(l->fs, st->st_ino, 0, sizeof(scratch), scratch, &n));
                ck_assert_uint_eq(n, (size_t)st->st_size);
            }
            sum += entry_print(dir, d.found[i].name, st->st_ino, st->st_mode,
                               (unsigned)st->st_nlink, scratch, n);
            if (all)
                more += more_print(l, st) * (st->st_ino | 1);
            fs_forget(l->fs, st->st_ino, 1);
        }
    }
    if (all)
        *all = sum + more;
    return sum;
}

/* ---- the operations ---- */

static const char *any_name(struct fs_load *l)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};

    return names[below(l, 7)];
}

static struct model_node *any_dir(struct fs_load *l)
{
    struct model_node *dirs[12], *n;
    unsigned n_dirs = 0;

    for (n = l->m.all.next; n != &l->m.all; n = n->next)
        if (S_ISDIR(n->mode) && n_dirs < 12)
            dirs[n_dirs++] = n;
    return dirs[below(l, n_dirs)];
}

/* A name that is there (three times of four): of an empty directory if `empty`, of any
 * type else. *dir and the result are its place. */
static const char *some_name(struct fs_load *l, struct model_node **dir, bool empty)
{
    struct model_node *d, *n;
    const char *name = NULL;
    unsigned seen = 0;
    size_t i;

    *dir = any_dir(l);
    if (below(l, 4) == 0)
        return any_name(l);
    for (d = l->m.all.next; d != &l->m.all; d = d->next) {
        for (i = 0; i < d->entries; i++) {
            n = d->entry[i].node;
            if ((empty && (!S_ISDIR(n->mode) || n->entries)) || below(l, ++seen))
                continue;
            name = d->entry[i].name;
            *dir = d;
        }
    }
    return name ? name : any_name(l);
}

static int make(struct fs_load *l)
{
    struct model_node *dir = any_dir(l), *n;
    const char *name = any_name(l), *target = NULL;
    uint32_t mode = S_IFREG | 0644;
    struct fs_attr a;
    int rc;

    switch (below(l, 10)) {
    case 0:
    case 1:
        l->kind = FS_LOAD_DIR;
        mode = S_IFDIR | 0755;
        rc = fs_mkdir(l->fs, &cred, dir->ino, name, 0755, &a);
        break;
    case 2:
        l->kind = FS_LOAD_SYMLINK;
        mode = S_IFLNK | 0777;
        rc = fs_symlink(l->fs, &cred, dir->ino, name, target = "some/where", &a);
        break;
    case 3:
        l->kind = FS_LOAD_FIFO;
        mode = S_IFIFO | 0600;
        rc = fs_mknod(l->fs, &cred, dir->ino, name, mode, 0, &a);
        break;
    default:
        l->kind = FS_LOAD_FILE;
        rc = fs_mknod(l->fs, &cred, dir->ino, name, mode, 0, &a);
    }
    if (rc)
        return rc;
    ck_ok(model_make(&l->m, dir, name, mode, target, &n));
    n->ino = a.st.st_ino;
    fs_forget(l->fs, n->ino, 1);
    return 0;
}

static int move(struct fs_load *l)
{
    struct model_node *dir, *to;
    char name[16];
    const char *other;
    unsigned flags = below(l, 3) ? 0 : RENAME_EXCHANGE;
    int rc;

    /* Copied: the model's names move. */
    snprintf(name, sizeof(name), "%s", some_name(l, &dir, false));
    to = any_dir(l);
    other = any_name(l);
    l->kind = flags ? FS_LOAD_EXCHANGE : FS_LOAD_RENAME;
    rc = fs_rename(l->fs, NULL, dir->ino, name, to->ino, other, flags);
    if (fs_load_died(rc) || rc == -EXDEV || rc == -EDQUOT)
        return rc; /* the model knows no quotas */
    ck_assert_int_eq(model_rename(&l->m, dir, name, to, other, flags), rc);
    return rc;
}

static int names(struct fs_load *l)
{
    struct model_node *dir, *to, *n;
    char name[16];
    const char *other;
    struct fs_attr a;
    unsigned what = below(l, 7);
    int rc;

    snprintf(name, sizeof(name), "%s", some_name(l, &dir, what == 1));
    switch (what) {
    case 0:
        l->kind = FS_LOAD_UNLINK;
        rc = fs_unlink(l->fs, dir->ino, name);
        return rc ? rc : model_unlink(&l->m, dir, name);
    case 1:
        l->kind = FS_LOAD_RMDIR;
        rc = fs_rmdir(l->fs, dir->ino, name);
        return rc ? rc : model_rmdir(&l->m, dir, name);
    case 2:
    case 3:
        l->kind = FS_LOAD_LINK;
        to = any_dir(l);
        n = model_lookup(dir, name);
        rc = fs_lookup(l->fs, dir->ino, name, &a);
        if (rc)
            return rc;
        other = any_name(l);
        rc = fs_link(l->fs, n->ino, to->ino, other, &a);
        fs_forget(l->fs, n->ino, rc ? 1 : 2);
        return rc ? rc : model_link(n, to, other);
    default:
        return move(l);
    }
}

/* As fallocate(2) says. */
static void model_allocate(struct model_node *n, int mode, size_t off, size_t len)
{
    size_t end = off + len, old = n->size;

    if (mode & FALLOC_FL_COLLAPSE_RANGE) {
        memmove(n->data + off, n->data + end, old - end);
        model_truncate(n, old - len);
        return;
    }
    if (mode & FALLOC_FL_INSERT_RANGE) {
        model_truncate(n, old + len);
        memmove(n->data + end, n->data + off, old - off);
        memset(n->data + off, 0, len);
        return;
    }
    if (end > old && !(mode & FALLOC_FL_KEEP_SIZE))
        model_truncate(n, end);
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && off < n->size)
        memset(n->data + off, 0, (end < n->size ? end : n->size) - off);
}

static int allocate(struct fs_load *l, struct model_node *n)
{
    static const struct {
        enum fs_load_kind kind;
        int mode;
    } ways[] = {
        {FS_LOAD_ALLOCATE, 0},
        {FS_LOAD_ALLOCATE, FALLOC_FL_KEEP_SIZE},
        {FS_LOAD_PUNCH, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
        {FS_LOAD_ZERO, FALLOC_FL_ZERO_RANGE},
        {FS_LOAD_COLLAPSE, FALLOC_FL_COLLAPSE_RANGE},
        {FS_LOAD_INSERT, FALLOC_FL_INSERT_RANGE},
    };
    unsigned way = below(l, 6);
    size_t off = below(l, (unsigned)n->size + 1), len = 1 + below(l, 9000);
    int rc;

    if (way >= 4 && n->size > 1) { /* inside the file */
        off = below(l, (unsigned)n->size - 1);
        if (way == 4 && off + len >= n->size)
            len = n->size - 1 - off;
    }
    l->kind = ways[way].kind;
    if (n->size + len > FS_LOAD_SIZE_MAX)
        return -EFBIG;
    rc = fs_fallocate(l->fs, n->ino, ways[way].mode, off, len);
    if (!rc)
        model_allocate(n, ways[way].mode, off, len);
    return rc;
}

static int write_some(struct fs_load *l, struct model_node *n)
{
    size_t off = below(l, 2) ? n->size : below(l, FS_LOAD_SIZE_MAX / 2);
    size_t len = 1 + (below(l, 4) ? below(l, 600) : below(l, FS_LOAD_SIZE_MAX / 2)), i;
    int rc;

    l->kind = FS_LOAD_WRITE;
    if (off + len > FS_LOAD_SIZE_MAX)
        off = 0;
    for (i = 0; i < len; i++)
        scratch[i] = (uint8_t)(i % 16 ? scratch[i - 1] : test_random(&l->rng));
    rc = fs_write(l->fs, n->ino, off, slice_of(scratch, len), false);
    if (!rc)
        model_write(n, off, scratch, len);
    return rc;
}

static int truncate_it(struct fs_load *l, struct model_node *n)
{
    struct stat st = {.st_size = below(l, (unsigned)n->size + 5000)};
    struct fs_attr a;
    int rc;

    l->kind = FS_LOAD_TRUNCATE;
    if (st.st_size > FS_LOAD_SIZE_MAX)
        st.st_size = 0;
    rc = fs_setattr(l->fs, NULL, n->ino, FS_SET_SIZE, &st, &a);
    if (!rc)
        model_truncate(n, (size_t)st.st_size);
    return rc;
}

/* From any file that has a name to n. */
static int copy(struct fs_load *l, struct model_node *n)
{
    struct model_node *dir, *from;
    const char *name = some_name(l, &dir, false);
    uint64_t copied = 0;
    struct fs_attr a;
    size_t off, to = below(l, 9000), len = 1 + below(l, 20000);
    int rc;

    l->kind = FS_LOAD_COPY;
    from = model_lookup(dir, name);
    if (!from || !S_ISREG(from->mode) || from == n || !from->size)
        return -ENOENT;
    off = below(l, (unsigned)from->size);
    if (to + len > FS_LOAD_SIZE_MAX)
        to = 0;
    rc = fs_lookup(l->fs, dir->ino, name, &a);
    if (rc)
        return rc;
    rc = fs_copy_range(l->fs, from->ino, off, n->ino, to, len, &copied);
    fs_forget(l->fs, from->ino, 1);
    if (!rc)
        model_write(n, to, from->data + off, (size_t)copied);
    return rc;
}

static int contents(struct fs_load *l, struct model_node *n)
{
    switch (below(l, 8)) {
    case 0:
        return truncate_it(l, n);
    case 1:
    case 2:
    case 3:
        return allocate(l, n);
    case 4:
        return copy(l, n);
    default:
        return write_some(l, n);
    }
}

/* u::rw- u:N:r-- g::r-- m::r-- o::r-- */
static struct slice an_acl(struct fs_load *l, uint8_t to[44])
{
    static const uint8_t text[44] = {2,  0, 0, 0,                         /* version */
                                     1,  0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* owner */
                                     2,  0, 4, 0, 1,    0,    0,    0,    /* a user */
                                     4,  0, 4, 0, 0xff, 0xff, 0xff, 0xff,
                                     16, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
                                     32, 0, 4, 0, 0xff, 0xff, 0xff, 0xff};

    memcpy(to, text, sizeof(text));
    to[16] = (uint8_t)(1 + below(l, 200));
    return slice_of(to, sizeof(text));
}

static int attributes(struct fs_load *l, struct model_node *n)
{
    static const char *const named[] = {"trusted.a", "trusted.a", "trusted.b",
                                        "security.capability"};
    const char *name = named[below(l, 4)];
    bool dir = S_ISDIR(n->mode);
    uint8_t acl[44];
    struct stat st = {.st_mode = 0600 | below(l, 0100), .st_uid = below(l, 3)};
    struct fs_attr a;
    size_t i;

    switch (below(l, 5)) {
    case 0:
        l->kind = FS_LOAD_REMOVEXATTR;
        return fs_removexattr(l->fs, n->ino, "trusted.a");
    case 1:
        l->kind = FS_LOAD_ACL;
        return fs_setxattr(l->fs, &cred, n->ino,
                           dir ? "system.posix_acl_default" : "system.posix_acl_access",
                           an_acl(l, acl), 0);
    case 2:
        l->kind = FS_LOAD_ATTR;
        return fs_setattr(l->fs, &cred, n->ino, FS_SET_MODE | FS_SET_UID, &st, &a);
    default:
        l->kind = FS_LOAD_SETXATTR;
        for (i = 0; i < 500; i++)
            scratch[i] = (uint8_t)test_random(&l->rng);
        return fs_setxattr(l->fs, &cred, n->ino, name, slice_of(scratch, below(l, 500)),
                           0);
    }
}

static void close_one(struct fs_load *l, unsigned i)
{
    struct model_node *n = l->opened[i];

    l->kind = FS_LOAD_CLOSE;
    l->opened[i] = NULL;
    fs_forget(l->fs, n->ino, 1);
    model_close(&l->m, n);
}

/* Something to a file, by its name or, when it is open, perhaps without one. */
static int file(struct fs_load *l)
{
    struct model_node *dir, *n;
    unsigned i = below(l, FS_LOAD_OPEN_MAX);
    const char *name = some_name(l, &dir, false);
    struct fs_attr a;
    int rc;

    l->kind = FS_LOAD_OPEN;
    if (l->opened[i] && below(l, 3) == 0) {
        close_one(l, i);
        return 0;
    }
    if (l->opened[i] && below(l, 3) == 0)
        return contents(l, l->opened[i]);
    n = model_lookup(dir, name);
    rc = fs_lookup(l->fs, dir->ino, name, &a);
    if (rc)
        return rc;
    if (below(l, 3) == 0 && !S_ISLNK(n->mode)) {
        rc = attributes(l, n);
    } else if (S_ISREG(n->mode) && !l->opened[i] && below(l, 3) == 0) {
        model_open(n);
        l->opened[i] = n;
        return 0;
    } else if (S_ISREG(n->mode)) {
        rc = contents(l, n);
    }
    fs_forget(l->fs, a.st.st_ino, 1);
    return rc;
}

/* What a change leaves to do was done at once, or it met a disk that fails: that nobody is
 * told, it goes on another day. What a directory may be exchanged with until then is
 * another matter than in a load that met none. */
static int quota_done(struct fs_load *l, const struct model_node *dir)
{
    struct fs_quota q;

    return fs_quota_get(l->fs, dir->ino, &q) == 0 && q.dir == dir->ino &&
                   q.state != FS_QUOTA_READY
               ? -EIO
               : 0;
}

/* Mostly one that nobody comes to. */
static int quota(struct fs_load *l)
{
    struct fs_limits limits = {1ull << 40, 1 << 30};
    struct model_node *dir = any_dir(l);
    int rc;

    l->kind = FS_LOAD_QUOTA;
    if (below(l, 3) == 0) {
        rc = fs_quota_clear(l->fs, dir->ino);
        return rc ? rc : quota_done(l, dir);
    }
    if (below(l, 4) == 0)
        limits = (struct fs_limits){1 + below(l, 100000), 1 + below(l, 30)};
    rc = fs_quota_set(l->fs, dir->ino, &limits);
    return rc ? rc : quota_done(l, dir);
}

int fs_load_step(struct fs_load *l)
{
    unsigned kind = below(l, 25);
    int rc;

    if (kind < 5)
        rc = make(l);
    else if (kind < 10)
        rc = names(l);
    else if (kind < 22) {
        rc = file(l);
    } else if (kind == 24) {
        rc = quota(l);
    } else {
        l->kind = FS_LOAD_SYNC;
        rc = kind == 22 ? fs_sync(l->fs) : fs_fsync(l->fs, FS_ROOT);
    }
    if (fs_load_died(rc))
        return rc;
    l->succeeded[l->kind] += !rc;
    l->done++;
    if (l->kind == FS_LOAD_SYNC) {
        ck_ok(rc);
        l->synced = l->done;
    }
    return 0;
}
