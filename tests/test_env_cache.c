/*
 * test_env_cache.c - lsm/env_cache.h: reads through it give what is in the store,
 * whatever the directory holds and whenever the process ends; what is in it costs no read
 * of the store; it takes no more room than it may.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsm/env_cache_shelf.h"
#include "lsm/hash.h"
#include "tests/env_count.h"
#include "tests/test.h"

enum { MIB = 1 << 20, FILES = 4 };

/* A few files of which copies are in memory, and a cache in front of them. */
struct world {
    struct env_count count;
    struct env *cache;
    struct env_cache_options o;
    char dir[128], store[128], path[FILES][160];
    uint8_t *bytes[FILES];
    size_t size[FILES];
    struct env_file *file[FILES];
    uint64_t rng;
};

static void write_file(struct world *w, unsigned i, size_t size)
{
    FILE *f;
    size_t k;

    free(w->bytes[i]);
    w->bytes[i] = malloc(size + 8);
    w->size[i] = size;
    for (k = 0; k < size; k += 8) {
        uint64_t x = test_random(&w->rng);

        memcpy(w->bytes[i] + k, &x, 8);
    }
    snprintf(w->path[i], sizeof(w->path[i]), "%s/%06u.%s", w->store, i + 7,
             i % 2 ? "vlog" : "sst");
    f = fopen(w->path[i], "w");
    ck_assert(f && fwrite(w->bytes[i], 1, size, f) == size && fclose(f) == 0);
}

static void open_cache(struct world *w)
{
    unsigned i;

    ck_ok(env_cache_open(&w->count.base, &w->o, &w->cache));
    for (i = 0; i < FILES; i++)
        if (w->bytes[i])
            ck_ok(env_open(w->cache, w->path[i], ENV_READ, 0, &w->file[i]));
}

static void close_cache(struct world *w)
{
    unsigned i;

    for (i = 0; i < FILES; i++) {
        ck_ok(env_file_close(w->file[i]));
        w->file[i] = NULL;
    }
    env_cache_close(w->cache);
    w->cache = NULL;
}

static void reopen_cache(struct world *w)
{
    close_cache(w);
    open_cache(w);
}

/* Files of such a size, a cache of so many bytes. */
static void world_init(struct world *w, const size_t size[FILES], uint64_t bytes)
{
    unsigned i;

    *w = (struct world){.rng = test_seed()};
    snprintf(w->dir, sizeof(w->dir), "%s/cache", test_dir());
    snprintf(w->store, sizeof(w->store), "%s/store", test_dir());
    ck_assert(mkdir(w->store, 0700) == 0);
    env_count_init(&w->count, env_posix());
    for (i = 0; i < FILES; i++)
        if (size[i])
            write_file(w, i, size[i]);
    w->o = (struct env_cache_options){
        .dir = w->dir, .store = w->store, .bytes = bytes, .keep_free = 1};
    open_cache(w);
}

static void world_release(struct world *w)
{
    unsigned i;

    if (w->cache)
        close_cache(w);
    for (i = 0; i < FILES; i++)
        free(w->bytes[i]);
}

static const size_t small_files[FILES] = {200000, 65536, 100, 131073};

static void check_read(struct world *w, unsigned i, uint64_t off, size_t len)
{
    size_t got, want = off < w->size[i] ? w->size[i] - (size_t)off : 0;
    uint8_t *back = malloc(len + 1);

    want = len < want ? len : want;
    back[len] = 77;
    ck_ok(env_file_pread(w->file[i], off, back, len, &got));
    ck_assert_uint_eq(got, want);
    ck_assert_msg(memcmp(back, w->bytes[i] + (got ? off : 0), got) == 0,
                  "file %u, %zu bytes at %llu", i, len, (unsigned long long)off);
    ck_assert_uint_eq(back[len], 77);
    free(back);
}

static void read_all(struct world *w)
{
    unsigned i;

    for (i = 0; i < FILES; i++)
        if (w->bytes[i])
            check_read(w, i, 0, w->size[i] + 10);
}

static void read_randomly(struct world *w, unsigned n)
{
    while (n--) {
        unsigned i = (unsigned)test_below(&w->rng, FILES);
        size_t most = test_below(&w->rng, 4) ? 9000 : 400000;

        if (w->bytes[i])
            check_read(w, i, test_below(&w->rng, w->size[i] + 100),
                       (size_t)test_below(&w->rng, most));
    }
}

static struct env_cache_stats stats(const struct world *w)
{
    struct env_cache_stats s;

    ck_assert(env_cache_get_stats(w->cache, &s));
    return s;
}

/* The subdirectory with the files. */
static const char *pool(const struct world *w)
{
    static char path[400];
    DIR *d = opendir(w->dir);
    struct dirent *e;

    path[0] = 0;
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            snprintf(path, sizeof(path), "%s/%s", w->dir, e->d_name);
    if (d)
        closedir(d);
    return path;
}

static const char *shelf(const struct world *w, unsigned i)
{
    static char path[500];

    snprintf(path, sizeof(path), "%s/%06u.blocks", pool(w), i);
    return path;
}

static uint64_t bytes_used(const struct world *w)
{
    DIR *d = opendir(pool(w));
    uint64_t sum = 0;
    struct dirent *e;
    struct stat st;

    ck_assert(d != NULL);
    while ((e = readdir(d)))
        if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    closedir(d);
    return sum;
}

/* ---- what is read ---- */

START_TEST(random_reads_give_what_is_in_the_store)
{
    static const size_t size[FILES] = {3 * MIB, 2 * MIB + 5, 4096, 1};
    struct world w;
    unsigned round;

    /* All of it fits, or a quarter. */
    for (round = 0; round < 6; round++) {
        if (round == 0)
            world_init(&w, size, 16 * MIB);
        w.o.bytes = round < 3 ? 16 * MIB : MIB + MIB / 2;
        reopen_cache(&w);
        read_randomly(&w, 150);
        if (round == 2)
            write_file(&w, 0, size[0]); /* the same name and size */
    }
    ck_assert_uint_gt(stats(&w).hits, 0);
    ck_assert_uint_eq(stats(&w).damaged, 0);
    world_release(&w);
}
END_TEST

START_TEST(what_was_read_once_costs_no_read_of_the_store_after_reopening)
{
    struct world w;

    world_init(&w, small_files, 4 * MIB);
    read_all(&w);
    ck_assert_uint_gt(w.count.preads, 0);
    ck_assert_uint_eq(w.count.bytes, 200000 + 65536 + 100 + 131073);
    reopen_cache(&w);
    w.count.preads = 0;
    read_all(&w);
    read_randomly(&w, 100);
    ck_assert_uint_eq(w.count.preads, 0);
    ck_assert_uint_eq(stats(&w).misses, 0);
    ck_assert_uint_eq(stats(&w).bytes, (4 + 1 + 1 + 3) * SLOT_BYTES);
    world_release(&w);
}
END_TEST

START_TEST(neighbours_that_are_missing_are_one_read_of_the_store)
{
    static const size_t size[FILES] = {2 * MIB};
    struct world w;

    world_init(&w, size, 4 * MIB);
    check_read(&w, 0, 0, MIB);
    ck_assert_uint_eq(w.count.preads, 1);
    check_read(&w, 0, MIB + CACHE_BLOCK + 10, 10);
    ck_assert_uint_eq(w.count.preads, 2);
    check_read(&w, 0, MIB - 100, MIB + 100); /* one block before, 14 after */
    ck_assert_uint_eq(w.count.preads, 4);
    ck_assert_uint_eq(w.count.bytes, 2 * MIB);
    world_release(&w);
}
END_TEST

static void *read_first(void *arg)
{
    struct world *w = arg;

    check_read(w, 0, 1000, 3000);
    check_read(w, 0, 70000, 3000);
    return NULL;
}

START_TEST(a_block_that_many_want_is_fetched_once)
{
    pthread_t t[8];
    struct world w;
    unsigned i;

    world_init(&w, small_files, 4 * MIB);
    w.count.delay_ns = 20000000;
    for (i = 0; i < 8; i++)
        ck_assert(pthread_create(&t[i], NULL, read_first, &w) == 0);
    for (i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
    ck_assert_uint_eq(w.count.preads, 2);
    world_release(&w);
}
END_TEST

static void *read_much(void *arg)
{
    read_randomly(arg, 200);
    return NULL;
}

START_TEST(several_read_while_blocks_come_and_go)
{
    static const size_t size[FILES] = {2 * MIB, 2 * MIB, MIB, 70000};
    struct world w, own[4];
    pthread_t t[4];
    unsigned i;

    world_init(&w, size, MIB + MIB / 4);
    for (i = 0; i < 4; i++) {
        own[i] = w;
        own[i].rng += i;
    }
    for (i = 0; i < 4; i++)
        ck_assert(pthread_create(&t[i], NULL, read_much, &own[i]) == 0);
    for (i = 0; i < 50; i++) {
        env_file_forget(w.file[i % FILES], 0, MIB);
        env_file_readahead(w.file[i % FILES], 10000, MIB);
        usleep(200);
    }
    for (i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    ck_assert_uint_eq(stats(&w).damaged, 0);
    world_release(&w);
}
END_TEST

START_TEST(error_of_the_store_is_passed_on_and_not_kept)
{
    struct world w;
    uint8_t byte;
    size_t got;

    world_init(&w, small_files, 4 * MIB);
    w.count.error = -EIO;
    ck_err(env_file_pread(w.file[0], 5, &byte, 1, &got), EIO);
    w.count.error = 0;
    read_all(&w);
    w.count.error = -EIO;
    read_all(&w);
    world_release(&w);
}
END_TEST

START_TEST(what_is_forgotten_is_read_from_the_store)
{
    struct world w;

    world_init(&w, small_files, 4 * MIB);
    read_all(&w);
    w.count.preads = 0;
    env_file_forget(w.file[0], CACHE_BLOCK, 1);
    check_read(&w, 0, 0, CACHE_BLOCK);
    ck_assert_uint_eq(w.count.preads, 0);
    check_read(&w, 0, CACHE_BLOCK + 5, 1);
    ck_assert_uint_eq(w.count.preads, 1);
    world_release(&w);
}
END_TEST

/* Records of 4 KiB, as a check of the value log reads them. */
START_TEST(who_checks_the_store_reads_each_byte_once_and_leaves_what_is_kept)
{
    uint64_t fetched;
    struct world w;
    unsigned i;

    world_init(&w, small_files, 4 * MIB);
    read_all(&w);
    w.count.preads = 0;
    fetched = stats(&w).fetched_bytes;
    for (i = 0; i < 16; i++) {
        env_file_ask_store(w.file[0], i * 4096, 4096);
        check_read(&w, 0, i * 4096, 100);
        check_read(&w, 0, i * 4096 + 100, 3996);
    }
    ck_assert_uint_eq(w.count.preads, 32);
    ck_assert_uint_eq(stats(&w).fetched_bytes - fetched, 16 * 4096);
    check_read(&w, 0, 0, 15 * 4096); /* not what was asked about last */
    ck_assert_uint_eq(w.count.preads, 32);
    world_release(&w);
}
END_TEST

START_TEST(readahead_asks_the_store_for_what_is_missing_alone)
{
    struct world w;

    world_init(&w, small_files, 4 * MIB);
    env_file_readahead(w.file[0], 0, 100000);
    ck_assert_uint_eq(w.count.readaheads, 1);
    check_read(&w, 0, 0, 100000);
    env_file_readahead(w.file[0], 0, 100000);
    ck_assert_uint_eq(w.count.readaheads, 1);
    env_file_readahead(w.file[0], 100000, 100000);
    ck_assert_uint_eq(w.count.readaheads, 2);
    world_release(&w);
}
END_TEST

static void *read_in_background(void *arg)
{
    struct world *w = arg;

    env_background(w->cache);
    read_all(w);
    return NULL;
}

START_TEST(background_brings_nothing)
{
    struct world w;
    pthread_t t;

    world_init(&w, small_files, 4 * MIB);
    check_read(&w, 0, 0, 10);
    ck_assert(pthread_create(&t, NULL, read_in_background, &w) == 0);
    pthread_join(t, NULL);
    reopen_cache(&w);
    ck_assert_uint_eq(stats(&w).bytes, SLOT_BYTES);
    world_release(&w);
}
END_TEST

/* ---- what is written ---- */

START_TEST(what_is_appended_is_there_to_be_read)
{
    static const size_t none[FILES] = {0};
    struct world w;
    struct slice part[2];
    size_t done = 0, n;

    world_init(&w, none, 4 * MIB);
    write_file(&w, 1, 300000); /* for its bytes */
    ck_assert(unlink(w.path[1]) == 0);
    w.count.knows_created = true;
    ck_ok(env_open(w.cache, w.path[1], ENV_CREATE, 0, &w.file[1]));
    while (done < 300000) {
        n = (size_t)test_below(&w.rng, 90000);
        n = n < 300000 - done ? n : 300000 - done;
        part[0] = slice_of(w.bytes[1] + done, n / 2);
        part[1] = slice_of(w.bytes[1] + done + n / 2, n - n / 2);
        ck_ok(env_file_append(w.file[1], part, 2));
        done += n;
        w.size[1] = done;
        check_read(&w, 1, 0, done);
    }
    w.count.preads = 0;
    check_read(&w, 1, 0, 4 * CACHE_BLOCK);
    ck_assert_uint_eq(w.count.preads, 0);
    reopen_cache(&w);
    w.count.preads = 0;
    check_read(&w, 1, 0, 300000);
    ck_assert_uint_eq(w.count.preads, 0);
    world_release(&w);
}
END_TEST

START_TEST(what_is_cut_off_is_not_read)
{
    static const size_t none[FILES] = {0};
    struct world w;
    struct slice part;

    world_init(&w, none, 4 * MIB);
    write_file(&w, 1, 300000);
    ck_assert(unlink(w.path[1]) == 0);
    w.count.knows_created = true;
    ck_ok(env_open(w.cache, w.path[1], ENV_CREATE, 0, &w.file[1]));
    part = slice_of(w.bytes[1], 200000);
    ck_ok(env_file_append(w.file[1], &part, 1));
    ck_ok(env_file_truncate(w.file[1], 70000));
    memset(w.bytes[1] + 70000, 9, 100000);
    part = slice_of(w.bytes[1] + 70000, 100000);
    ck_ok(env_file_append(w.file[1], &part, 1));
    w.size[1] = 170000;
    check_read(&w, 1, 0, 200000);
    reopen_cache(&w);
    check_read(&w, 1, 0, 200000);
    world_release(&w);
}
END_TEST

/* ---- what the directory may be ---- */

static void flip(const char *path, uint64_t at, uint8_t bit)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    ck_assert(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1);
    byte ^= bit;
    ck_assert(pwrite(fd, &byte, 1, (off_t)at) == 1);
    close(fd);
}

START_TEST(a_flipped_bit_anywhere_is_a_read_of_the_store)
{
    struct world w;
    unsigned i;

    world_init(&w, small_files, 4 * MIB);
    read_all(&w);
    for (i = 0; i < 250; i++) {
        uint64_t at;

        close_cache(&w);
        switch (i % 4) {
        case 0:
            at = test_below(&w.rng, SHELF_HEADER);
            break;
        case 1:
            at = SHELF_HEADER + test_below(&w.rng, 10 * SHELF_ENTRY);
            break;
        default:
            at = SHELF_BASE + test_below(&w.rng, 8 * SLOT_BYTES);
        }
        flip(shelf(&w, 0), at, (uint8_t)(1 << test_below(&w.rng, 8)));
        open_cache(&w);
        w.count.preads = 0;
        read_all(&w);
        ck_assert_uint_le(w.count.preads, i % 4 ? 1 : 4);
    }
    world_release(&w);
}
END_TEST

START_TEST(slots_that_change_places_are_not_believed)
{
    uint8_t a[SLOT_BYTES], b[SLOT_BYTES];
    struct world w;
    int fd;

    world_init(&w, small_files, 4 * MIB);
    read_all(&w);
    close_cache(&w);
    fd = open(shelf(&w, 0), O_RDWR);
    ck_assert(pread(fd, a, SLOT_BYTES, SHELF_BASE) == SLOT_BYTES);
    ck_assert(pread(fd, b, SLOT_BYTES, SHELF_BASE + SLOT_BYTES) == SLOT_BYTES);
    ck_assert(pwrite(fd, b, SLOT_BYTES, SHELF_BASE) == SLOT_BYTES);
    ck_assert(pwrite(fd, a, SLOT_BYTES, SHELF_BASE + SLOT_BYTES) == SLOT_BYTES);
    close(fd);
    open_cache(&w);
    read_all(&w);
    ck_assert_uint_eq(stats(&w).damaged, 2);
    read_all(&w);
    ck_assert_uint_eq(stats(&w).damaged, 2);
    world_release(&w);
}
END_TEST

START_TEST(whatever_stands_in_place_of_a_file_is_replaced)
{
    struct world w;
    char other[200];
    unsigned i;

    world_init(&w, small_files, 4 * MIB);
    snprintf(other, sizeof(other), "%s/other", test_dir());
    for (i = 0; i < 5; i++) {
        const char *path;
        FILE *f;

        read_all(&w);
        close_cache(&w);
        path = shelf(&w, 0);
        if (i == 0) {
            ck_assert(truncate(path, 300000) == 0);
        } else {
            ck_assert(unlink(path) == 0);
            f = fopen(i == 1 ? other : path, "w");
            ck_assert(f && fputs("precious", f) >= 0 && fclose(f) == 0);
        }
        if (i == 1)
            ck_assert(symlink(other, path) == 0);
        if (i == 2)
            ck_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
        open_cache(&w);
        read_all(&w);
    }
    reopen_cache(&w);
    w.count.preads = 0;
    read_all(&w);
    ck_assert_uint_eq(w.count.preads, 0);
    ck_assert(truncate(other, 8) == 0); /* it is there, and as long as it was */
    world_release(&w);
}
END_TEST

START_TEST(a_directory_of_others_is_refused)
{
    struct env *e = NULL;
    struct world w;

    world_init(&w, small_files, 4 * MIB);
    test_log_capture();
    ck_err(env_cache_open(&w.count.base, &w.o, &e), EBUSY);
    ck_assert(test_log_has("another process does, for the same store"));
    w.o.store = "another";
    ck_ok(env_cache_open(&w.count.base, &w.o, &e));
    env_cache_close(e);
    ck_assert(chmod(w.dir, 0777) == 0);
    ck_err(env_cache_open(&w.count.base, &w.o, &e), EPERM);
    ck_assert(chmod(w.dir, 0700) == 0);
    w.o.bytes = 1000;
    ck_err(env_cache_open(&w.count.base, &w.o, &e), EINVAL);
    w.o.bytes = 4 * MIB;
    w.o.dir = "/proc/none";
    ck_err(env_cache_open(&w.count.base, &w.o, &e), ENOENT);
    world_release(&w);
}
END_TEST

START_TEST(what_nobody_used_for_a_month_is_removed)
{
    static const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct world w;
    char lock[500], old_pool[400];

    world_init(&w, small_files, 4 * MIB);
    read_all(&w);
    snprintf(old_pool, sizeof(old_pool), "%s", pool(&w));
    close_cache(&w);
    snprintf(lock, sizeof(lock), "%s/LOCK", old_pool);
    ck_assert(utimensat(AT_FDCWD, lock, old, 0) == 0);
    w.o.store = "another";
    open_cache(&w);
    ck_assert(access(old_pool, F_OK) < 0);
    read_all(&w);
    world_release(&w);
}
END_TEST

/* ---- room ---- */

START_TEST(it_takes_no_more_than_it_may)
{
    static const size_t size[FILES] = {3 * MIB, 2 * MIB, MIB, MIB};
    static const uint64_t limits[] = {3 * MIB, 2 * MIB, ENV_CACHE_LEAST, 5 * MIB};
    struct world w;
    unsigned i;

    world_init(&w, size, limits[0]);
    for (i = 0; i < 4; i++) {
        w.o.bytes = limits[i];
        reopen_cache(&w);
        ck_assert_uint_le(bytes_used(&w), limits[i]);
        read_randomly(&w, 60);
        read_all(&w);
        close_cache(&w);
        ck_assert_uint_le(bytes_used(&w), limits[i]);
        ck_assert_uint_gt(bytes_used(&w), limits[i] - 2 * SLOT_BYTES);
        open_cache(&w);
    }
    world_release(&w);
}
END_TEST

START_TEST(it_gives_room_back_that_others_want)
{
    struct world w;

    world_init(&w, small_files, 4 * MIB);
    read_all(&w);
    w.o.keep_free = INT64_MAX;
    w.o.look_ms = 5;
    reopen_cache(&w);
    ck_soon(stats(&w).bytes == 0);
    read_all(&w);
    read_all(&w);
    close_cache(&w);
    ck_assert_uint_le(bytes_used(&w), SHELF_BASE);
    w.o.keep_free = 1;
    open_cache(&w);
    read_all(&w);
    reopen_cache(&w);
    w.count.preads = 0;
    read_all(&w);
    ck_assert_uint_eq(w.count.preads, 0);
    world_release(&w);
}
END_TEST

static bool is_off(const struct world *w)
{
    return stats(w).limit_bytes == 0;
}

START_TEST(a_removed_directory_turns_it_off)
{
    struct world w;
    char command[200];

    world_init(&w, small_files, 4 * MIB);
    test_log_capture();
    w.o.look_ms = 50;
    reopen_cache(&w);
    check_read(&w, 0, 0, 100000);
    snprintf(command, sizeof(command), "rm -rf %s", w.dir);
    ck_assert(system(command) == 0);
    read_all(&w);
    ck_soon(is_off(&w));
    read_all(&w);
    read_randomly(&w, 50);
    ck_assert(test_log_has("turned off"));
    reopen_cache(&w);
    read_all(&w);
    world_release(&w);
}
END_TEST

START_TEST(a_failing_disk_turns_it_off)
{
    struct rlimit limit = {400000, 400000}; /* then writing fails by EFBIG */
    struct world w;

    world_init(&w, small_files, 4 * MIB);
    test_log_capture();
    signal(SIGXFSZ, SIG_IGN);
    ck_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    read_all(&w);
    ck_soon(is_off(&w));
    read_all(&w);
    read_randomly(&w, 50);
    ck_assert(test_log_has("File too large"));
    world_release(&w);
}
END_TEST

/* ---- crashes ---- */

static void read_for_ever(struct world *w)
{
    unsigned i;

    for (i = 0;; i++) {
        read_randomly(w, 50);
        env_file_forget(w->file[i % FILES], 0, MIB);
    }
}

START_TEST(a_killed_process_leaves_what_can_be_relied_on)
{
    static const size_t size[FILES] = {MIB, MIB, MIB, 70000};
    struct world w;
    unsigned round;

    world_init(&w, size, MIB + MIB / 2);
    close_cache(&w);
    for (round = 0; round < 12; round++) {
        pid_t pid = fork();

        if (pid == 0) {
            w.rng += round;
            open_cache(&w);
            read_for_ever(&w);
        }
        usleep((useconds_t)(3000 + test_below(&w.rng, 20000)));
        kill(pid, SIGKILL);
        ck_assert(waitpid(pid, NULL, 0) == pid);
        open_cache(&w);
        read_all(&w);
        close_cache(&w);
        ck_assert_uint_le(bytes_used(&w), w.o.bytes);
    }
    world_release(&w);
}
END_TEST

/* ---- bytes ---- */

START_TEST(bytes_are_as_format_md_says)
{
    static const uint8_t head[20] = "siltfs-cache\0\0\0\0\1\0\0";
    uint8_t header[SHELF_HEADER], entry[SHELF_ENTRY], page[STORED_PAGE];

    shelf_header(header);
    ck_assert(memcmp(header, head, sizeof(head)) == 0);
    ck_assert_uint_eq(load_le64(header + SHELF_HEADER - 8), 14277876532116965104ull);
    shelf_entry(entry, 5, 0x1122334455667788);
    ck_assert_uint_eq(load_le64(entry), 0x1122334455667788);
    ck_assert_uint_eq(load_le64(entry + 8), 13045634292233452032ull);
    ck_assert_uint_eq(shelf_entry_key(entry, 5), 0x1122334455667788);
    ck_assert_uint_eq(shelf_entry_key(entry, 6), 0);
    page_seal(page, (const uint8_t *)"hello", 5, 1);
    ck_assert(memcmp(page, "hello\0\0", 7) == 0);
    ck_assert_uint_eq(load_le64(page + CACHE_PAGE), 16473684731765635614ull);
    ck_assert(page_sound(page, 1) && !page_sound(page, 2));
    ck_assert_uint_eq(SLOT_BYTES, 65664);
    ck_assert_uint_eq(SHELF_BASE, 266240);
    ck_assert_uint_eq(shelf_slots(SHELF_BYTES + SHELF_BASE + 3 * SLOT_BYTES), 16387);
}
END_TEST

/* ---- a whole store ---- */

static void fill(struct lsm *db, unsigned n)
{
    char key[32], value[6000];
    unsigned i;

    for (i = 0; i < n; i++) {
        memset(value, 'a' + i % 26, sizeof(value));
        snprintf(key, sizeof(key), "%06u", i * 7919 % n);
        ck_ok(lsm_put(db, slice_str(key), slice_of(value, i % 2 ? 100 : sizeof(value))));
    }
}

static void get_all(struct lsm *db, unsigned n)
{
    struct lsm_value v = {0};
    char key[32];
    unsigned i;

    for (i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "%06u", i * 7919 % n);
        ck_ok(lsm_get(db, NULL, slice_str(key), &v));
        ck_assert_uint_eq(v.value.len, i % 2 ? 100 : 6000);
        ck_assert_uint_eq(v.value.data[50], 'a' + i % 26);
    }
    lsm_value_release(&v);
}

START_TEST(a_warm_store_is_read_without_its_disk)
{
    enum { N = 800 };
    static const size_t none[FILES] = {0};
    struct lsm_stats s;
    struct lsm_options o;
    char path[160];
    struct world w;
    struct lsm *db;
    unsigned round;

    world_init(&w, none, 16 * MIB);
    snprintf(path, sizeof(path), "%s/db", test_dir());
    lsm_options_init(&o);
    o.env = w.cache;
    o.create = true;
    o.separate_bytes = 4096;
    o.verify_bytes = 0;
    ck_ok(lsm_open(path, &o, &db));
    fill(db, N);
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_close(db));
    for (round = 0; round < 2; round++) {
        w.count.preads = 0;
        ck_ok(lsm_open(path, &o, &db));
        get_all(db, N);
        lsm_get_stats(db, &s);
        ck_assert_uint_gt(s.disk_cache_hits, 0);
        ck_ok(lsm_close(db));
        ck_assert_msg(round ? w.count.preads == 0 : w.count.preads > 0, "%u",
                      w.count.preads);
        reopen_cache(&w);
        o.env = w.cache;
    }
    world_release(&w);
}
END_TEST

/* The engine's own checks find it, and have it fetched again. */
START_TEST(what_was_damaged_on_the_way_is_not_kept)
{
    enum { N = 100 };
    static const size_t none[FILES] = {0};
    struct lsm_value v = {0};
    struct lsm_options o;
    char path[160];
    struct world w;
    struct lsm *db;
    unsigned i;

    world_init(&w, none, 16 * MIB);
    test_log_capture();
    snprintf(path, sizeof(path), "%s/db", test_dir());
    lsm_options_init(&o);
    o.create = true;
    o.separate_bytes = 4096;
    o.verify_bytes = 0;
    o.workers = 0;
    o.env = w.cache;
    ck_ok(lsm_open(path, &o, &db));
    fill(db, N);
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_close(db));
    ck_ok(lsm_open(path, &o, &db));
    for (i = 0; i < 2; i++) { /* of the table, then of the value log */
        struct slice key = slice_str(i ? "000000" : "000001");

        w.count.garbles = true;
        ck_err(lsm_get(db, NULL, key, &v), EUCLEAN);
        ck_err(lsm_get(db, NULL, key, &v), EUCLEAN);
        w.count.garbles = false;
        ck_ok(lsm_get(db, NULL, key, &v));
    }
    get_all(db, N);
    lsm_value_release(&v);
    ck_ok(lsm_close(db));
    world_release(&w);
}
END_TEST

enum { KEYS = 300 };

/* Values are told by their version; 0: there is none. */
static void change_some(struct lsm *db, struct world *w, uint32_t version[KEYS])
{
    static uint8_t value[20000];
    char key[32];
    unsigned n = 100;

    while (n--) {
        unsigned k = (unsigned)test_below(&w->rng, KEYS);
        size_t len = (size_t)test_below(&w->rng, test_below(&w->rng, 3) ? 300 : 20000);

        snprintf(key, sizeof(key), "%05u", k);
        version[k] = test_below(&w->rng, 5) ? (uint32_t)(test_random(&w->rng) | 1) : 0;
        memset(value, (int)(version[k] >> 8), sizeof(value));
        memcpy(value, &version[k], 4);
        ck_ok(version[k] ? lsm_put(db, slice_str(key), slice_of(value, 4 + len % 19000))
                         : lsm_delete(db, slice_str(key)));
    }
}

static void check_some(struct lsm *db, struct world *w, const uint32_t version[KEYS])
{
    struct lsm_value v = {0};
    char key[32];
    unsigned k;

    for (k = (unsigned)test_below(&w->rng, 3); k < KEYS; k += 3) {
        snprintf(key, sizeof(key), "%05u", k);
        if (!version[k]) {
            ck_err(lsm_get(db, NULL, slice_str(key), &v), ENOENT);
            continue;
        }
        ck_ok(lsm_get(db, NULL, slice_str(key), &v));
        ck_assert(memcmp(v.value.data, &version[k], 4) == 0);
        if (v.value.len > 4)
            ck_assert_uint_eq(v.value.data[v.value.len - 1], (uint8_t)(version[k] >> 8));
    }
    lsm_value_release(&v);
}

START_TEST(random_load_is_answered_as_without)
{
    static const size_t none[FILES] = {0};
    uint32_t version[KEYS] = {0};
    struct lsm_options o;
    char path[160];
    struct world w;
    struct lsm *db;
    unsigned round;

    world_init(&w, none, ENV_CACHE_LEAST);
    snprintf(path, sizeof(path), "%s/db", test_dir());
    lsm_options_init(&o);
    o.create = true;
    o.memory_bytes = 1 << 20;
    o.memtable_bytes = 64 << 10;
    o.table_bytes = 64 << 10;
    o.segment_bytes = 256 << 10;
    o.sync_interval_ms = 0;
    w.count.knows_created = true;
    for (round = 0; round < 16; round++) {
        unsigned steps = 1 + (unsigned)test_below(&w.rng, 6);

        o.env = w.cache;
        ck_ok(lsm_open(path, &o, &db));
        while (steps--) {
            change_some(db, &w, version);
            check_some(db, &w, version);
        }
        if (round % 8 == 0)
            ck_ok(lsm_verify(db));
        ck_ok(lsm_close(db));
        reopen_cache(&w);
        if (round == 8)
            w.count.knows_created ^= true;
    }
    world_release(&w);
}
END_TEST

TEST_MAIN("env_cache", TEST_CASE(random_reads_give_what_is_in_the_store),
          TEST_CASE(what_was_read_once_costs_no_read_of_the_store_after_reopening),
          TEST_CASE(neighbours_that_are_missing_are_one_read_of_the_store),
          TEST_CASE(a_block_that_many_want_is_fetched_once),
          TEST_CASE(several_read_while_blocks_come_and_go),
          TEST_CASE(error_of_the_store_is_passed_on_and_not_kept),
          TEST_CASE(what_is_forgotten_is_read_from_the_store),
          TEST_CASE(who_checks_the_store_reads_each_byte_once_and_leaves_what_is_kept),
          TEST_CASE(readahead_asks_the_store_for_what_is_missing_alone),
          TEST_CASE(background_brings_nothing),
          TEST_CASE(what_is_appended_is_there_to_be_read),
          TEST_CASE(what_is_cut_off_is_not_read),
          TEST_CASE_ALONE(a_flipped_bit_anywhere_is_a_read_of_the_store),
          TEST_CASE(slots_that_change_places_are_not_believed),
          TEST_CASE(whatever_stands_in_place_of_a_file_is_replaced),
          TEST_CASE(a_directory_of_others_is_refused),
          TEST_CASE(what_nobody_used_for_a_month_is_removed),
          TEST_CASE(it_takes_no_more_than_it_may),
          TEST_CASE(it_gives_room_back_that_others_want),
          TEST_CASE(a_removed_directory_turns_it_off),
          TEST_CASE(a_failing_disk_turns_it_off),
          TEST_CASE_ALONE(a_killed_process_leaves_what_can_be_relied_on),
          TEST_CASE(bytes_are_as_format_md_says),
          TEST_CASE(a_warm_store_is_read_without_its_disk),
          TEST_CASE(what_was_damaged_on_the_way_is_not_kept),
          TEST_CASE(random_load_is_answered_as_without))
