/*
 * fs_dump.c - see fs_dump.h.
 */
#include "fs_dump.h"

#include <stdlib.h>
#include <xxhash.h>

#include "test.h"

enum {
    PIECE = 64 * 1024,
};

static struct dump_line *add_line(struct dump *d, const char *dir, const char *name,
                                  const struct fs_attr *a)
{
    struct dump_line *l;

    if (d->n == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 64;
        d->line = realloc(d->line, d->cap * sizeof(*d->line));
    }
    l = &d->line[d->n++];
    *l = (struct dump_line){
        .ino = a->st.st_ino, .nlink = a->st.st_nlink, .is_dir = S_ISDIR(a->st.st_mode)};
    ck_assert(asprintf(&l->path, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name) > 0);
    return l;
}

/* ---- facts ---- */

static uint64_t hash_contents(struct fs *fs, uint64_t ino)
{
    static uint8_t piece[PIECE];
    uint64_t off = 0, h = 1;
    size_t got;

    do {
        ck_ok(fs_read(fs, ino, off, PIECE, piece, &got));
        h = XXH3_64bits_withSeed(piece, got, h);
        off += got;
    } while (got == PIECE);
    return h;
}

static uint64_t hash_xattrs(struct fs *fs, uint64_t ino)
{
    static const struct fs_cred root;
    static char names[FS_XATTR_LIST_MAX];
    static uint8_t value[FS_XATTR_SIZE_MAX];
    uint64_t h = 0;
    size_t len, n, at;

    ck_ok(fs_listxattr(fs, &root, ino, names, sizeof(names), &len));
    for (at = 0; at < len; at += strlen(names + at) + 1) {
        ck_ok(fs_getxattr(fs, ino, names + at, value, sizeof(value), &n));
        h += XXH3_64bits_withSeed(value, n, XXH3_64bits(names + at, strlen(names + at)));
    }
    return h;
}

static void tell_facts(struct fs *fs, struct dump_line *l, const struct fs_attr *a)
{
    const struct stat *st = &a->st;
    char target[FS_SYMLINK_MAX + 1] = "";
    uint64_t contents = 0;

    if (S_ISREG(st->st_mode))
        contents = hash_contents(fs, l->ino);
    else if (S_ISLNK(st->st_mode))
        ck_ok(fs_readlink(fs, l->ino, target));
    ck_assert(asprintf(&l->facts,
                       "%o %u:%u %lld %lld %lld.%ld %lld.%ld %llx %llx %llx %s",
                       st->st_mode, st->st_uid, st->st_gid,
                       S_ISDIR(st->st_mode) ? 0 : (long long)st->st_size,
                       S_ISDIR(st->st_mode) ? 0 : (long long)st->st_blocks,
                       (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                       (long long)a->btime.tv_sec, a->btime.tv_nsec,
                       (unsigned long long)st->st_rdev, (unsigned long long)contents,
                       (unsigned long long)hash_xattrs(fs, l->ino), target) > 0);
}

/* ---- walking ---- */

struct names {
    struct {
        char name[FS_NAME_MAX + 1];
        struct fs_attr attr;
    } * entry;
    size_t n, cap;
};

static enum fs_taken take_entry(void *arg, const char *name, const struct fs_attr *attr,
                                uint64_t next)
{
    struct names *names = arg;

    (void)next;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return FS_TAKEN;
    if (names->n == names->cap) {
        names->cap = names->cap ? names->cap * 2 : 64;
        names->entry = realloc(names->entry, names->cap * sizeof(*names->entry));
    }
    strcpy(names->entry[names->n].name, name);
    names->entry[names->n++].attr = *attr;
    return FS_TAKEN_LOOKUP;
}

static void walk_dir(struct fs *fs, struct dump *d, size_t at, struct names *names)
{
    size_t i;

    names->n = 0;
    ck_ok(fs_readdir(fs, d->line[at].ino, 0, true, take_entry, names));
    for (i = 0; i < names->n; i++) {
        struct fs_attr a;
        struct dump_line *l =
            add_line(d, d->line[at].path, names->entry[i].name, &names->entry[i].attr);

        tell_facts(fs, l, &names->entry[i].attr);
        /* Its name leads to it, too. */
        ck_ok(fs_lookup(fs, d->line[at].ino, names->entry[i].name, &a));
        ck_assert_uint_eq(a.st.st_ino, l->ino);
        fs_forget(fs, l->ino, l->is_dir ? 1 : 2);
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct dump_line *)a)->path,
                  ((const struct dump_line *)b)->path);
}

void dump_take(struct fs *fs, struct dump *d)
{
    struct names names = {0};
    struct fs_attr a;
    size_t i;

    memset(d, 0, sizeof(*d));
    ck_ok(fs_getattr(fs, FS_ROOT, &a));
    tell_facts(fs, add_line(d, "/", "", &a), &a);
    for (i = 0; i < d->n; i++) {
        if (d->line[i].is_dir)
            walk_dir(fs, d, i, &names);
        ck_assert_msg(d->n < 1000000, "the tree has no end");
    }
    for (i = 1; i < d->n; i++) {
        if (d->line[i].is_dir)
            fs_forget(fs, d->line[i].ino, 1);
    }
    free(names.entry);
    qsort(d->line, d->n, sizeof(*d->line), by_path);
}

void dump_release(struct dump *d)
{
    size_t i;

    for (i = 0; i < d->n; i++) {
        free(d->line[i].path);
        free(d->line[i].facts);
    }
    free(d->line);
    memset(d, 0, sizeof(*d));
}

const struct dump_line *dump_find(const struct dump *d, const char *path)
{
    struct dump_line key = {.path = (char *)path};

    return bsearch(&key, d->line, d->n, sizeof(*d->line), by_path);
}

const struct dump_line *dump_find_ino(const struct dump *d, uint64_t ino)
{
    size_t i;

    for (i = 0; i < d->n; i++) {
        if (d->line[i].ino == ino)
            return &d->line[i];
    }
    return NULL;
}
