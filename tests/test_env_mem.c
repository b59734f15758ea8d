/*
 * test_env_mem.c - env_mem.h: crashes and faults. A test env that forgives too
 * much proves nothing, so it has its own tests. What it shares with other envs:
 * test_env.c.
 */
#include "env_mem.h"
#include "test.h"

#include <stdlib.h>

static struct env *new_env(void)
{
    struct env *e = env_mem_new(test_seed());

    ck_ok(env_mkdir(e, "/d"));
    ck_ok(env_sync_dir(e, "/"));
    return e;
}

static struct env_file *create(struct env *e, const char *path, uint64_t preallocate)
{
    struct env_file *f;

    ck_ok(env_open(e, path, ENV_CREATE, preallocate, &f));
    return f;
}

static void append(struct env_file *f, const char *text)
{
    struct slice part = slice_str(text);

    ck_ok(env_file_append(f, &part, 1));
}

/* NULL: no such file. */
static void check_file(struct env *e, const char *path, const char *want)
{
    struct buf got = {0};

    if (!want) {
        ck_err(env_mem_read(e, path, &got), ENOENT);
        return;
    }
    ck_ok(env_mem_read(e, path, &got));
    ck_slice_str(buf_slice(&got), want);
    buf_release(&got);
}

START_TEST(unsynced_bytes_are_lost_and_synced_kept)
{
    struct env *e = new_env(), *after;
    struct env_file *f = create(e, "/d/f", 0);

    append(f, "synced");
    ck_ok(env_file_sync(f));
    ck_ok(env_sync_dir(e, "/d"));
    append(f, " not");
    after = env_mem_crash_clone(e, 1, ENV_MEM_LOSE_UNSYNCED);
    check_file(after, "/d/f", "synced");
    env_mem_free(after);
    after = env_mem_crash_clone(e, 1, ENV_MEM_KEEP_ALL);
    check_file(after, "/d/f", "synced not");
    env_mem_free(after);
    ck_ok(env_file_close(f));
    check_file(e, "/d/f", "synced not");
    env_mem_free(e);
}
END_TEST

START_TEST(unsynced_names_are_undone)
{
    struct env *e = new_env(), *after;

    ck_ok(env_mem_write(e, "/d/old", slice_str("old")));
    ck_ok(env_mem_write(e, "/d/gone", slice_str("gone")));
    ck_ok(env_mem_write(e, "/d/target", slice_str("target")));
    ck_ok(env_file_close(create(e, "/d/new", 0)));
    ck_ok(env_unlink(e, "/d/gone"));
    ck_ok(env_rename(e, "/d/old", "/d/target"));
    ck_ok(env_link(e, "/d/target", "/d/link"));
    after = env_mem_crash_clone(e, 1, ENV_MEM_LOSE_UNSYNCED);
    check_file(after, "/d/new", NULL);
    check_file(after, "/d/link", NULL);
    check_file(after, "/d/gone", "gone");
    check_file(after, "/d/old", "old");
    check_file(after, "/d/target", "target");
    env_mem_free(after);
    ck_ok(env_sync_dir(e, "/d"));
    after = env_mem_crash_clone(e, 1, ENV_MEM_LOSE_UNSYNCED);
    check_file(after, "/d/new", "");
    check_file(after, "/d/gone", NULL);
    check_file(after, "/d/old", NULL);
    check_file(after, "/d/target", "old");
    check_file(after, "/d/link", "old");
    env_mem_free(after);
    env_mem_free(e);
}
END_TEST

START_TEST(directory_without_a_synced_name_is_lost_with_its_files)
{
    struct env *e = new_env(), *after;
    uint64_t size;

    ck_ok(env_mkdir(e, "/d/sub"));
    ck_ok(env_mem_write(e, "/d/sub/f", slice_str("x")));
    after = env_mem_crash_clone(e, 1, ENV_MEM_LOSE_UNSYNCED);
    ck_err(env_stat(after, "/d/sub/f", &size), ENOENT);
    env_mem_free(after);
    ck_ok(env_sync_dir(e, "/d"));
    after = env_mem_crash_clone(e, 1, ENV_MEM_LOSE_UNSYNCED);
    check_file(after, "/d/sub/f", "x");
    env_mem_free(after);
    env_mem_free(e);
}
END_TEST

START_TEST(random_crash_keeps_a_rename_whole)
{
    struct env *e = new_env();
    uint64_t i;
    unsigned moved = 0;

    ck_ok(env_mem_write(e, "/d/CURRENT", slice_str("old")));
    ck_ok(env_mem_write(e, "/d/tmp", slice_str("new")));
    ck_ok(env_rename(e, "/d/tmp", "/d/CURRENT"));
    for (i = 0; i < 100; i++) {
        struct env *after = env_mem_crash_clone(e, test_seed() + i, ENV_MEM_KEEP_RANDOM);
        uint64_t size;
        bool is_moved = env_stat(after, "/d/tmp", &size) == -ENOENT;

        check_file(after, "/d/CURRENT", is_moved ? "new" : "old");
        check_file(after, "/d/tmp", is_moved ? NULL : "new");
        moved += is_moved;
        env_mem_free(after);
    }
    ck_assert_uint_gt(moved, 10);
    ck_assert_uint_lt(moved, 90);
    env_mem_free(e);
}
END_TEST

enum { SECTOR = 512, SECTORS = 64 };

struct seen {
    unsigned old, new, mixed, hole, cut, whole;
};

/* The synced half must be "s"; each sector of the other half "n", 0 or the old
 * "o" of a reused file, or split where an append ended. */
static void classify(struct env *after, uint8_t old, struct seen *seen)
{
    unsigned i, k, gap = 0;
    struct buf got = {0};

    ck_ok(env_mem_read(after, "/d/f", &got));
    ck_assert_uint_ge(got.len, SECTORS / 2 * SECTOR);
    ck_assert_uint_le(got.len, SECTORS * SECTOR);
    for (i = 0; i < SECTORS / 2 * SECTOR; i++)
        ck_assert_int_eq(got.data[i], 's');
    for (i = SECTORS / 2; (i + 1) * SECTOR <= got.len; i++) {
        const uint8_t *p = got.data + i * SECTOR;

        for (k = 1; k < SECTOR && p[k] == p[0]; k++)
            ;
        seen->mixed += k < SECTOR;
        seen->old += k == SECTOR && p[0] == old;
        seen->new += k == SECTOR &&p[0] == 'n';
        gap += k == SECTOR && p[0] == old;
        seen->hole += gap && p[0] == 'n';
        for (; k < SECTOR; k++)
            ck_assert(p[k] == old && p[0] == 'n');
    }
    seen->cut += got.len < SECTORS * SECTOR;
    seen->whole += got.len == SECTORS * SECTOR;
    buf_release(&got);
}

static void check_tearing(enum env_mode mode, uint8_t old)
{
    struct env *e = new_env();
    struct env_file *f;
    struct seen seen = {0};
    char bytes[SECTORS * SECTOR];
    unsigned i;

    if (mode == ENV_REUSE) {
        memset(bytes, old, sizeof(bytes));
        ck_ok(env_mem_write(e, "/d/f", slice_of(bytes, sizeof(bytes))));
    }
    ck_ok(env_open(e, "/d/f", mode, 0, &f));
    memset(bytes, 's', sizeof(bytes));
    ck_ok(env_file_append(f, &(struct slice){(uint8_t *)bytes, sizeof(bytes) / 2}, 1));
    ck_ok(env_file_sync(f));
    ck_ok(env_sync_dir(e, "/d"));
    memset(bytes, 'n', sizeof(bytes));
    for (i = 0; i < 128; i++)
        ck_ok(env_file_append(
            f, &(struct slice){(uint8_t *)bytes, SECTORS / 2 * SECTOR / 128}, 1));
    ck_ok(env_file_close(f));
    for (i = 0; i < 200; i++) {
        struct env *after = env_mem_crash_clone(e, test_seed() + i, ENV_MEM_KEEP_RANDOM);

        classify(after, old, &seen);
        env_mem_free(after);
    }
    ck_assert_uint_gt(seen.old, 100);
    ck_assert_uint_gt(seen.new, 100);
    ck_assert_uint_gt(seen.mixed, 20);
    ck_assert_uint_gt(seen.hole, 20);
    ck_assert_uint_gt(seen.whole, 20);
    if (mode == ENV_CREATE)
        ck_assert_uint_gt(seen.cut, 20);
    env_mem_free(e);
}

START_TEST(random_crash_tears_appends_by_sectors)
{
    check_tearing(ENV_CREATE, 0);
}
END_TEST

START_TEST(random_crash_of_a_reused_file_leaves_old_sectors)
{
    check_tearing(ENV_REUSE, 'o');
}
END_TEST

START_TEST(crash_is_repeated_by_its_seed)
{
    struct env *e = new_env();
    struct env_file *f = create(e, "/d/f", 100000);
    struct buf a = {0}, b = {0};
    unsigned i;

    ck_ok(env_sync_dir(e, "/d"));
    for (i = 0; i < 500; i++)
        append(f, "some bytes that are not synced");
    for (i = 0; i < 20; i++) {
        struct env *x = env_mem_crash_clone(e, i, ENV_MEM_KEEP_RANDOM);
        struct env *y = env_mem_crash_clone(e, i, ENV_MEM_KEEP_RANDOM);

        ck_ok(env_mem_read(x, "/d/f", &a));
        ck_ok(env_mem_read(y, "/d/f", &b));
        ck_assert(slice_eq(buf_slice(&a), buf_slice(&b)));
        env_mem_free(x);
        env_mem_free(y);
    }
    buf_release(&a);
    buf_release(&b);
    ck_ok(env_file_close(f));
    env_mem_free(e);
}
END_TEST

START_TEST(failed_append_gets_part_through_and_keeps_the_position)
{
    struct env *e = new_env();
    struct env_file *f = create(e, "/d/f", 0);
    struct slice part = slice_str("0123456789");
    uint64_t size;

    append(f, "begin ");
    env_mem_fail_at(e, 2, EIO, ENV_MEM_APPEND, ENV_MEM_ONCE);
    ck_ok(env_file_sync(f));
    ck_ok(env_file_append(f, &part, 1));
    ck_err(env_file_append(f, &part, 1), EIO);
    ck_ok(env_file_size(f, &size));
    ck_assert_uint_lt(size, 26);
    ck_ok(env_file_append(f, &part, 1));
    check_file(e, "/d/f", "begin 01234567890123456789");
    ck_assert_uint_eq(env_mem_failures(e), 1);
    env_mem_fail_at(e, 1, ENOSPC, ENV_MEM_APPEND | ENV_MEM_READ, ENV_MEM_FOREVER);
    ck_err(env_file_append(f, &part, 1), ENOSPC);
    ck_err(env_file_append(f, &part, 1), ENOSPC);
    env_mem_fail_at(e, 0, 0, 0, ENV_MEM_ONCE);
    ck_ok(env_file_append(f, &part, 1));
    ck_ok(env_file_close(f));
    env_mem_free(e);
}
END_TEST

START_TEST(failed_sync_is_not_healed_by_the_next)
{
    struct env *e = new_env(), *after;
    struct env_file *f = create(e, "/d/f", 0);

    ck_ok(env_sync_dir(e, "/d"));
    append(f, "one");
    env_mem_fail_at(e, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(env_file_sync(f), EIO);
    ck_ok(env_file_sync(f));
    after = env_mem_crash_clone(e, 1, ENV_MEM_LOSE_UNSYNCED);
    check_file(after, "/d/f", "");
    env_mem_free(after);
    ck_ok(env_file_close(f));
    env_mem_free(e);
}
END_TEST

START_TEST(stopped_process_changes_nothing_more)
{
    struct env *e = new_env();
    struct env_file *f = create(e, "/d/f", 0), *g;
    struct slice part = slice_str("x");
    uint64_t calls = env_mem_calls(e);
    char got;
    size_t n;

    env_mem_stop_at(e, 2);
    append(f, "a");
    ck_ok(env_file_sync(f));
    ck_err(env_file_append(f, &part, 1), EIO);
    ck_err(env_file_sync(f), EIO);
    ck_err(env_file_truncate(f, 0), EIO);
    ck_err(env_open(e, "/d/g", ENV_CREATE, 0, &g), EIO);
    ck_err(env_unlink(e, "/d/f"), EIO);
    ck_err(env_rename(e, "/d/f", "/d/g"), EIO);
    ck_err(env_link(e, "/d/f", "/d/g"), EIO);
    ck_err(env_mkdir(e, "/d/g"), EIO);
    ck_err(env_sync_dir(e, "/d"), EIO);
    ck_assert_uint_eq(env_mem_calls(e), calls + 2);
    ck_ok(env_file_pread(f, 0, &got, 1, &n));
    ck_ok(env_file_close(f));
    check_file(e, "/d/f", "a");
    check_file(e, "/d/g", NULL);
    env_mem_free(e);
}
END_TEST

START_TEST(full_disk_has_room_again_when_a_file_goes)
{
    struct env *e = new_env();
    struct env_file *f = create(e, "/d/f", 0), *g;
    struct slice part = slice_str("0123456789");
    uint64_t total, avail;

    env_mem_set_space(e, 25);
    ck_ok(env_file_append(f, &part, 1));
    ck_err(env_open(e, "/d/g", ENV_CREATE, 16, &g), ENOSPC);
    check_file(e, "/d/g", NULL);
    g = create(e, "/d/g", 15);
    ck_err(env_file_append(f, &part, 1), ENOSPC);
    append(g, "fifteen bytes!!");
    ck_assert_uint_eq(env_mem_used(e), 25);
    ck_ok(env_file_close(g));
    ck_ok(env_unlink(e, "/d/g"));
    ck_ok(env_space(e, "/d", &total, &avail));
    ck_assert_uint_eq(total, 25);
    ck_assert_uint_eq(avail, 15);
    ck_ok(env_file_append(f, &part, 1));
    ck_err(env_file_append(f, &part, 1), ENOSPC);
    check_file(e, "/d/f", "0123456789012345678901234");
    ck_ok(env_file_close(f));
    env_mem_free(e);
}
END_TEST

START_TEST(flip_changes_one_byte)
{
    struct env *e = new_env();

    ck_ok(env_mem_write(e, "/d/f", slice_str("abc")));
    ck_ok(env_mem_flip(e, "/d/f", 1, 'b' ^ 'X'));
    check_file(e, "/d/f", "aXc");
    ck_err(env_mem_flip(e, "/d/f", 3, 1), EINVAL);
    ck_err(env_mem_flip(e, "/d/g", 0, 1), ENOENT);
    env_mem_free(e);
}
END_TEST

START_TEST(what_a_failed_sync_lost_stays_lost_until_it_is_in_another_file)
{
    static const char want[] = "DURABLE;\0\0\0\0;Durable";
    struct env *e = new_env(), *after;
    struct env_file *f = create(e, "/d/f", 0);
    struct buf got = {0};

    append(f, "durable;");
    ck_ok(env_file_sync(f));
    ck_ok(env_sync_dir(e, "/d"));
    append(f, "lost");
    env_mem_fail_at(e, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(env_file_sync(f), EIO);
    append(f, ";durable");
    ck_ok(env_file_sync(f));
    ck_ok(env_file_close(f));
    ck_ok(env_open(e, "/d/f", ENV_REUSE, 0, &f));
    append(f, "DURABLE;LOST;D");
    ck_ok(env_file_sync(f));
    ck_ok(env_file_close(f));
    check_file(e, "/d/f", "DURABLE;LOST;Durable");
    after = env_mem_crash_clone(e, 1, ENV_MEM_LOSE_UNSYNCED);
    ck_ok(env_mem_read(after, "/d/f", &got));
    ck_assert(
        slice_eq(buf_slice(&got), slice_of((const uint8_t *)want, sizeof(want) - 1)));
    buf_release(&got);
    env_mem_free(after);
    f = create(e, "/d/g", 0);
    append(f, "DURABLE;LOST;Durable");
    ck_ok(env_file_sync(f));
    ck_ok(env_file_close(f));
    ck_ok(env_rename(e, "/d/g", "/d/f"));
    ck_ok(env_sync_dir(e, "/d"));
    after = env_mem_crash_clone(e, 1, ENV_MEM_LOSE_UNSYNCED);
    check_file(after, "/d/f", "DURABLE;LOST;Durable");
    env_mem_free(after);
    env_mem_free(e);
}
END_TEST

TEST_MAIN("env_mem", TEST_CASE(unsynced_bytes_are_lost_and_synced_kept),
          TEST_CASE(unsynced_names_are_undone),
          TEST_CASE(directory_without_a_synced_name_is_lost_with_its_files),
          TEST_CASE(random_crash_keeps_a_rename_whole),
          TEST_CASE(random_crash_tears_appends_by_sectors),
          TEST_CASE(random_crash_of_a_reused_file_leaves_old_sectors),
          TEST_CASE(crash_is_repeated_by_its_seed),
          TEST_CASE(failed_append_gets_part_through_and_keeps_the_position),
          TEST_CASE(failed_sync_is_not_healed_by_the_next),
          TEST_CASE(what_a_failed_sync_lost_stays_lost_until_it_is_in_another_file),
          TEST_CASE(stopped_process_changes_nothing_more),
          TEST_CASE(full_disk_has_room_again_when_a_file_goes),
          TEST_CASE(flip_changes_one_byte))
