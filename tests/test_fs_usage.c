/*
 * test_fs_usage.c - limits: what counts, that every kind of call heeds them, that what
 * adds nothing goes on at a limit, and that a crash loses no account. statfs.
 *
 * That the account is right after any operations the random tests of fs/ show: their
 * filesystems have a limit, and fs_check compares.
 */
#include <fcntl.h>
#include <glob.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/keys.h"
#include "fs/record.h"
#include "fs_harm.h"
#include "test_fs.h"

enum { NAME = 256, XATTR = 64, BLOCK = 4096 }; /* FORMAT.md, "Limits" */

static struct rig rig;
static struct rig *const r = &rig;

static void start(uint64_t bytes, uint64_t inodes)
{
    rig_init(r, "s");
    ck_ok(fs_unmount(r->fs));
    ck_ok(fs_set_limits(r->db, &(struct fs_limits){bytes, inodes}));
    rig_mount(r);
}

static uint64_t used(void)
{
    struct fs_stats s;

    fs_get_stats(r->fs, &s);
    return s.used_bytes;
}

/* A sync deletes what waits to be deleted. */
static uint64_t used_after_sync(void)
{
    ck_ok(fs_sync(r->fs));
    return used();
}

static uint64_t blocks_free(void)
{
    struct fs_statfs s;

    ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
    return s.blocks_free;
}

static int write_block(uint64_t ino, uint64_t off, size_t len)
{
    static uint8_t data[1 << 20];

    ck_assert_uint_le(len, sizeof(data));
    return fs_write(r->fs, ino, off, slice_of(data, len), false);
}

static int resize(uint64_t ino, uint64_t size)
{
    struct stat st = {.st_size = (off_t)size};
    struct fs_attr a;

    return fs_setattr(r->fs, &r->cred, ino, FS_SET_SIZE, &st, &a);
}

static int set_user(uint64_t ino, const char *name, size_t len)
{
    static uint8_t data[FS_XATTR_SIZE_MAX];

    return fs_setxattr(r->fs, &r->cred, ino, name, slice_of(data, len), 0);
}

/* Take all but `room` bytes, in a file of its own. */
static uint64_t fill_but(uint64_t limit, uint64_t room)
{
    uint64_t ino = rig_file(r, FS_ROOT, "filler");
    uint64_t left = limit - used() - room, off = 0;

    for (; left; left -= left < (1 << 20) ? left : 1 << 20, off += 1 << 20)
        ck_ok(write_block(ino, off, left < (1 << 20) ? left : 1 << 20));
    ck_assert_uint_eq(limit - used(), room);
    return ino;
}

START_TEST(what_counts_is_names_contents_targets_and_attributes)
{
    struct fs_attr a;
    uint64_t f, d;

    start(1 << 30, 0);
    ck_assert_uint_eq(used(), NAME);
    f = rig_file(r, FS_ROOT, "f");
    d = rig_dir(r, FS_ROOT, "d");
    ck_assert_uint_eq(used(), 3 * NAME);
    ck_ok(write_block(f, 0, 1000));
    ck_ok(write_block(f, 500, 1000));
    ck_assert_uint_eq(used(), 3 * NAME + 1500);
    ck_ok(resize(f, 1 << 20)); /* a hole is free */
    ck_ok(fs_fallocate(r->fs, f, 0, 0, 10000));
    ck_assert_uint_eq(used(), 3 * NAME + 10000);
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 9000));
    ck_assert_uint_eq(used(), 3 * NAME + 1000);
    ck_ok(fs_link(r->fs, f, d, "g", &a));
    ck_ok(fs_symlink(r->fs, &r->cred, d, "l", "12345", &a));
    ck_assert_uint_eq(used(), 5 * NAME + 1005);
    ck_ok(set_user(f, "user.x", 100));
    ck_ok(set_user(f, "user.x", 10));
    ck_assert_uint_eq(used(), 5 * NAME + 1005 + XATTR + 6 + 10);
    ck_ok(fs_removexattr(r->fs, f, "user.x"));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_ok(fs_unlink(r->fs, d, "l"));
    ck_ok(resize(f, 0));
    rig_remount(r);
    ck_assert_uint_eq(used(), 3 * NAME);
    rig_release(r);
}
END_TEST

static void ck_all_refused(uint64_t d, uint64_t f)
{
    struct fs_attr a;
    uint64_t copied, was = used();

    ck_err(fs_mknod(r->fs, &r->cred, d, "a", S_IFREG | 0644, 0, &a), ENOSPC);
    ck_err(fs_mknod(r->fs, &r->cred, d, "a", S_IFIFO | 0644, 0, &a), ENOSPC);
    ck_err(fs_mkdir(r->fs, &r->cred, d, "a", 0755, &a), ENOSPC);
    ck_err(fs_symlink(r->fs, &r->cred, d, "a", "x", &a), ENOSPC);
    ck_err(fs_link(r->fs, f, d, "a", &a), ENOSPC);
    ck_err(set_user(d, "user.new", 200), ENOSPC);
    ck_err(write_block(f, 4 * BLOCK, BLOCK), ENOSPC);
    ck_err(write_block(f, BLOCK, BLOCK), ENOSPC); /* a hole */
    ck_err(fs_fallocate(r->fs, f, 0, 0, 3 * BLOCK), ENOSPC);
    ck_err(fs_fallocate(r->fs, f, FALLOC_FL_KEEP_SIZE, 9 * BLOCK, BLOCK), ENOSPC);
    ck_err(fs_fallocate(r->fs, f, FALLOC_FL_ZERO_RANGE, BLOCK, BLOCK), ENOSPC);
    ck_err(fs_copy_range(r->fs, f, 0, f, BLOCK, BLOCK, &copied), ENOSPC);
    ck_assert_uint_eq(used(), was);
    ck_assert(!rig_has(r, d, "a"));
}

START_TEST(at_the_limit_each_kind_of_call_that_adds_is_refused)
{
    uint64_t limit = 4 << 20, d, f;

    start(limit, 0);
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(write_block(f, 0, BLOCK));
    ck_ok(write_block(f, 2 * BLOCK, BLOCK));
    fill_but(limit, NAME - 1);
    ck_all_refused(d, f);
    rig_remount(r);
    d = rig_lookup(r, FS_ROOT, "d");
    f = rig_lookup(r, FS_ROOT, "f");
    ck_all_refused(d, f);
    rig_release(r);
}
END_TEST

START_TEST(at_the_limit_what_adds_nothing_goes_on)
{
    struct stat st = {.st_mode = 0600};
    uint64_t limit = 4 << 20, d, f, filler;
    struct fs_attr a;

    start(limit, 0);
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(write_block(f, 0, 2 * BLOCK));
    ck_ok(fs_fallocate(r->fs, f, 0, 2 * BLOCK, 2 * BLOCK));
    ck_ok(set_user(f, "user.x", 100));
    filler = fill_but(limit, 0);
    ck_ok(write_block(f, 100, BLOCK));       /* over what is there */
    ck_ok(write_block(f, 2 * BLOCK, BLOCK)); /* where room was set aside */
    ck_ok(set_user(f, "user.x", 50));
    ck_ok(set_user(f, "user.x", 100));
    ck_err(set_user(f, "user.x", 101), ENOSPC);
    ck_ok(fs_setattr(r->fs, &r->cred, f, FS_SET_MODE, &st, &a));
    ck_ok(resize(f, 100 * BLOCK));
    ck_ok(fs_rename(r->fs, &r->cred, FS_ROOT, "f", d, "a much longer name", 0));
    ck_ok(fs_sync(r->fs));
    ck_assert_uint_eq(used(), limit);
    ck_ok(resize(filler, 1 << 20));
    ck_ok(write_block(f, 50 * BLOCK, BLOCK));
    ck_ok(fs_unlink(r->fs, d, "a much longer name"));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "filler"));
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    rig_remount(r);
    ck_assert_uint_eq(used(), NAME);
    rig_release(r);
}
END_TEST

/* Nobody waits for the thread that deletes them: there is none here. */
START_TEST(what_the_last_reference_leaves_can_be_used_at_once)
{
    uint64_t limit = 4 << 20, f, i;
    struct fs_statfs s;

    start(limit, 0);
    for (i = 0; i < 30; i++) {
        f = fill_but(limit, 0);
        ck_ok(fs_unlink(r->fs, FS_ROOT, "filler"));
        ck_err(write_block(f, 100 << 20, BLOCK), ENOSPC); /* it still lives */
        fs_forget(r->fs, f, 1);
        if (i % 2) {
            ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
            ck_assert_uint_eq((s.blocks - s.blocks_free), 1);
        } else {
            fs_forget(r->fs, rig_file(r, FS_ROOT, "f"), 1);
            ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
        }
        ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
    }
    rig_release(r);
}
END_TEST

START_TEST(inodes_have_a_limit_of_their_own)
{
    struct fs_statfs s;
    struct fs_attr a;
    uint64_t f;

    start(0, 3);
    f = rig_file(r, FS_ROOT, "f");
    rig_dir(r, FS_ROOT, "d");
    ck_err(fs_mkdir(r->fs, &r->cred, FS_ROOT, "e", 0755, &a), ENOSPC);
    ck_err(fs_symlink(r->fs, &r->cred, FS_ROOT, "e", "x", &a), ENOSPC);
    ck_ok(fs_link(r->fs, f, FS_ROOT, "e", &a)); /* makes none */
    ck_ok(write_block(f, 0, 1 << 20));
    ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
    ck_assert_uint_eq(s.files, 3);
    ck_assert_uint_eq(s.files_free, 0);
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    rig_remount(r);
    ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
    ck_assert_uint_eq(s.files_free, 1);
    rig_file(r, FS_ROOT, "g");
    ck_err(fs_mknod(r->fs, &r->cred, FS_ROOT, "h", S_IFREG | 0644, 0, &a), ENOSPC);
    rig_release(r);
}
END_TEST

START_TEST(a_limit_may_be_changed_and_be_less_than_is_used)
{
    struct fs_limits l;
    uint64_t f;

    start(0, 0);
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(write_block(f, 0, 1 << 20));
    ck_ok(set_user(f, "user.x", 1000));
    ck_ok(fs_unmount(r->fs));
    ck_err(fs_set_limits(r->db, &(struct fs_limits){1ull << 63, 0}), EINVAL);
    ck_ok(fs_set_limits(r->db, &(struct fs_limits){1 << 19, 0}));
    rig_check(r);
    ck_ok(fs_get_limits(r->db, &l));
    ck_assert_uint_eq(l.bytes, 1 << 19);
    rig_mount(r);
    ck_assert_uint_eq(used(), 2 * NAME + (1 << 20) + XATTR + 6 + 1000);
    f = rig_lookup(r, FS_ROOT, "f");
    ck_err(write_block(f, 1 << 20, 1), ENOSPC);
    ck_ok(write_block(f, 0, BLOCK));
    ck_ok(resize(f, 100));
    ck_ok(write_block(f, 100, 1));
    ck_ok(fs_unmount(r->fs));
    ck_ok(fs_set_limits(r->db, &(struct fs_limits){0, 0}));
    ck_err(lsm_exists(r->db, NULL, slice_str("Sused")), ENOENT);
    rig_check(r);
    rig_mount(r);
    ck_assert_uint_eq(used(), 0);
    rig_release(r);
}
END_TEST

/* ---- crashes ---- */

/* A checkpoint of a mounted store is what a crash leaves: rig goes on with it. */
static void crash(const char *name)
{
    char path[sizeof(r->path)];

    snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
    ck_ok(lsm_checkpoint(r->db, path));
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
    memcpy(r->path, path, sizeof(path));
    rig_open_store(r);
}

START_TEST(after_a_crash_the_files_are_counted_anew)
{
    uint64_t want, f;

    start(1 << 30, 100);
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_sync(r->fs)); /* the figures of this moment are in the store */
    ck_ok(write_block(f, 0, 123456));
    ck_ok(set_user(f, "user.x", 77));
    rig_file(r, FS_ROOT, "g");
    want = used();
    crash("crashed");
    rig_check(r); /* it does not claim to be exact */
    rig_mount(r);
    ck_assert_uint_eq(used(), want);
    rig_remount(r);
    ck_assert_uint_eq(used(), want);
    rig_release(r);
}
END_TEST

START_TEST(orphans_of_a_crash_are_not_counted_any_more)
{
    uint64_t f;

    start(1 << 30, 100);
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(write_block(f, 0, 123456));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_assert_uint_eq(used(), 2 * NAME + 123456);
    crash("orphan");
    rig_mount(r);
    ck_assert_uint_eq(used(), NAME);
    rig_release(r);
}
END_TEST

START_TEST(a_limit_given_after_a_crash_counts_orphans_until_they_go)
{
    struct fs_limits limits = {.bytes = 1 << 30, .inodes = 100};
    uint64_t f;

    start(0, 0);
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(write_block(f, 0, 123456));
    ck_ok(set_user(f, "user.a", 1));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    crash("limit");
    ck_ok(fs_set_limits(r->db, &limits));
    rig_check(r);
    rig_mount(r);
    ck_assert_uint_eq(used(), NAME);
    rig_check(r);
    rig_release(r);
}
END_TEST

static void *churn(void *arg)
{
    const char *name = arg;
    uint64_t rnd = (uint64_t)name[0], i;

    for (i = 0; i < 500; i++) {
        uint64_t f = rig_file(r, FS_ROOT, name);

        ck_ok(write_block(f, test_below(&rnd, 100000), 1 + test_below(&rnd, 20000)));
        ck_ok(fs_unlink(r->fs, FS_ROOT, name));
        fs_forget(r->fs, f, 1);
    }
    return NULL;
}

/* The lazy thread counts while others change what is counted; twice the second time, as
 * unmounting gives the first one up. */
START_TEST(counting_and_changing_at_once_comes_out_right)
{
    pthread_t a, b;
    int i;

    start(1 << 30, 0);
    for (i = 0; i < 3000; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%d", i);
        fs_forget(r->fs, rig_file(r, FS_ROOT, name), 1);
    }
    r->options.writeback_ms = 1;
    for (i = 0; i < 2; i++) {
        crash(i ? "second" : "first");
        rig_mount(r);
        ck_assert_int_eq(pthread_create(&a, NULL, churn, "a"), 0);
        ck_assert_int_eq(pthread_create(&b, NULL, churn, "b"), 0);
        pthread_join(a, NULL);
        pthread_join(b, NULL);
    }
    ck_soon(used_after_sync() == 3001 * NAME);
    rig_remount(r);
    rig_remount(r);
    ck_assert_uint_eq(used(), 3001 * NAME);
    rig_release(r);
}
END_TEST

static atomic_bool stop;

static void *look_on(void *arg)
{
    struct fs_statfs s;

    while (!atomic_load(&stop)) {
        ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
        ck_ok(fs_sync(r->fs));
    }
    return NULL;
}

static void *sync_often(void *arg)
{
    while (!atomic_load(&stop))
        ck_ok(fs_sync(r->fs));
    return NULL;
}

/* Of two who write the count at once, none leaves the older one. */
START_TEST(the_count_that_stays_is_the_last_one)
{
    enum { ROUNDS = 20, FILES = 200 };
    pthread_t other[2];
    uint64_t stored;
    int i, k;

    start(0, 0);
    for (i = 0; i < ROUNDS; i++) {
        struct lsm_value v = {0};

        atomic_store(&stop, false);
        for (k = 0; k < 2; k++)
            ck_assert_int_eq(pthread_create(&other[k], NULL, sync_often, NULL), 0);
        for (k = 0; k < FILES; k++) {
            char name[32];

            snprintf(name, sizeof(name), "f%d-%d", i, k);
            fs_forget(r->fs, rig_file(r, FS_ROOT, name), 1);
        }
        ck_ok(fs_sync(r->fs)); /* beside theirs, which have older figures */
        atomic_store(&stop, true);
        for (k = 0; k < 2; k++)
            pthread_join(other[k], NULL);
        ck_ok(fs_sync(r->fs));
        ck_ok(lsm_get(r->db, NULL, key_count(), &v));
        ck_ok(counter_decode(v.value, &stored));
        lsm_value_release(&v);
        ck_assert_uint_eq(stored, 1 + (uint64_t)(i + 1) * FILES);
    }
    rig_release(r);
}
END_TEST

/* What another thread has begun to delete is waited for. */
START_TEST(room_is_there_even_when_others_delete_what_we_left)
{
    uint64_t limit = 4 << 20, f;
    pthread_t other;
    int i;

    start(limit, 0);
    atomic_store(&stop, false);
    ck_assert_int_eq(pthread_create(&other, NULL, look_on, NULL), 0);
    for (i = 0; i < 300; i++) {
        f = rig_file(r, FS_ROOT, "f");
        ck_ok(write_block(f, 0, 1 << 20));
        ck_ok(write_block(f, 1 << 20, 1 << 20));
        ck_ok(write_block(f, 2 << 20, 1 << 20));
        ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
        fs_forget(r->fs, f, 1);
    }
    atomic_store(&stop, true);
    pthread_join(other, NULL);
    rig_release(r);
}
END_TEST

/* In the middle of every table. */
static void damage_tables(void)
{
    char pattern[300];
    uint8_t byte;
    glob_t g;
    size_t i;

    snprintf(pattern, sizeof(pattern), "%s/*.sst", r->path);
    ck_assert_int_eq(glob(pattern, 0, NULL, &g), 0);
    for (i = 0; i < g.gl_pathc; i++) {
        int fd = open(g.gl_pathv[i], O_RDWR);
        off_t at = lseek(fd, 0, SEEK_END) / 2;

        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
    globfree(&g);
}

static struct used stored(void)
{
    struct lsm_value v = {0};
    struct used u;

    ck_ok(lsm_get(r->db, NULL, key_used(), &v));
    ck_ok(used_decode(v.value, &u));
    lsm_value_release(&v);
    return u;
}

/* Attributes that cannot be read can be deleted, but who knows what they used? */
START_TEST(an_account_that_lost_track_does_not_say_that_it_is_exact)
{
    struct lsm_options o;
    char name[32];
    uint64_t f;
    int i;

    start(1 << 30, 0);
    test_log_capture();
    f = rig_file(r, FS_ROOT, "f");
    for (i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "user.%02d", i);
        ck_ok(set_user(f, name, 3000));
    }
    ck_ok(fs_unmount(r->fs));
    ck_assert(stored().exact);
    ck_ok(lsm_close(r->db));
    damage_tables();
    lsm_options_init(&o);
    o.verify_bytes = 0;
    ck_ok(lsm_open(r->path, &o, &r->db));
    rig_mount(r);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_ok(fs_unmount(r->fs));
    ck_assert(!stored().exact);
    ck_ok(lsm_close(r->db));
}
END_TEST

static void make_huge(struct record *rec)
{
    rec->file.unwritten = FS_SIZE_MAX - 10;
}

/* Three files of 8 EiB: more than any number here can be. */
START_TEST(a_store_that_says_it_holds_more_than_there_can_be_is_used_and_repaired)
{
    static const char *const names[] = {"f", "g", "h"};
    static const struct fs_repair_options o;
    struct fs_repair_result result;
    uint64_t ino[3], n;
    struct harm h;
    int i;

    start(0, 1000);
    for (i = 0; i < 3; i++)
        ino[i] = rig_file(r, FS_ROOT, names[i]);
    ck_ok(fs_unmount(r->fs));
    harm_begin(&h, r->db);
    for (i = 0; i < 3; i++) {
        harm_embedded(&h, FS_ROOT, ino[i], make_huge);
        harm_put_unwritten(&h, ino[i], FS_SIZE_MAX, FS_SIZE_MAX - 10);
    }
    harm_end(&h);
    ck_ok(fs_set_limits(r->db, &(struct fs_limits){0, 1001}));
    ck_ok(fs_repair(r->db, &o, NULL, NULL, &result));
    ck_assert_uint_eq(result.left, 0);
    ck_ok(fs_check(r->db, rig_line, NULL, &n));
    ck_assert_uint_eq(n, 0);
    rig_mount(r);
    rig_file(r, FS_ROOT, "new");
    for (i = 0; i < 3; i++)
        ck_ok(fs_unlink(r->fs, FS_ROOT, names[i]));
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
}
END_TEST

static void *leave_many(void *name)
{
    struct fs_attr a;
    int i;

    for (i = 0; i < 4000; i++) {
        if (fs_mknod(r->fs, &r->cred, FS_ROOT, name, S_IFREG | 0644, 0, &a) ||
            fs_unlink(r->fs, FS_ROOT, name))
            abort(); /* Check's own assertions are for the main thread */
        fs_forget(r->fs, a.st.st_ino, 1);
    }
    return NULL;
}

/* Only so many wait at a time: none is forgotten when that is full. */
START_TEST(all_that_many_leave_at_once_is_deleted)
{
    static char names[8][2] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    pthread_t thread[8];
    struct fs_stats s;
    int i;

    start(1 << 30, 0);
    for (i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, leave_many, names[i]), 0);
    for (i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    ck_ok(fs_sync(r->fs));
    ck_assert_uint_eq(used(), NAME);
    ck_ok(fs_unmount(r->fs));
    rig_mount(r);
    fs_get_stats(r->fs, &s);
    ck_assert_uint_eq(s.orphans_removed, 0);
    rig_release(r);
}
END_TEST

/* ---- statfs ---- */

START_TEST(without_a_limit_the_disk_is_the_limit_and_the_store_is_what_is_used)
{
    static uint8_t noise[1 << 20];
    uint64_t rnd = test_seed(), f, i, total, avail;
    struct fs_statfs before, after;

    start(0, 0);
    for (i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)test_random(&rnd);
    ck_ok(lsm_space(r->db, &total, &avail));
    ck_ok(fs_statfs(r->fs, FS_ROOT, &before));
    ck_assert_uint_eq(before.blocks, total / BLOCK);
    ck_assert_uint_le(before.blocks_avail, before.blocks_free);
    f = rig_file(r, FS_ROOT, "f");
    for (i = 0; i < 40; i++)
        ck_ok(fs_write(r->fs, f, i << 20, slice_of(noise, sizeof(noise)), false));
    ck_ok(fs_statfs(r->fs, FS_ROOT, &after));
    ck_assert_uint_ge(before.blocks_free - after.blocks_free, (40 << 20) / BLOCK);
    ck_assert_uint_le(before.blocks_free - after.blocks_free, (56 << 20) / BLOCK);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    fs_forget(r->fs, f, 1);
    ck_ok(fs_sync(r->fs));
    ck_ok(lsm_compact(r->db, true));
    /* The segments that are still appended to stay. Others may take a moment. */
    ck_soon(before.blocks_free <= blocks_free() + (20 << 20) / BLOCK);
    rig_release(r);
}
END_TEST

START_TEST(with_a_limit_that_is_the_size)
{
    struct fs_statfs s;

    start(100 << 20, 0);
    ck_ok(write_block(rig_file(r, FS_ROOT, "f"), 0, 1 << 20));
    ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
    ck_assert_uint_eq(s.blocks, (100 << 20) / BLOCK);
    ck_assert_uint_eq(s.blocks - s.blocks_free, (1 << 20) / BLOCK + 1);
    ck_assert_uint_eq(s.blocks_avail, s.blocks_free);
    ck_assert_uint_eq(s.files - s.files_free, 2);
    rig_release(r);
}
END_TEST

TEST_MAIN(
    "fs_usage", TEST_CASE(what_counts_is_names_contents_targets_and_attributes),
    TEST_CASE(at_the_limit_each_kind_of_call_that_adds_is_refused),
    TEST_CASE(at_the_limit_what_adds_nothing_goes_on),
    TEST_CASE(what_the_last_reference_leaves_can_be_used_at_once),
    TEST_CASE(inodes_have_a_limit_of_their_own),
    TEST_CASE(a_limit_may_be_changed_and_be_less_than_is_used),
    TEST_CASE(after_a_crash_the_files_are_counted_anew),
    TEST_CASE(orphans_of_a_crash_are_not_counted_any_more),
    TEST_CASE(a_limit_given_after_a_crash_counts_orphans_until_they_go),
    TEST_CASE(counting_and_changing_at_once_comes_out_right),
    TEST_CASE(the_count_that_stays_is_the_last_one),
    TEST_CASE(room_is_there_even_when_others_delete_what_we_left),
    TEST_CASE(all_that_many_leave_at_once_is_deleted),
    TEST_CASE(a_store_that_says_it_holds_more_than_there_can_be_is_used_and_repaired),
    TEST_CASE(an_account_that_lost_track_does_not_say_that_it_is_exact),
    TEST_CASE(without_a_limit_the_disk_is_the_limit_and_the_store_is_what_is_used),
    TEST_CASE(with_a_limit_that_is_the_size))
