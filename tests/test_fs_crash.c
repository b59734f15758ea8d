/*
 * test_fs_crash.c - the process or the machine dies in the middle of it: what
 * is found at the next mount is the tree of one moment, no earlier than what
 * was promised, and whole. And: what could not be written did not happen.
 *
 * The workload runs on a toy filesystem too, which gives a fingerprint after
 * every operation; the tree found must have one of those. SEED=... repeats.
 */
#include <linux/fs.h>
#include <xxhash.h>

#include "env_mem.h"
#include "fs_model.h"
#include "options_draw.h"
#include "test_fs.h"

enum {
    OPS = 1000,
    NAMES = 5,
    OPEN_MAX = 3,
    FILE_MAX = 60000,
    RUNS = SOAK_SANITIZED ? 40 : 150, /* of one load, each crashing somewhere else */
};

static struct rig rig;
static struct rig *const r = &rig;
static struct env *env;
static struct model model;
static struct model *const m = &model;
static uint64_t rnd;
static struct model_node *opened[OPEN_MAX];
static uint8_t scratch[FILE_MAX];

static unsigned below(unsigned n)
{
    return (unsigned)test_below(&rnd, n);
}

/* ---- the store ---- */

/* 0: the same options each time; else drawn from this seed. */
static uint64_t drawn;

static void open_store(void)
{
    struct lsm_options o;

    if (drawn) {
        options_draw(&o, drawn, DRAW_NO_THREADS);
    } else {
        lsm_options_init(&o);
        o.create = true;
        o.memtable_bytes = 16 * 1024; /* so that flushes and compactions happen */
        o.table_bytes = 16 * 1024;
        o.l1_bytes = 32 * 1024;
        o.segment_bytes = 64 * 1024;
        o.workers = 0; /* deterministic */
        o.sync_interval_ms = 0;
    }
    o.env = env;
    ck_ok(lsm_open("/store", &o, &r->db));
}

static void begin(uint64_t seed)
{
    rnd = seed;
    memset(r, 0, sizeof(*r));
    memset(opened, 0, sizeof(opened));
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    env = env_mem_new(seed);
    open_store();
    ck_ok(fs_format(r->db, 0, 0, 0755, &rig_limits));
    rig_mount(r);
    model_init(m, FS_ROOT);
}

/* ---- fingerprints: a sum over entries, in whatever order ---- */

static uint64_t entry_print(uint64_t dir, const char *name, uint64_t ino, uint32_t mode,
                            unsigned nlink, const void *data, size_t size)
{
    uint64_t part[5] = {dir, ino, mode, nlink, size};
    uint64_t h = XXH3_64bits(part, sizeof(part));

    h = XXH3_64bits_withSeed(name, strlen(name), h);
    return size ? XXH3_64bits_withSeed(data, size, h) : h;
}

static uint64_t model_print(void)
{
    struct model_node *d, *n;
    uint64_t sum = 0;
    size_t i;

    for (d = m->all.next; d != &m->all; d = d->next) {
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
    uint64_t dir, sum;
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
    struct dir_list *l = arg;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return FS_TAKEN;
    snprintf(l->found[l->n_found].name, 16, "%.15s", name);
    l->found[l->n_found++].attr = *attr;
    return FS_TAKEN_LOOKUP;
}

static void print_found(struct dir_list *l)
{
    unsigned i;

    for (i = 0; i < l->n_found; i++) {
        struct stat *st = &l->found[i].attr.st;
        size_t n = 0;

        if (S_ISDIR(st->st_mode)) {
            l->todo[l->n_todo++] = st->st_ino;
        } else {
            ck_ok(fs_read(r->fs, st->st_ino, 0, FILE_MAX, scratch, &n));
            ck_assert_uint_eq(n, (size_t)st->st_size);
        }
        l->sum += entry_print(l->dir, l->found[i].name, st->st_ino, st->st_mode,
                              (unsigned)st->st_nlink, scratch, n);
        fs_forget(r->fs, st->st_ino, 1);
    }
}

static uint64_t real_print(void)
{
    static struct dir_list l;

    memset(&l, 0, sizeof(l));
    l.todo[l.n_todo++] = FS_ROOT;
    while (l.n_todo) {
        l.dir = l.todo[--l.n_todo];
        l.n_found = 0;
        ck_ok(fs_readdir(r->fs, l.dir, 0, true, collect, &l));
        print_found(&l);
    }
    return l.sum;
}

/* ---- the workload: each returns what the real one returned ---- */

static const char *any_name(void)
{
    static const char *const names[NAMES] = {"a", "b", "c", "d", "e"};

    return names[below(NAMES)];
}

static struct model_node *any_dir(void)
{
    struct model_node *dirs[16], *n;
    unsigned n_dirs = 0;

    for (n = m->all.next; n != &m->all; n = n->next) {
        if (S_ISDIR(n->mode) && n_dirs < 16)
            dirs[n_dirs++] = n;
    }
    return dirs[below(n_dirs)];
}

static bool died(int rc)
{
    return rc == -EIO || rc == -EROFS || rc == -ENOSPC;
}

static int do_make(void)
{
    struct model_node *dir = any_dir(), *n;
    bool is_dir = below(4) == 0;
    const char *name = any_name();
    uint32_t mode = is_dir ? S_IFDIR | 0755 : S_IFREG | 0644;
    struct fs_attr a;
    int rc;

    if (is_dir)
        rc = fs_mkdir(r->fs, &r->cred, dir->ino, name, 0755, &a);
    else
        rc = fs_mknod(r->fs, &r->cred, dir->ino, name, mode, 0, &a);
    if (rc)
        return rc;
    ck_ok(model_make(m, dir, name, mode, NULL, &n));
    n->ino = a.st.st_ino;
    fs_forget(r->fs, n->ino, 1);
    return 0;
}

static int do_names(void)
{
    struct model_node *dir = any_dir(), *to = any_dir(), *n;
    const char *name = any_name(), *other = any_name();
    unsigned kind = below(4), flags = below(2) ? RENAME_EXCHANGE : 0;
    struct fs_attr a;
    int rc;

    if (kind == 0) {
        rc = fs_unlink(r->fs, dir->ino, name);
        return rc ? rc : model_unlink(m, dir, name);
    }
    if (kind == 1) {
        n = model_lookup(dir, name);
        rc = fs_lookup(r->fs, dir->ino, name, &a);
        if (rc)
            return rc;
        rc = fs_link(r->fs, n->ino, to->ino, other, &a);
        fs_forget(r->fs, n->ino, rc ? 1 : 2);
        return rc ? rc : model_link(n, to, other);
    }
    rc = fs_rename(r->fs, NULL, dir->ino, name, to->ino, other, flags);
    return rc ? rc : model_rename(m, dir, name, to, other, flags);
}

static int change_contents(struct model_node *n)
{
    size_t off = below(2) ? n->size : below(FILE_MAX / 2);
    size_t len = 1 + (below(4) ? below(600) : below(FILE_MAX / 2));
    struct stat st = {.st_size = below((unsigned)n->size + 100)};
    struct fs_attr a;
    int rc;

    if (below(4) == 0) {
        rc = fs_setattr(r->fs, NULL, n->ino, FS_SET_SIZE, &st, &a);
        if (!rc)
            model_truncate(n, (size_t)st.st_size);
        return rc;
    }
    if (off + len > FILE_MAX)
        off = 0;
    memset(scratch, (int)(1 + below(255)), len);
    rc = fs_write(r->fs, n->ino, off, slice_of(scratch, len), false);
    if (!rc)
        model_write(n, off, scratch, len);
    return rc;
}

/* Not part of the print; fs_check tells whether flags and keys are of one moment. */
static int change_attribute(struct model_node *n)
{
    static const char *const names[] = {"trusted.a", "trusted.b", "security.capability"};
    const char *name = names[below(3)];

    if (below(3) == 0)
        return fs_removexattr(r->fs, n->ino, name);
    return fs_setxattr(r->fs, &r->cred, n->ino, name, slice_of(scratch, below(500)), 0);
}

/* Files stay open over unlink now and then, which is to keep a lookup: orphans. */
static int do_file(void)
{
    struct model_node *dir = any_dir(), *n;
    const char *name = any_name();
    unsigned i = below(OPEN_MAX);
    struct fs_attr a;
    int rc;

    if (opened[i] && below(3) == 0) {
        n = opened[i];
        opened[i] = NULL;
        fs_forget(r->fs, n->ino, 1);
        model_close(m, n);
        return 0;
    }
    n = model_lookup(dir, name);
    rc = fs_lookup(r->fs, dir->ino, name, &a);
    if (rc)
        return rc;
    if (below(3) == 0)
        rc = change_attribute(n);
    if (!died(rc) && S_ISREG(n->mode))
        rc = change_contents(n);
    if (!rc && S_ISREG(n->mode) && !opened[i]) {
        model_open(n);
        opened[i] = n;
        return 0;
    }
    fs_forget(r->fs, a.st.st_ino, 1);
    return rc;
}

static int step(void)
{
    unsigned kind = below(10);

    if (kind < 3)
        return do_make();
    return kind < 6 ? do_names() : do_file();
}

struct run {
    uint64_t print[OPS + 2];
    unsigned done;   /* operations that were acknowledged */
    unsigned synced; /* of them, by a successful fs_sync */
};

/* Until the end or until the store takes no more. */
static void work(struct run *w)
{
    memset(w, 0, sizeof(*w));
    w->print[0] = model_print();
    while (w->done < OPS) {
        int rc = step();

        if (died(rc))
            return;
        w->print[++w->done] = model_print();
        if (below(12) == 0) {
            if (fs_sync(r->fs))
                return;
            w->synced = w->done;
        }
    }
}

static void end(void)
{
    (void)fs_unmount(r->fs); /* the store may be dead */
    (void)lsm_close(r->db);
    model_release(m);
}

/* ---- crashes ---- */

/* Does `after` hold what the run had printed at some time from `least` on? */
static bool check_after(struct env *after, const struct run *w, unsigned least)
{
    uint64_t print;
    unsigned i;

    env = after;
    if (drawn)
        drawn++;
    open_store();
    rig_mount(r);
    rig_check(r);
    print = real_print();
    for (i = least; i <= w->done && w->print[i] != print; i++)
        ;
    ck_ok(fs_unmount(r->fs));
    rig_check(r);
    ck_ok(lsm_close(r->db));
    env_mem_free(after);
    return i <= w->done;
}

static void crash_once(uint64_t seed, uint64_t n, enum env_mem_crash mode,
                       const struct run *all)
{
    static struct run w;
    struct env *after, *dead;
    uint64_t options = drawn;
    unsigned least;

    begin(seed);
    env_mem_stop_at(env, n);
    work(&w);
    after = env_mem_crash_clone(env, seed + n, mode);
    dead = env;
    end();
    env_mem_free(dead);
    least = mode == ENV_MEM_KEEP_ALL ? w.done : w.synced;
    /* The operation under way may have happened: a run that went on tells its print. */
    if (w.done < OPS) {
        w.done++;
        w.print[w.done] = all->print[w.done];
    }
    ck_assert_msg(check_after(after, &w, least),
                  "crash at call %llu, mode %d: a tree that never was",
                  (unsigned long long)n, mode);
    drawn = options;
}

/* Returns how many crashes it were. */
static unsigned crash_everywhere(uint64_t seed, enum env_mem_crash mode, unsigned runs)
{
    static struct run all;
    struct lsm_stats stats;
    uint64_t calls, n, step_by, rng = seed;
    unsigned crashes = 0;

    begin(seed);
    calls = env_mem_calls(env);
    work(&all);
    calls = env_mem_calls(env) - calls;
    ck_assert_uint_eq(all.done, OPS);
    ck_assert_uint_eq(real_print(), all.print[OPS]);
    lsm_get_stats(r->db, &stats);
    /* Else the store is too roomy to test much. */
    ck_assert(drawn || stats.flushes > 0);
    end();
    env_mem_free(env);
    step_by = calls / runs + 1;
    for (n = test_below(&rng, step_by); n <= calls; n += step_by, crashes++)
        crash_once(seed, n, mode, &all);
    if (!drawn)
        printf("%llu calls, every %llu; %llu flushes, %llu compactions\n",
               (unsigned long long)calls, (unsigned long long)step_by,
               (unsigned long long)stats.flushes, (unsigned long long)stats.compactions);
    return crashes;
}

START_TEST(after_the_process_dies_all_that_returned_is_there)
{
    test_log_capture();
    crash_everywhere(test_seed(), ENV_MEM_KEEP_ALL, RUNS);
}
END_TEST

START_TEST(after_power_loss_all_that_was_synced_is_there)
{
    test_log_capture();
    crash_everywhere(test_seed(), ENV_MEM_LOSE_UNSYNCED, RUNS);
}
END_TEST

START_TEST(after_power_loss_with_random_remains_too)
{
    test_log_capture();
    crash_everywhere(test_seed(), ENV_MEM_KEEP_RANDOM, RUNS);
}
END_TEST

/* ... whatever the store's options, and others after the crash. */
START_TEST(crashes_under_drawn_options_leave_a_tree_that_was)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_KEEP_ALL, ENV_MEM_LOSE_UNSYNCED,
                                               ENV_MEM_KEEP_RANDOM};
    struct soak s;

    test_log_capture();
    for (soak_begin(&s); soak_on(&s); s.option_sets += 2) {
        char text[OPTIONS_TEXT];
        struct lsm_options o;

        drawn = options_seed(soak_seed(&s), 0) | 1;
        options_draw(&o, drawn, DRAW_NO_THREADS);
        soak_tell(&s, "options: %s", options_text(&o, text));
        s.crashes += crash_everywhere(soak_seed(&s), modes[s.rounds % 3], 12);
        s.operations += OPS;
    }
    soak_end(&s);
}
END_TEST

/* ---- faults ---- */

START_TEST(a_full_disk_refuses_and_forgets_nothing)
{
    uint64_t before, used;
    struct fs_attr a, b;
    static struct run w;
    uint64_t f;
    size_t j;
    int rc, i;

    test_log_capture();
    begin(test_seed());
    work(&w);
    f = rig_file(r, FS_ROOT, "victim");
    for (j = 0; j < sizeof(scratch); j++)
        scratch[j] = (uint8_t)test_random(&rnd); /* nothing to compress */
    used = env_mem_used(env);
    env_mem_set_space(env, used + 200000);
    for (i = 0, rc = 0; i < 1000 && !rc; i++) {
        a = rig_attr(r, f);
        rc = fs_write(r->fs, f, 0, slice_of(scratch, 20000), false);
    }
    ck_assert_int_eq(rc, -ENOSPC);
    b = rig_attr(r, f);
    ck_assert(memcmp(&a, &b, sizeof(a)) == 0); /* as if nobody had tried */
    for (i = 0; i < 20; i++) {
        before = real_print();
        rc = fs_write(r->fs, f, 0, slice_of(scratch, 20000), false);
        if (rc) {
            ck_assert_int_eq(rc, -ENOSPC);
            ck_assert_uint_eq(real_print(), before);
        }
    }
    env_mem_set_space(env, UINT64_MAX);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "victim")); /* and goes on by itself */
    f = rig_file(r, FS_ROOT, "new");
    ck_ok(fs_write(r->fs, f, 0, slice_of(scratch, 20000), false));
    fs_forget(r->fs, f, 1);
    ck_ok(fs_unmount(r->fs));
    rig_check(r);
    ck_ok(lsm_close(r->db));
    model_release(m);
    env_mem_free(env);
}
END_TEST

/* Every write of the workload fails once: the operation fails and did not happen, or it
 * succeeded. What is in memory and in the store still agree. */
START_TEST(a_write_that_fails_did_not_happen)
{
    uint64_t seed = test_seed(), n;

    test_log_capture();
    for (n = 1; n < 120; n += 7) {
        int rc = 0;
        unsigned i;
        uint64_t print;

        begin(seed + n);
        env_mem_fail_at(env, n, ENOSPC, ENV_MEM_APPEND, ENV_MEM_ONCE);
        for (i = 0; i < OPS && !died(rc); i++)
            rc = step();
        env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE); /* if it never came to that */
        print = real_print();
        ck_assert_uint_eq(print, model_print());
        end();
        open_store();
        rig_mount(r);
        ck_assert_uint_eq(real_print(), print);
        ck_ok(fs_unmount(r->fs));
        rig_check(r);
        ck_ok(lsm_close(r->db));
        env_mem_free(env);
    }
}
END_TEST

TEST_MAIN("fs_crash",
          TEST_CASE_SLOW(after_the_process_dies_all_that_returned_is_there, 900),
          TEST_CASE_SLOW(after_power_loss_all_that_was_synced_is_there, 900),
          TEST_CASE_SLOW(after_power_loss_with_random_remains_too, 900),
          TEST_CASE_SOAK(crashes_under_drawn_options_leave_a_tree_that_was),
          TEST_CASE_SLOW(a_full_disk_refuses_and_forgets_nothing, 300),
          TEST_CASE_SLOW(a_write_that_fails_did_not_happen, 300))
