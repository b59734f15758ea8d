/*
 * fuzz_fs.c - a filesystem from a stranger: records and keys as the input says, in a
 * store that is sound. It is mounted, walked, read, changed by operations that the input
 * tells, checked and mounted again, and mended and used once more. Nothing may crash,
 * hang or take much memory; and where fs_check found nothing, or fs_repair mended all, it
 * must find nothing after that use.
 *
 * Parts (parts.h); numbers are varints, so that small changes hit what is there:
 *
 *   D parent, seq, entry     a directory entry, and its place in the index; d: not that
 *   I ino, record            E ino, end, length     an extent of so many bytes
 *   U ino, end, value        O ino
 *   N parent, u8 length, name, value                a name list
 *   X ino, u8 length, name, value                   an extended attribute
 *   Q ino, value             the quota of a directory
 *   n number, c number       the counters
 *   K u8 length, key, value  any key
 *   o bytes                  operations, 4 bytes each
 *
 * Superblock, counters and root directory are there before the parts are put.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fs/fs.h"
#include "fs/keys.h"
#include "fs/record.h"
#include "tests/env_inside.h"
#include "tests/fs_poke.h"
#include "tests/env_mem.h"
#include "tests/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b,
                                 size_t b_size, uint8_t *to, size_t max_size,
                                 unsigned seed);

#define DIR "/s"
enum { HASH_SEED = 7, LISTS_MAX = 256 };

static void no_log(void *arg, const char *line)
{
    (void)arg;
    if (getenv("FUZZ_LOG"))
        fprintf(stderr, "%s\n", line);
}

/* ---- parts to keys ---- */

struct list {
    uint64_t parent, hash;
    struct seqs seqs;
};

struct filling {
    struct lsm_batch *b;
    struct list list[LISTS_MAX];
    unsigned n_lists;
    struct slice ops;
};

static void index_name(struct filling *f, uint64_t parent, uint64_t seq,
                       struct slice dentry)
{
    struct list *l = f->list;
    struct slice name;
    uint64_t hash;
    uint8_t kind;

    if (!get_u8(&dentry, &kind) || !get_bytes(&dentry, &name))
        return;
    hash = name_hash(HASH_SEED, name);
    while (l < f->list + f->n_lists && (l->parent != parent || l->hash != hash))
        l++;
    if (l == f->list + LISTS_MAX)
        return;
    if (l == f->list + f->n_lists) {
        *l = (struct list){.parent = parent, .hash = hash};
        f->n_lists++;
    }
    seqs_add(&l->seqs, seq);
}

static void put_lists(struct filling *f)
{
    struct buf value = {0};
    struct key k;
    unsigned i;

    for (i = 0; i < f->n_lists; i++) {
        buf_clear(&value);
        seqs_encode(&value, &f->list[i].seqs);
        lsm_batch_put(f->b, key_names(&k, f->list[i].parent, f->list[i].hash),
                      buf_slice(&value));
    }
    buf_release(&value);
}

static void put_extent(struct filling *f, uint64_t ino, uint64_t end, struct slice in)
{
    static uint8_t bytes[FS_EXTENT_MAX + 1];
    uint64_t len;
    struct key k;

    if (!get_varint(&in, &len))
        return;
    if (len > sizeof(bytes))
        len = sizeof(bytes);
    memset(bytes, (int)(end | 1), (size_t)len);
    lsm_batch_put(f->b, key_extent(&k, ino, end), slice_of(bytes, (size_t)len));
}

/* A key that is a letter, ino and a name. */
static void put_named(struct filling *f, uint8_t kind, uint64_t ino, struct slice in)
{
    struct xattr_key x;
    struct slice name;
    struct key k;
    uint8_t len;

    if (!get_u8(&in, &len) || !get_raw(&in, len, &name))
        return;
    if (kind == 'X')
        lsm_batch_put(f->b, key_xattr(&x, ino, name), in);
    else
        lsm_batch_put(f->b, key_names(&k, ino, name_hash(HASH_SEED, name)), in);
}

static void put_any(struct filling *f, struct slice in)
{
    struct slice key;
    uint8_t len;

    if (get_u8(&in, &len) && get_raw(&in, len, &key))
        lsm_batch_put(f->b, key, in);
}

static void put_counter(struct filling *f, struct slice key, uint64_t v)
{
    uint8_t value[VARINT_MAX];

    lsm_batch_put(f->b, key, slice_of(value, store_varint(value, v)));
}

/* Kinds that begin with two numbers. */
static void put_pair(struct filling *f, uint8_t kind, uint64_t a, struct slice in)
{
    struct key k;
    uint64_t b;

    if (!get_varint(&in, &b))
        return;
    switch (kind) {
    case 'D':
        index_name(f, a, b, in);
        lsm_batch_put(f->b, key_dentry(&k, a, b), in);
        break;
    case 'd':
        lsm_batch_put(f->b, key_dentry(&k, a, b), in);
        break;
    case 'E':
        put_extent(f, a, b, in);
        break;
    case 'U':
        lsm_batch_put(f->b, key_unwritten(&k, a, b), in);
        break;
    }
}

static void take(struct filling *f, const struct part *p)
{
    struct slice in = p->bytes;
    struct key k;
    uint64_t a;

    if (p->kind == 'o')
        f->ops = in;
    else if (p->kind == 'K')
        put_any(f, in);
    if (p->kind == 'o' || p->kind == 'K' || !get_varint(&in, &a))
        return;
    switch (p->kind) {
    case 'I':
        lsm_batch_put(f->b, key_inode(&k, a), in);
        break;
    case 'O':
        lsm_batch_put(f->b, key_orphan(&k, a), in);
        break;
    case 'Q':
        lsm_batch_put(f->b, key_quota(&k, a), in);
        break;
    case 'N':
    case 'X':
        put_named(f, p->kind, a, in);
        break;
    case 'n':
        put_counter(f, key_next(), a);
        break;
    case 'c':
        put_counter(f, key_count(), a);
        break;
    default:
        put_pair(f, p->kind, a, in);
    }
}

/* What a filesystem begins with. */
static void put_basis(struct filling *f)
{
    struct super super = {.hash_seed = HASH_SEED, .root = FS_ROOT};
    struct record root = {.mode = S_IFDIR | 0755, .nlink = 1, .dir.parent = FS_ROOT};
    struct buf value = {0};
    struct key k;

    super_encode(&value, &super);
    lsm_batch_put(f->b, key_super(), buf_slice(&value));
    put_counter(f, key_next(), 1000);
    put_counter(f, key_count(), 1);
    buf_clear(&value);
    record_encode(&value, &root);
    lsm_batch_put(f->b, key_inode(&k, FS_ROOT), buf_slice(&value));
    buf_release(&value);
}

static struct slice fill(struct lsm *db, struct slice in)
{
    static struct filling f;
    struct part p;

    f = (struct filling){.b = lsm_batch_new()};
    put_basis(&f);
    while (part_next(&in, &p))
        take(&f, &p);
    put_lists(&f);
    POKE_CHECK(lsm_write(db, f.b, LSM_NOSYNC) == 0);
    lsm_batch_free(f.b);
    return f.ops;
}

/* ---- the run ---- */

static struct lsm *open_store(struct env *env, bool create)
{
    struct lsm_options o;
    struct lsm *db;

    lsm_options_init(&o);
    o.env = env;
    o.create = create;
    o.memory_bytes = 4 << 20;
    o.memtable_bytes = 256 << 10;
    o.memtables = 2;
    o.workers = 0;
    o.sync_interval_ms = 0;
    o.verify_bytes = 0;
    POKE_CHECK(lsm_open(DIR, &o, &db) == 0);
    return db;
}

static void no_line(void *arg, const char *line)
{
    no_log(arg, line);
}

static bool is_sound(struct lsm *db)
{
    uint64_t problems = 0;
    int rc = fs_check(db, no_line, NULL, &problems);

    POKE_CHECK(problems || rc == 0 || rc == -EUCLEAN || rc == -ENODATA ||
               rc == -EPROTONOSUPPORT);
    return rc == 0 && problems == 0;
}

/* What fs_repair has passed is sound. */
static bool repaired(struct lsm *db)
{
    struct fs_repair_options o = {0};
    struct fs_repair_result result;
    int rc = fs_repair(db, &o, no_line, NULL, &result);

    POKE_CHECK(rc || (result.left == 0) == is_sound(db));
    return rc == 0 && result.left == 0;
}

static void mount_and(struct lsm *db, bool read_only, struct slice ops, bool sound)
{
    struct fs_options o;
    struct fs *fs;
    int rc;

    fs_options_init(&o);
    o.writeback_ms = 0;
    o.read_only = read_only;
    rc = fs_mount(db, &o, &fs);
    POKE_CHECK(!sound || rc == 0);
    if (rc)
        return;
    fs_poke(fs, ops, sound);
    rc = fs_unmount(fs);
    POKE_CHECK(!sound || rc == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice none = {0}, ops;
    struct env_inside env;
    struct env *mem = env_mem_new(1);
    struct lsm *db;
    bool sound;

    err_set_sink(no_log, NULL);
    env_inside_init(&env, mem, DIR);
    db = open_store(&env.base, true);
    ops = fill(db, slice_of(data, size));
    sound = is_sound(db);
    mount_and(db, false, ops, sound);
    POKE_CHECK(!sound || is_sound(db));
    POKE_CHECK(lsm_close(db) == 0);
    db = open_store(&env.base, false);
    mount_and(db, true, none, sound);
    POKE_CHECK(!sound || is_sound(db));
    if (!sound && repaired(db)) {
        mount_and(db, false, ops, true);
        POKE_CHECK(is_sound(db));
    }
    POKE_CHECK(lsm_close(db) == 0);
    env_mem_free(mem);
    return 0;
}

static const char part_kinds[] = "DDDdIIIEEUONXXQQncKooo";

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return parts_mutate(data, size, max_size, seed, part_kinds);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b,
                                 size_t b_size, uint8_t *to, size_t max_size,
                                 unsigned seed)
{
    return parts_cross(slice_of(a, a_size), slice_of(b, b_size), to, max_size, seed);
}

/* ---- inputs to begin with: what is in a filesystem, as parts ---- */

static void dissect_entry(struct slice key, struct slice value, struct buf *parts)
{
    struct buf part = {0};
    uint8_t kind = key.data[0];
    uint64_t a, b;

    if (kind == KEY_NAMES)
        return; /* put_lists makes them */
    if (kind == KEY_SUPER) {
        put_u8(&part, (uint8_t)key.len);
        buf_append_slice(&part, key);
        buf_append_slice(&part, value);
        part_put(parts, 'K', buf_slice(&part));
        buf_release(&part);
        return;
    }
    key = slice_of(key.data + 1, key.len - 1);
    if (!get_be64(&key, &a))
        abort();
    put_varint(&part, a);
    if (kind == KEY_XATTR) {
        put_u8(&part, (uint8_t)key.len);
        buf_append_slice(&part, key);
    } else if (kind != KEY_INODE && kind != KEY_ORPHAN && kind != KEY_QUOTA) {
        if (!get_be64(&key, &b))
            abort();
        put_varint(&part, b);
    }
    if (kind == KEY_EXTENT)
        put_varint(&part, value.len);
    else
        buf_append_slice(&part, value);
    part_put(parts, kind, buf_slice(&part));
    buf_release(&part);
}

static void dissect(struct lsm *db, struct buf *parts)
{
    struct lsm_iter_options o = {0};
    struct lsm_iter *it;
    struct slice value;

    POKE_CHECK(lsm_iter_new(db, &o, &it) == 0);
    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
        POKE_CHECK(lsm_iter_value(it, &value) == 0);
        dissect_entry(lsm_iter_key(it), value, parts);
    }
    lsm_iter_free(it);
}

/* Operations, of those of fs_poke, from a generator. */
static void put_ops(struct buf *parts, unsigned n, uint64_t seed)
{
    struct buf ops = {0};

    for (; n; n--) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        put_le32(&ops, (uint32_t)(seed >> 33));
    }
    part_put(parts, 'o', buf_slice(&ops));
    buf_release(&ops);
}

/* Of every directory. */
static void set_quotas(struct lsm *db, const struct fs_limits *limits)
{
    struct fs_options o;
    struct fs *fs;
    uint64_t ino;

    fs_options_init(&o);
    o.writeback_ms = 0;
    POKE_CHECK(fs_mount(db, &o, &fs) == 0);
    for (ino = FS_ROOT; ino < 1100; ino++)
        (void)fs_quota_set(fs, ino, limits);
    POKE_CHECK(fs_unmount(fs) == 0);
}

/* A filesystem that so many operations made; limits of it, or if there are to be quotas,
 * those. */
static void make_seed(const char *name, unsigned n, const struct fs_limits *limits,
                      bool quotas, fuzz_emit_fn *emit)
{
    struct env *mem = env_mem_new(1);
    struct buf parts = {0}, made = {0};
    struct lsm *db = open_store(mem, true);
    struct part p;
    struct slice in;

    (void)fill(db, (struct slice){0});
    put_ops(&made, n, n + 1);
    in = buf_slice(&made);
    POKE_CHECK(part_next(&in, &p));
    mount_and(db, false, p.bytes, true);
    if (quotas)
        set_quotas(db, limits);
    else if (limits)
        POKE_CHECK(fs_set_limits(db, limits) == 0);
    dissect(db, &parts);
    put_ops(&parts, 20, 99 * n);
    emit(name, buf_slice(&parts));
    POKE_CHECK(lsm_close(db) == 0);
    env_mem_free(mem);
    buf_release(&parts);
    buf_release(&made);
}

void fuzz_seeds(fuzz_emit_fn *emit)
{
    static const struct fs_limits limits = {.bytes = 1 << 20, .inodes = 40};

    make_seed("empty", 0, NULL, false, emit);
    make_seed("few", 12, NULL, false, emit);
    make_seed("some", 60, NULL, false, emit);
    make_seed("many", 200, NULL, false, emit);
    make_seed("limits", 30, &limits, false, emit);
    make_seed("quotas", 60, &limits, true, emit);
}
