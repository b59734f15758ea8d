/*
 * test_env.c - lsm/env.h: what every env does (run for env_posix and for
 * env_mem), and what only env_posix does. What only env_mem does: test_env_mem.c.
 */
#include "env_mem.h"
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- both envs ---- */

struct place {
    struct env *env;
    char dir[80];
};

static const char *path_in(const struct place *p, const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *to = path[next++ % 8];

    snprintf(to, sizeof(path[0]), "%s/%s", p->dir, name);
    return to;
}

static void on_posix(void (*fact)(const struct place *))
{
    struct place p = {.env = env_for(test_dir())};

    snprintf(p.dir, sizeof(p.dir), "%s/d", test_dir());
    ck_ok(env_mkdir(p.env, p.dir));
    fact(&p);
}

static void on_mem(void (*fact)(const struct place *))
{
    struct place p = {.env = env_mem_new(test_seed()), .dir = "/d"};

    ck_ok(env_mkdir(p.env, p.dir));
    fact(&p);
    env_mem_free(p.env);
}

/* Defines the fact's two tests; its body follows. */
#define FACT(name)                                                                       \
    static void name(const struct place *p);                                             \
    START_TEST(posix_##name)                                                             \
    {                                                                                    \
        on_posix(name);                                                                  \
    }                                                                                    \
    END_TEST                                                                             \
    START_TEST(mem_##name)                                                               \
    {                                                                                    \
        on_mem(name);                                                                    \
    }                                                                                    \
    END_TEST                                                                             \
    static void name(const struct place *p)

static struct env_file *open_file(const struct place *p, const char *name,
                                  enum env_mode mode, uint64_t preallocate)
{
    struct env_file *f;

    ck_ok(env_open(p->env, path_in(p, name), mode, preallocate, &f));
    return f;
}

static void append(struct env_file *f, const void *data, size_t len)
{
    struct slice part = slice_of(data, len);

    ck_ok(env_file_append(f, &part, 1));
}

static void append_str(struct env_file *f, const char *text)
{
    append(f, text, strlen(text));
}

static void check_content(struct env_file *f, uint64_t off, const void *want, size_t len)
{
    uint8_t *got = malloc(len + 1);
    size_t n;

    ck_ok(env_file_pread(f, off, got, len, &n));
    ck_assert_uint_eq(n, len);
    ck_assert(memcmp(got, want, len) == 0);
    free(got);
}

static uint64_t file_size(struct env_file *f)
{
    uint64_t size;

    ck_ok(env_file_size(f, &size));
    return size;
}

static void make_file(const struct place *p, const char *name, const char *text)
{
    struct env_file *f = open_file(p, name, ENV_CREATE, 0);

    append_str(f, text);
    ck_ok(env_file_close(f));
}

static void check_file(const struct place *p, const char *name, const char *text)
{
    struct env_file *f = open_file(p, name, ENV_READ, 0);

    ck_assert_uint_eq(file_size(f), strlen(text));
    check_content(f, 0, text, strlen(text));
    ck_ok(env_file_close(f));
}

FACT(appended_parts_are_read_back)
{
    struct slice parts[] = {slice_str("one"), slice_of(NULL, 0), slice_str("three")};
    struct env_file *f = open_file(p, "f", ENV_CREATE, 0);
    char got[16];
    size_t n;

    ck_ok(env_file_append(f, parts, 3));
    ck_ok(env_file_append(f, NULL, 0));
    append_str(f, "!");
    check_content(f, 0, "onethree!", 9);
    check_content(f, 2, "eth", 3);
    ck_ok(env_file_pread(f, 5, got, sizeof(got), &n));
    ck_assert_uint_eq(n, 4);
    ck_ok(env_file_pread(f, 9, got, sizeof(got), &n));
    ck_assert_uint_eq(n, 0);
    ck_ok(env_file_pread(f, 1000, got, sizeof(got), &n));
    ck_assert_uint_eq(n, 0);
    ck_ok(env_file_sync(f));
    ck_ok(env_file_close(f));
    check_file(p, "f", "onethree!");
    ck_ok(env_file_close(NULL));
}

FACT(many_parts_are_one_append)
{
    enum { N = 3000 };
    struct env_file *f = open_file(p, "f", ENV_CREATE, 0);
    struct slice *parts = malloc(N * sizeof(*parts));
    uint8_t data[N];
    unsigned i;

    for (i = 0; i < N; i++) {
        data[i] = (uint8_t)(i * 7);
        parts[i] = slice_of(data + i, 1);
    }
    ck_ok(env_file_append(f, parts, N));
    check_content(f, 0, data, N);
    ck_assert_uint_eq(file_size(f), N);
    ck_ok(env_file_close(f));
    free(parts);
}

FACT(open_says_what_is_wrong)
{
    struct env_file *f;

    make_file(p, "f", "x");
    ck_err(env_open(p->env, path_in(p, "f"), ENV_CREATE, 0, &f), EEXIST);
    ck_err(env_open(p->env, path_in(p, "g"), ENV_READ, 0, &f), ENOENT);
    ck_err(env_open(p->env, path_in(p, "g"), ENV_REUSE, 0, &f), ENOENT);
    ck_err(env_open(p->env, path_in(p, "no/f"), ENV_CREATE, 0, &f), ENOENT);
    check_file(p, "f", "x");
}

/* More than the window that env_posix maps, in parts of all sizes. */
FACT(preallocated_file_is_appended_within_and_beyond)
{
    enum { ALLOCATED = 9 << 20 | 1000, TOTAL = 10 << 20 };
    struct env_file *f = open_file(p, "f", ENV_CREATE, ALLOCATED);
    uint64_t rng = test_seed();
    uint8_t *data = calloc(1, TOTAL), zeros[100] = {0};
    size_t done = 0, i;

    for (i = 0; i < TOTAL; i++)
        data[i] = (uint8_t)test_random(&rng);
    ck_assert_uint_eq(file_size(f), ALLOCATED);
    check_content(f, ALLOCATED - 100, zeros, 100);
    while (done < TOTAL) {
        size_t n = (size_t)test_below(&rng, test_below(&rng, 2) ? 300 : 100000);

        if (n > TOTAL - done)
            n = TOTAL - done;
        append(f, data + done, n);
        done += n;
        if (done + 100 < ALLOCATED)
            check_content(f, done, zeros, 100);
    }
    check_content(f, 0, data, TOTAL);
    ck_ok(env_file_sync(f));
    ck_assert_uint_ge(file_size(f), TOTAL); /* the rest is preallocated */
    ck_ok(env_file_truncate(f, TOTAL));
    ck_ok(env_file_close(f));
    f = open_file(p, "f", ENV_READ, 0);
    ck_assert_uint_eq(file_size(f), TOTAL);
    check_content(f, 0, data, TOTAL);
    ck_ok(env_file_close(f));
    free(data);
}

/* By turns often synced and not, in a new file and over an old one. */
FACT(often_synced_file_has_what_was_appended)
{
    enum { ALLOCATED = 1 << 20, TOTAL = 3 << 20 };
    uint8_t *data = calloc(1, TOTAL);
    uint64_t rng = test_seed();
    size_t i, n, done;
    int life;

    for (life = 0; life < 2; life++) {
        struct env_file *f = open_file(p, "f", life ? ENV_REUSE : ENV_CREATE, ALLOCATED);

        for (i = 0; i < TOTAL; i++)
            data[i] = (uint8_t)test_random(&rng);
        for (done = 0; done < TOTAL; done += n) {
            n = 1 + (size_t)test_below(&rng, test_below(&rng, 4) ? 5000 : 300000);
            n = n > TOTAL - done ? TOTAL - done : n;
            if (test_below(&rng, 8) == 0)
                env_file_often_synced(f, test_below(&rng, 4) > 0);
            append(f, data + done, n);
        }
        check_content(f, 0, data, TOTAL);
        ck_ok(env_file_sync(f));
        ck_ok(env_file_truncate(f, TOTAL));
        ck_ok(env_file_close(f));
        f = open_file(p, "f", ENV_READ, 0);
        ck_assert_uint_eq(file_size(f), TOTAL);
        check_content(f, 0, data, TOTAL);
        ck_ok(env_file_close(f));
    }
    free(data);
}

/* Small and large pieces by turns; what lies behind them reads as zeros until it is cut.
 */
FACT(file_in_small_pieces_has_what_was_appended)
{
    enum { TOTAL = 2 << 20 };
    uint8_t *data = calloc(1, TOTAL);
    struct env_file *f = open_file(p, "f", ENV_CREATE, 0);
    bool longer = env_file_in_small_pieces(f);
    uint64_t rng = test_seed(), size;
    size_t i, n, done;

    for (i = 0; i < TOTAL; i++)
        data[i] = (uint8_t)test_random(&rng);
    for (done = 0; done < TOTAL; done += n) {
        n = 1 + (size_t)test_below(&rng, test_below(&rng, 16) ? 5000 : 150000);
        n = n > TOTAL - done ? TOTAL - done : n;
        append(f, data + done, n);
        if (test_below(&rng, 32) == 0)
            ck_ok(env_file_sync(f));
        size = file_size(f);
        ck_assert_uint_ge(size, done + n);
        ck_assert(longer || size == done + n);
    }
    check_content(f, 0, data, TOTAL);
    while (file_size(f) == TOTAL && longer) { /* until zeros were written ahead again */
        append(f, data, 1);
        check_content(f, TOTAL, data, 1);
    }
    for (size = file_size(f), i = TOTAL + 1; longer && i < size; i++)
        check_content(f, i, "", 1);
    ck_ok(env_file_truncate(f, TOTAL));
    append_str(f, "end");
    ck_ok(env_file_close(f));
    f = open_file(p, "f", ENV_READ, 0);
    ck_assert_uint_eq(file_size(f), TOTAL + 3);
    check_content(f, 0, data, TOTAL);
    check_content(f, TOTAL, "end", 3);
    ck_ok(env_file_close(f));
    free(data);
}

FACT(reused_file_keeps_old_bytes_until_overwritten)
{
    struct env_file *f;

    make_file(p, "f", "old old old");
    f = open_file(p, "f", ENV_REUSE, 0);
    append_str(f, "new");
    check_content(f, 0, "new old old", 11);
    ck_ok(env_file_close(f));
    f = open_file(p, "f", ENV_REUSE, 100000);
    ck_assert_uint_eq(file_size(f), 100000);
    append_str(f, "NE");
    append_str(f, "WER");
    check_content(f, 0, "NEWERld old\0", 12);
    ck_ok(env_file_sync(f));
    ck_ok(env_file_close(f));
    f = open_file(p, "f", ENV_REUSE, 10);
    ck_assert_uint_eq(file_size(f), 100000);
    ck_ok(env_file_close(f));
}

FACT(truncate_cuts_extends_and_moves_the_position)
{
    struct env_file *f = open_file(p, "f", ENV_CREATE, 1 << 20);

    append_str(f, "0123456789");
    ck_ok(env_file_truncate(f, 10));
    ck_assert_uint_eq(file_size(f), 10);
    ck_ok(env_file_truncate(f, 4));
    append_str(f, "abc");
    check_content(f, 0, "0123abc", 7);
    ck_assert_uint_eq(file_size(f), 7);
    ck_ok(env_file_truncate(f, 9));
    check_content(f, 0, "0123abc\0\0", 9);
    append_str(f, "d"); /* the position is where it was */
    check_content(f, 0, "0123abcd\0", 9);
    ck_ok(env_file_close(f));
}

FACT(names_are_renamed_linked_and_removed)
{
    uint64_t size;

    make_file(p, "a", "aa");
    make_file(p, "b", "b");
    ck_ok(env_rename(p->env, path_in(p, "a"), path_in(p, "b")));
    check_file(p, "b", "aa");
    ck_err(env_stat(p->env, path_in(p, "a"), &size), ENOENT);
    ck_err(env_rename(p->env, path_in(p, "a"), path_in(p, "c")), ENOENT);
    ck_ok(env_link(p->env, path_in(p, "b"), path_in(p, "c")));
    ck_err(env_link(p->env, path_in(p, "b"), path_in(p, "c")), EEXIST);
    ck_ok(env_unlink(p->env, path_in(p, "b")));
    ck_err(env_unlink(p->env, path_in(p, "b")), ENOENT);
    ck_ok(env_stat(p->env, path_in(p, "c"), &size));
    ck_assert_uint_eq(size, 2);
    ck_err(env_mkdir(p->env, p->dir), EEXIST);
    ck_err(env_stat(p->env, p->dir, &size), ENOENT);
    ck_ok(env_sync_dir(p->env, p->dir));
    ck_err(env_sync_dir(p->env, path_in(p, "no")), ENOENT);
}

FACT(directory_is_renamed_with_what_is_in_it)
{
    ck_ok(env_mkdir(p->env, path_in(p, "x.tmp")));
    make_file(p, "x.tmp/f", "in it");
    ck_ok(env_sync_dir(p->env, path_in(p, "x.tmp")));
    ck_ok(env_rename(p->env, path_in(p, "x.tmp"), path_in(p, "x")));
    ck_ok(env_sync_dir(p->env, p->dir));
    check_file(p, "x/f", "in it");
}

FACT(open_file_outlives_its_name)
{
    struct env_file *f = open_file(p, "f", ENV_CREATE, 0);

    append_str(f, "still here");
    ck_ok(env_unlink(p->env, path_in(p, "f")));
    check_content(f, 0, "still here", 10);
    ck_ok(env_file_close(f));
}

struct listing {
    unsigned n, stop_after;
    unsigned seen; /* one bit for each of "a" to "z" */
};

static int note_name(void *arg, const char *name)
{
    struct listing *l = arg;

    ck_assert_uint_eq(strlen(name), 1);
    l->seen |= 1u << (name[0] - 'a');
    return ++l->n == l->stop_after ? 77 : 0;
}

FACT(list_gives_every_name_until_told_to_stop)
{
    struct listing all = {0}, some = {.stop_after = 2};

    make_file(p, "a", "");
    make_file(p, "c", "");
    make_file(p, "e", "");
    ck_ok(env_mkdir(p->env, path_in(p, "z")));
    ck_ok(env_list(p->env, p->dir, note_name, &all));
    ck_assert_uint_eq(all.n, 4);
    ck_assert_uint_eq(all.seen, 1u << 0 | 1u << 2 | 1u << 4 | 1u << 25);
    ck_assert_int_eq(env_list(p->env, p->dir, note_name, &some), 77);
    ck_assert_uint_eq(some.n, 2);
    ck_err(env_list(p->env, path_in(p, "no"), note_name, &all), ENOENT);
}

FACT(lock_is_held_by_one)
{
    struct env_lock *a, *b;

    ck_ok(env_lock(p->env, path_in(p, "LOCK"), false, &a));
    ck_err(env_lock(p->env, path_in(p, "LOCK"), false, &b), EWOULDBLOCK);
    ck_ok(env_lock(p->env, path_in(p, "LOCK2"), false, &b));
    env_unlock(p->env, a);
    ck_ok(env_lock(p->env, path_in(p, "LOCK"), false, &a));
    env_unlock(p->env, a);
    env_unlock(p->env, b);
    env_unlock(p->env, NULL);
}

FACT(clock_goes_on_and_sleep_moves_it)
{
    uint64_t before = env_now_ns(p->env), total, avail;

    env_sleep_ns(p->env, 2000000);
    ck_assert_uint_ge(env_now_ns(p->env), before + 2000000);
    ck_ok(env_space(p->env, p->dir, &total, &avail));
    ck_assert_uint_gt(total, 0);
    ck_assert_uint_le(avail, total);
}

static unsigned blocks;
static enum env_wait block;

static void note_block(enum env_wait what)
{
    blocks++;
    block = what;
}

FACT(hook_is_called_before_a_sync)
{
    struct env_file *f = open_file(p, "f", ENV_CREATE, 0);

    env_set_block_hook(note_block);
    ck_ok(env_file_sync(f));
    ck_assert_uint_eq(blocks, 1);
    ck_assert_int_eq(block, ENV_WAIT_ANY);
    ck_ok(env_sync_dir(p->env, p->dir));
    ck_assert_uint_eq(blocks, 2);
    ck_assert_int_eq(block, ENV_WAIT_ANY);
    env_file_often_synced(f, true);
    ck_ok(env_file_sync(f));
    ck_assert_uint_eq(blocks, 3);
    ck_assert_int_eq(block, f->ops->often_synced ? ENV_WAIT_BRIEF : ENV_WAIT_ANY);
    env_set_block_hook(NULL);
    ck_ok(env_file_sync(f));
    ck_assert_uint_eq(blocks, 3);
    ck_ok(env_file_close(f));
}

/* One writes, one syncs, one reads what the first has told to be there. */
struct shared {
    struct env_file *f;
    uint64_t written;
    bool stop;
};

static void *sync_loop(void *arg)
{
    struct shared *s = arg;

    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
        if (env_file_sync(s->f))
            abort();
    return NULL;
}

static void *read_loop(void *arg)
{
    struct shared *s = arg;
    uint64_t rng = 99;

    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        uint64_t n = __atomic_load_n(&s->written, __ATOMIC_ACQUIRE);
        uint64_t at = test_below(&rng, n);
        uint8_t byte;
        size_t got;

        if (n == 0)
            continue;
        if (env_file_pread(s->f, at, &byte, 1, &got) || got != 1 ||
            byte != (uint8_t)(at / 100))
            abort();
    }
    return NULL;
}

FACT(reads_and_syncs_run_beside_appends)
{
    struct shared s = {.f = open_file(p, "f", ENV_CREATE, 5 << 20)};
    pthread_t reader, syncer;
    unsigned i;

    pthread_create(&reader, NULL, read_loop, &s);
    pthread_create(&syncer, NULL, sync_loop, &s);
    for (i = 0; i < 30000; i++) {
        uint8_t bytes[100];

        memset(bytes, (int)(uint8_t)i, sizeof(bytes));
        append(s.f, bytes, sizeof(bytes));
        __atomic_store_n(&s.written, (i + 1) * sizeof(bytes), __ATOMIC_RELEASE);
    }
    __atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
    pthread_join(reader, NULL);
    pthread_join(syncer, NULL);
    ck_ok(env_file_close(s.f));
}

/* ---- reading in order: an env may fetch ahead of it ---- */

enum { ORDERED = 9 << 20 };

struct in_order {
    struct env_file *f;
    const uint8_t *want;
    uint64_t from, upto;
    size_t piece;
};

static void *read_in_order(void *arg)
{
    const struct in_order *o = arg;
    uint8_t *back = malloc(o->piece);
    uint64_t at;
    size_t got;

    for (at = o->from; at < o->upto; at += got) {
        size_t len = o->upto - at < o->piece ? (size_t)(o->upto - at) : o->piece;

        if (!back || env_file_pread(o->f, at, back, len, &got) || got != len ||
            memcmp(back, o->want + at, len) != 0)
            abort();
    }
    free(back);
    return NULL;
}

static void read_by_two(struct in_order a, struct in_order b)
{
    pthread_t t;

    ck_assert_int_eq(pthread_create(&t, NULL, read_in_order, &a), 0);
    read_in_order(&b);
    pthread_join(t, NULL);
}

FACT(what_is_read_in_order_is_what_is_there)
{
    uint8_t *data = malloc(ORDERED);
    uint64_t rng = test_seed(), i, cut = (3 << 20) + 1;
    struct in_order o = {.want = data, .piece = 64 << 10, .upto = 6 << 20}, all;

    ck_assert_ptr_nonnull(data);
    for (i = 0; i < ORDERED; i++)
        data[i] = (uint8_t)test_random(&rng);
    o.f = open_file(p, "f", ENV_CREATE, 0);
    append(o.f, data, o.upto);
    read_in_order(&o);
    ck_ok(env_file_sync(o.f));
    read_in_order(&o);
    /* What was fetched of what is cut off is not what is there then. */
    ck_ok(env_file_truncate(o.f, cut));
    for (i = cut; i < ORDERED; i++)
        data[i] ^= 1;
    append(o.f, data + cut, ORDERED - cut);
    o.from = 2 << 20;
    o.upto = ORDERED;
    read_in_order(&o);
    ck_ok(env_file_close(o.f));
    o.f = open_file(p, "f", ENV_READ, 0);
    env_file_readahead(o.f, 0, ORDERED + 1);
    all = o;
    all.from = 0;
    all.piece = 130001;
    read_by_two(o, all);
    env_file_forget(o.f, 1 << 20, 2 << 20);
    o.piece = 2 << 20;
    read_by_two(all, o);
    env_file_readahead(o.f, 5 << 20, 4 << 20);
    ck_ok(env_file_close(o.f));
    free(data);
}

/* ---- env_posix ---- */

static void modes_and_symlinks(const struct place *p)
{
    struct env_lock *lock;
    struct env_file *f;
    struct stat st;
    char pid[32] = {0}, want[32];
    int fd;

    umask(0);
    make_file(p, "f", "x");
    ck_assert(stat(path_in(p, "f"), &st) == 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert(stat(p->dir, &st) == 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    ck_assert(symlink("f", path_in(p, "s")) == 0);
    ck_err(env_open(p->env, path_in(p, "s"), ENV_READ, 0, &f), ELOOP);
    ck_err(env_open(p->env, path_in(p, "s"), ENV_REUSE, 0, &f), ELOOP);
    ck_err(env_lock(p->env, path_in(p, "s"), false, &lock), ELOOP);
    ck_assert(symlink("nowhere", path_in(p, "t")) == 0);
    ck_err(env_open(p->env, path_in(p, "t"), ENV_CREATE, 0, &f), EEXIST);
    ck_ok(env_lock(p->env, path_in(p, "LOCK"), false, &lock));
    fd = open(path_in(p, "LOCK"), O_RDONLY);
    ck_assert(read(fd, pid, sizeof(pid) - 1) > 0);
    close(fd);
    snprintf(want, sizeof(want), "%d\n", (int)getpid());
    ck_assert_str_eq(pid, want);
    env_unlock(p->env, lock);
    ck_assert(access(path_in(p, "LOCK"), F_OK) == 0);
}

START_TEST(posix_files_are_private_and_symlinks_not_followed)
{
    on_posix(modes_and_symlinks);
}
END_TEST

/* Limits the size of files, which is as near to a full disk as a test may go. */
static void failed_append(const struct place *p)
{
    struct rlimit limit = {5000, 5000};
    struct env_file *f[] = {open_file(p, "f", ENV_CREATE, 0),
                            open_file(p, "g", ENV_CREATE, 0)};
    static uint8_t data[4000];
    struct slice parts[] = {slice_of(data, 4000), slice_of(data, 4000)};

    signal(SIGXFSZ, SIG_IGN);
    ck_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    (void)env_file_in_small_pieces(f[1]);
    for (int i = 0; i < 2; i++) {
        append_str(f[i], "begin");
        ck_err(env_file_append(f[i], parts, 2), EFBIG);
        append_str(f[i], "end");
        check_content(f[i], 0, "beginend", 8);
        ck_ok(env_file_close(f[i]));
    }
}

START_TEST(posix_failed_append_leaves_the_position)
{
    on_posix(failed_append);
}
END_TEST

static void lose_page_of(const struct place *p, const char *name, uint64_t preallocate)
{
    struct env_file *f = open_file(p, name, ENV_CREATE, preallocate);
    uint8_t *data = malloc(100000);
    uint64_t size;

    if (!preallocate)
        (void)env_file_in_small_pieces(f);
    memset(data, 7, 100000);
    append(f, data, 1000);
    /* As a disk error would: the mapped pages are no more to be had. */
    ck_assert(truncate(path_in(p, name), 1000) == 0);
    for (size_t i = 0; i < 100000; i += 10000)
        append(f, data + i, 10000);
    append_str(f, "end");
    check_content(f, 1000, data, 100000);
    check_content(f, 101000, "end", 3);
    if (!preallocate)
        ck_ok(env_file_truncate(f, 101003));
    ck_ok(env_stat(p->env, path_in(p, name), &size));
    ck_assert_uint_eq(size, 101003);
    ck_ok(env_file_close(f));
    free(data);
}

static void lost_page(const struct place *p)
{
    lose_page_of(p, "f", 1 << 20);
}

static void lost_page_in_small_pieces(const struct place *p)
{
    lose_page_of(p, "f", 0);
}

START_TEST(posix_append_survives_a_mapping_that_faults)
{
    on_posix(lost_page);
}
END_TEST

START_TEST(posix_append_in_small_pieces_survives_it_too)
{
    on_posix(lost_page_in_small_pieces);
}
END_TEST

static void hook_on_cold_read(const struct place *p)
{
    struct env_file *f = open_file(p, "f", ENV_CREATE, 0);
    uint8_t data[4096] = {1}, back[4096];
    size_t got;
    int fd;

    append(f, data, sizeof(data));
    env_set_block_hook(note_block);
    ck_ok(env_file_pread(f, 0, back, sizeof(back), &got));
    ck_assert_uint_eq(blocks, 0);
    ck_ok(env_file_sync(f));
    blocks = 0;
    fd = open(path_in(p, "f"), O_RDONLY);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    ck_ok(env_file_pread(f, 0, back, sizeof(back), &got));
    ck_assert_uint_eq(got, sizeof(back));
    ck_assert(blocks == 0 || block == ENV_WAIT_BRIEF);
    ck_assert_uint_le(blocks, 1); /* 0 where the cache cannot be dropped */
    printf("cold read: hook called %u times\n", blocks);
    env_set_block_hook(NULL);
    ck_ok(env_file_close(f));
}

START_TEST(posix_hook_is_called_for_a_read_not_in_the_cache)
{
    on_posix(hook_on_cold_read);
}
END_TEST

static void get_identity(const struct place *p, const char *name,
                         uint8_t id[ENV_IDENTITY])
{
    struct env_file *f = open_file(p, name, ENV_READ, 0);

    ck_ok(env_file_identity(f, id));
    ck_ok(env_file_close(f));
}

static void identity_of_files(const struct place *p)
{
    uint8_t a[ENV_IDENTITY], b[ENV_IDENTITY];
    struct env_file *f = open_file(p, "f", ENV_CREATE, 0);

    append_str(f, "some");
    ck_err(env_file_identity(f, a), EOPNOTSUPP);
    ck_ok(env_file_close(f));
    get_identity(p, "f", a);
    ck_ok(env_link(p->env, path_in(p, "f"), path_in(p, "g")));
    ck_ok(env_rename(p->env, path_in(p, "f"), path_in(p, "h")));
    get_identity(p, "h", b);
    ck_assert(memcmp(a, b, ENV_IDENTITY) == 0);
    env_sleep_ns(p->env, 20000000); /* as fine as a filesystem's clock is */
    f = open_file(p, "g", ENV_REUSE, 0);
    append_str(f, "ELSE");
    ck_ok(env_file_close(f));
    get_identity(p, "g", b);
    ck_assert(memcmp(a, b, ENV_IDENTITY) != 0);
    make_file(p, "i", "some");
    get_identity(p, "i", a);
    ck_assert(memcmp(a, b, ENV_IDENTITY) != 0);
}

START_TEST(posix_identity_stays_with_links_and_goes_with_a_change)
{
    on_posix(identity_of_files);
}
END_TEST

#define BOTH(name) TEST_CASE(posix_##name), TEST_CASE(mem_##name)

TEST_MAIN("env", BOTH(appended_parts_are_read_back), BOTH(many_parts_are_one_append),
          BOTH(open_says_what_is_wrong),
          BOTH(preallocated_file_is_appended_within_and_beyond),
          BOTH(often_synced_file_has_what_was_appended),
          BOTH(file_in_small_pieces_has_what_was_appended),
          BOTH(reused_file_keeps_old_bytes_until_overwritten),
          BOTH(truncate_cuts_extends_and_moves_the_position),
          BOTH(names_are_renamed_linked_and_removed),
          BOTH(directory_is_renamed_with_what_is_in_it),
          BOTH(open_file_outlives_its_name),
          BOTH(list_gives_every_name_until_told_to_stop), BOTH(lock_is_held_by_one),
          BOTH(clock_goes_on_and_sleep_moves_it), BOTH(hook_is_called_before_a_sync),
          BOTH(reads_and_syncs_run_beside_appends),
          BOTH(what_is_read_in_order_is_what_is_there),
          TEST_CASE(posix_files_are_private_and_symlinks_not_followed),
          TEST_CASE(posix_failed_append_leaves_the_position),
          TEST_CASE(posix_append_survives_a_mapping_that_faults),
          TEST_CASE(posix_append_in_small_pieces_survives_it_too),
          TEST_CASE(posix_hook_is_called_for_a_read_not_in_the_cache),
          TEST_CASE(posix_identity_stays_with_links_and_goes_with_a_change))
