/*
 * test_fs_repair_random.c - trees made at random, with records that are deleted, cut
 * short or overwritten at random, and a repair that is cut off at random: after the
 * repair that comes to its end fs_check finds nothing, everything can be read and
 * written, and every inode whose own records were spared is there as it was, under the
 * path it had if the names on the way were spared.
 *
 * Records that are exchanged for others, or have bits flipped so that they mean something
 * else, may take what is not theirs: of those only the first part is asked.
 */
#include <stdlib.h>

#include "fs_dump.h"
#include "fs_harm.h"
#include "fs_tree.h"
#include "test_fs.h"

enum {
    OPS = 250,
    NAMES = 12,
    HARM_MAX = 12,
    KEYS_MAX = 4000,
    NUMBERS = 1200, /* more than are ever given out here */
};

static const struct fs_limits limits = {1ull << 62, 1ull << 62};
static uint64_t rnd;

static unsigned below(unsigned n)
{
    return (unsigned)test_below(&rnd, n);
}

/* ---- a tree ---- */

struct grown {
    uint64_t dir[64], file[256];
    unsigned dirs, files;
};

static void grow_file(struct fs *fs, struct grown *g, uint64_t ino)
{
    static const struct fs_cred root;
    static uint8_t data[140000];
    unsigned n = below(4), i;

    for (i = 0; i < n; i++) {
        size_t len = below(8) ? 1 + below(300) : 1 + below(sizeof(data));

        memset(data, (int)below(256), len);
        ck_ok(
            fs_write(fs, ino, below(3) ? 0 : below(100000), slice_of(data, len), false));
    }
    if (below(8) == 0)
        ck_ok(fs_fallocate(fs, ino, 0, 200000, 50000));
    if (below(5) == 0)
        ck_ok(fs_setxattr(fs, &root, ino, "user.a", slice_str("some value"), 0));
    g->file[g->files++] = ino;
}

static void grow_name(struct fs *fs, struct grown *g)
{
    static const struct fs_cred cred;
    uint64_t dir = g->dir[below(g->dirs)];
    struct fs_attr a;
    char name[16];
    int rc;

    snprintf(name, sizeof(name), "%c%u", 'a' + (char)below(26), below(NAMES));
    switch (below(10)) {
    case 0:
    case 1:
        rc = g->dirs < 64 ? fs_mkdir(fs, &cred, dir, name, 0755, &a) : -EEXIST;
        if (!rc)
            g->dir[g->dirs++] = a.st.st_ino;
        break;
    case 2:
        rc = g->files ? fs_link(fs, g->file[below(g->files)], dir, name, &a) : -EEXIST;
        break;
    case 3:
        rc = fs_symlink(fs, &cred, dir, name, "to/nowhere", &a);
        break;
    default:
        rc = fs_mknod(fs, &cred, dir, name, below(9) ? S_IFREG | 0644 : S_IFIFO | 0600, 0,
                      &a);
        if (!rc && S_ISREG(a.st.st_mode) && g->files < 256)
            grow_file(fs, g, a.st.st_ino);
    }
    ck_assert(rc == 0 || rc == -EEXIST || rc == -ENOSPC);
}

/* Unlink or rename, if there happens to be such a name. */
static void churn(struct fs *fs, struct grown *g)
{
    uint64_t dir = g->dir[below(g->dirs)], to = g->dir[below(g->dirs)];
    char name[16], other[16];
    int rc;

    snprintf(name, sizeof(name), "%c%u", 'a' + (char)below(26), below(NAMES));
    snprintf(other, sizeof(other), "%c%u", 'a' + (char)below(26), below(NAMES));
    rc = below(2) ? fs_unlink(fs, dir, name)
                  : fs_rename(fs, &(struct fs_cred){0}, dir, name, to, other, 0);
    ck_assert(!rc || rc == -ENOENT || rc == -EISDIR || rc == -ENOTDIR || rc == -EINVAL ||
              rc == -ENOTEMPTY || rc == -ENOSPC);
}

/* Hard links and directories of a tree that was made at random, at rest. */
static void grow(struct tree *t, uint64_t seed)
{
    struct grown g = {.dir = {FS_ROOT}, .dirs = 1};
    struct fs_options o;
    struct fs *fs;
    unsigned i;

    memset(t, 0, sizeof(*t));
    t->env = env_mem_new(seed);
    t->db = tree_open(t->env);
    ck_ok(fs_format(t->db, 0, 0, 0755, &limits));
    fs_options_init(&o);
    o.writeback_ms = 0;
    ck_ok(fs_mount(t->db, &o, &fs));
    for (i = 0; i < OPS; i++)
        grow_name(fs, &g);
    for (i = 0; i < 3 * OPS; i++)
        churn(fs, &g);
    ck_ok(fs_unmount(fs));
    tree_dump(t, &t->was);
}

/* ---- damage ---- */

/* What was harmed of an inode. */
enum {
    HARMED_FACTS = 1, /* its record, or what lies under its number */
    HARMED_NAME = 2,  /* one of its entries */
};

static uint8_t harmed[NUMBERS];
static struct buf keys[KEYS_MAX];
static unsigned n_keys;

static void list_keys(struct lsm *db)
{
    struct lsm_iter_options o = {0};
    struct lsm_iter *it;

    n_keys = 0;
    ck_ok(lsm_iter_new(db, &o, &it));
    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
        ck_assert_uint_lt(n_keys, KEYS_MAX);
        buf_assign(&keys[n_keys++], lsm_iter_key(it));
    }
    ck_ok(lsm_iter_error(it));
    lsm_iter_free(it);
}

static void note_harm(struct slice key, struct slice value)
{
    struct dentry d;
    uint64_t ino;

    if (!strchr("DEIOUX", key.data[0]))
        return;
    ino = load_be64(key.data + 1);
    if (key.data[0] != 'D') {
        harmed[ino] |= HARMED_FACTS;
    } else if (!dentry_decode(value, &d)) {
        harmed[d.ino] |= HARMED_NAME | (d.embedded ? HARMED_FACTS : 0);
    }
}

static void garble(struct buf *value, bool wild)
{
    size_t i;

    if (wild && value->len) {
        value->data[below((unsigned)value->len)] ^= (uint8_t)(1 << below(8));
        return;
    }
    if (below(2)) {
        value->len = below((unsigned)value->len + 1);
        return;
    }
    for (i = 0; i < value->len; i++)
        value->data[i] = (uint8_t)below(256);
}

static void harm_one(struct tree *t, bool wild)
{
    struct slice key = buf_slice(&keys[below(n_keys)]);
    struct slice other = buf_slice(&keys[below(n_keys)]);
    struct lsm_value v = {0};
    struct buf value = {0};

    if (wild && slice_eq(key, key_super()))
        return; /* it could become one of a later version, which is refused */
    if (lsm_get(t->db, NULL, key, &v) == -ENOENT)
        return; /* harmed before */
    note_harm(key, v.value);
    buf_assign(&value, v.value);
    if (wild && below(3) == 0 && other.data[0] == key.data[0] &&
        lsm_get(t->db, NULL, other, &v) == 0)
        buf_assign(&value, v.value);
    else
        garble(&value, wild);
    if (below(2))
        ck_ok(lsm_delete(t->db, key));
    else
        ck_ok(lsm_put(t->db, key, buf_slice(&value)));
    buf_release(&value);
    lsm_value_release(&v);
}

static void harm_some(struct tree *t, bool wild)
{
    unsigned n = 1 + below(HARM_MAX);

    memset(harmed, 0, sizeof(harmed));
    list_keys(t->db);
    while (n--)
        harm_one(t, wild);
    ck_ok(lsm_sync(t->db));
}

/* ---- the repair ---- */

static int repair(struct lsm *db, struct fs_repair_result *result)
{
    static const struct fs_repair_options o;

    return fs_repair(db, &o, NULL, NULL, result);
}

/* Cut off after a random number of calls to the disk; then whatever a power cut leaves.
 */
static void repair_cut_off(struct tree *t, uint64_t calls)
{
    struct env *env = env_mem_crash_clone(t->env, 1, ENV_MEM_KEEP_ALL), *after;
    struct fs_repair_result result;
    struct lsm *db = tree_open(env);

    env_mem_stop_at(env, below((unsigned)calls + 1));
    (void)repair(db, &result); /* it fails, or has just come to its end */
    after = env_mem_crash_clone(env, test_random(&rnd), ENV_MEM_KEEP_RANDOM);
    (void)lsm_close(db);
    env_mem_free(env);
    ck_ok(lsm_close(t->db));
    env_mem_free(t->env);
    t->env = after;
    t->db = tree_open(after);
}

static uint64_t calls_of_repair(struct tree *t)
{
    struct env *env = env_mem_crash_clone(t->env, 1, ENV_MEM_KEEP_ALL);
    struct lsm *db = tree_open(env);
    uint64_t before = env_mem_calls(env), n;
    struct fs_repair_result result;

    ck_ok(repair(db, &result));
    n = env_mem_calls(env) - before;
    ck_ok(lsm_close(db));
    env_mem_free(env);
    return n;
}

/* ---- damage below ---- */

struct files {
    char name[200][64];
    unsigned n;
};

static int note_file(void *arg, const char *name)
{
    struct files *f = arg;

    if (f->n < 200 && strcmp(name, "LOCK") != 0)
        snprintf(f->name[f->n++], 64, "/store/%.50s", name);
    return 0;
}

/* Bytes of the store's files, and sometimes a file. */
static void harm_files(struct env *env)
{
    static struct files f;
    unsigned n = 1 + below(6);
    uint64_t size;

    f.n = 0;
    ck_ok(env_list(env, "/store", note_file, &f));
    while (n--) {
        const char *name = f.name[below(f.n)];

        if (below(8) == 0)
            (void)env_unlink(env, name); /* it may be gone already */
        else if (env_stat(env, name, &size) == 0 && size)
            (void)env_mem_flip(env, name, below((unsigned)size),
                               (uint8_t)(1 << below(8)));
    }
}

/* As siltfs fsck does it: the store first, if it must be. False: nothing is left that
 * could be called a filesystem. */
static bool repair_all(struct tree *t, struct fs_repair_result *result)
{
    int rc = tree_try_open(t->env, &t->db);

    if (!rc) {
        rc = repair(t->db, result);
        if (rc)
            (void)lsm_close(t->db);
    }
    if (rc == -EUCLEAN || rc == -ENOENT) {
        ck_ok(tree_lsm_repair(t->env));
        t->db = tree_open(t->env);
        rc = repair(t->db, result);
        if (rc)
            ck_ok(lsm_close(t->db));
    }
    ck_assert_msg(!rc || rc == -ENODATA, "%s", strerror(-rc));
    return !rc;
}

/* ---- what must hold ---- */

/* Were the names on the way to it spared, and those of the directories it is in? */
static bool way_spared(const struct dump *was, const struct dump_line *l)
{
    char path[1024], *slash;

    snprintf(path, sizeof(path), "%s", l->path);
    for (;;) {
        const struct dump_line *up = dump_find(was, path);

        if (!up || harmed[up->ino] & HARMED_NAME)
            return false;
        slash = strrchr(path, '/');
        if (!slash || slash == path)
            return true;
        *slash = '\0';
    }
}

static void ck_spared(const struct dump *was, const struct dump *is)
{
    size_t i;

    for (i = 0; i < was->n; i++) {
        const struct dump_line *w = &was->line[i], *l = dump_find_ino(is, w->ino);

        if (harmed[w->ino] & HARMED_FACTS)
            continue;
        ck_assert_msg(l, "%s (inode %llu) is gone", w->path, (unsigned long long)w->ino);
        ck_assert_msg(strcmp(l->facts, w->facts) == 0, "%s was %s, is now %s: %s",
                      w->path, w->facts, l->path, l->facts);
        if (!way_spared(was, w))
            continue;
        l = dump_find(is, w->path);
        ck_assert_msg(l && l->ino == w->ino, "%s is somewhere else", w->path);
        ck_assert(l->is_dir || l->nlink == w->nlink);
    }
}

static void ck_usable(struct tree *t)
{
    static const struct fs_cred cred;
    struct fs_options o;
    struct fs_attr a;
    struct fs *fs;
    uint64_t n;
    unsigned i;

    fs_options_init(&o);
    o.writeback_ms = 0;
    ck_ok(fs_mount(t->db, &o, &fs));
    for (i = 0; i < 20; i++) {
        char name[16];

        snprintf(name, sizeof(name), "new%u", i);
        ck_ok(fs_mknod(fs, &cred, FS_ROOT, name, S_IFREG | 0644, 0, &a));
        ck_ok(fs_write(fs, a.st.st_ino, 0, slice_str("new"), false));
    }
    ck_ok(fs_unmount(fs));
    ck_ok(fs_check(t->db, rig_line, NULL, &n));
    ck_assert_uint_eq(n, 0);
}

static void ck_repaired(struct tree *t, const struct fs_repair_result *result,
                        bool spared)
{
    struct dump is;
    uint64_t n;

    ck_assert_uint_eq(result->left, 0);
    ck_ok(fs_check(t->db, rig_line, NULL, &n));
    ck_assert_uint_eq(n, 0);
    tree_dump(t, &is);
    if (spared)
        ck_spared(&t->was, &is);
    ck_usable(t);
    dump_release(&is);
}

enum mode {
    PLAIN, /* records are lost or nonsense */
    WILD,  /* records mean something else */
    BELOW, /* bytes of the store's files are others */
    MODES,
};

static void one_round(uint64_t seed, enum mode mode)
{
    struct fs_repair_result result;
    struct tree t;
    bool any = true;

    rnd = seed;
    name_hash_mask = below(4) ? UINT64_MAX : 0x1f;
    grow(&t, seed);
    if (mode == BELOW) {
        ck_ok(lsm_close(t.db));
        harm_files(t.env);
        any = repair_all(&t, &result);
    } else {
        harm_some(&t, mode == WILD);
        if (below(2))
            repair_cut_off(&t, calls_of_repair(&t));
        ck_ok(repair(t.db, &result));
    }
    if (any) {
        ck_repaired(&t, &result, mode == PLAIN);
        ck_ok(lsm_close(t.db));
    }
    dump_release(&t.was);
    env_mem_free(t.env);
}

START_TEST(what_damage_spared_is_there_after_a_repair)
{
    static const char *const names[] = {"plain", "wild", "below"};
    struct soak s;

    test_log_capture();
    for (soak_begin_for(&s, SOAK_SANITIZED ? 1 : 3); soak_on(&s); s.operations += OPS) {
        enum mode mode = (soak_seed(&s) >> 7) % MODES;

        soak_tell(&s, "%s damage", names[mode]);
        one_round(soak_seed(&s), mode);
    }
    soak_end(&s);
}
END_TEST

TEST_MAIN("fs_repair_random", TEST_CASE_SOAK(what_damage_spared_is_there_after_a_repair))
