/*
 * test_fs_around.c - what is fetched around small reads: the policy, and through fs.h.
 */
#include "test_fs.h"

#include "env_count.h"
#include "fs/around.h"

#define PIECE ((uint64_t)AROUND_BYTES)
#define SIZE  (64 * PIECE)

static struct around a;

static bool wants(uint64_t ino, uint64_t off)
{
    return around_wants(&a, ino, SIZE, off, 4096);
}

/* So many reads of ino here and there, in its first piece; did any want more? */
static bool read_apart(uint64_t ino, unsigned n)
{
    bool any = false;

    for (unsigned i = 0; i < n; i++)
        any |= wants(ino, 4096 * (i % 2 ? 3 : 7));
    return any;
}

START_TEST(a_file_is_read_around_after_some_reads_apart)
{
    around_init(&a);
    ck_assert(!read_apart(2, AROUND_AFTER - 1));
    ck_assert(wants(2, 5 * PIECE));
    around_release(&a);
}
END_TEST

START_TEST(each_piece_is_fetched_once)
{
    around_init(&a);
    read_apart(2, AROUND_AFTER);
    ck_assert(!wants(2, 8192)); /* by the last of those */
    for (uint64_t piece = 1; piece < 64; piece++)
        ck_assert(wants(2, piece * PIECE + piece * 1000));
    for (uint64_t piece = 0; piece < 64; piece++)
        ck_assert(!wants(2, piece * PIECE + 4096));
    around_release(&a);
}
END_TEST

START_TEST(what_is_read_in_order_is_not_read_around)
{
    around_init(&a);
    for (uint64_t off = 0; off < SIZE; off += 4096)
        ck_assert(!wants(2, off));
    around_release(&a);
}
END_TEST

START_TEST(large_reads_neither_count_nor_want)
{
    around_init(&a);
    for (unsigned i = 0; i < 2 * AROUND_AFTER; i++)
        ck_assert(!around_wants(&a, 2, SIZE, (i * 7 % 64) * PIECE, AROUND_SMALL + 1));
    ck_assert(!read_apart(2, AROUND_AFTER - 1));
    around_release(&a);
}
END_TEST

START_TEST(small_files_and_huge_ones_are_not_read_around)
{
    around_init(&a);
    for (unsigned i = 0; i < 2 * AROUND_AFTER; i++) {
        const uint64_t off = i % 2 * 8192;

        ck_assert(!around_wants(&a, 2, AROUND_SMALL, off, 4096));
        ck_assert(!around_wants(&a, 3, AROUND_FILE_MAX + 1, off, 4096));
    }
    around_release(&a);
}
END_TEST

START_TEST(what_a_file_has_grown_by_is_not_read_around)
{
    around_init(&a);
    read_apart(2, AROUND_AFTER);
    ck_assert(!around_wants(&a, 2, 2 * SIZE, SIZE, 4096));
    ck_assert(!around_wants(&a, 2, AROUND_FILE_MAX, AROUND_FILE_MAX - 4096, 4096));
    ck_assert(around_wants(&a, 2, 2 * SIZE, SIZE - PIECE, 4096));
    around_release(&a);
}
END_TEST

START_TEST(of_too_many_files_the_one_longest_not_read_is_forgotten)
{
    around_init(&a);
    for (uint64_t ino = 2; ino < 2 + AROUND_FILES; ino++)
        ck_assert(read_apart(ino, AROUND_AFTER));
    ck_assert(!wants(2, 8192)); /* it is known, and now 3 is the oldest */
    ck_assert(!wants(100, 0));
    ck_assert(!wants(2, 0));
    ck_assert(wants(2, PIECE));
    ck_assert(!wants(3, PIECE));
    around_release(&a);
}
END_TEST

/* ---- through fs.h ---- */

/* Reads 4 KiB at off; how often the disk was asked for more than it reads. */
static unsigned asked_for(struct rig *r, struct env_count *counts, uint64_t ino,
                          uint64_t off)
{
    const unsigned before = atomic_load(&counts->readaheads);
    uint8_t to[4096];
    size_t got;

    ck_ok(fs_read(r->fs, ino, off, sizeof(to), to, &got));
    ck_assert_uint_eq(got, sizeof(to));
    ck_assert_uint_eq(to[0], off / PIECE + 1);
    return atomic_load(&counts->readaheads) - before;
}

static uint64_t write_pieces(struct rig *r, unsigned n)
{
    uint64_t ino = rig_file(r, FS_ROOT, "f");
    uint8_t *data = malloc(PIECE);

    ck_assert_ptr_nonnull(data);
    for (unsigned i = 0; i < n; i++) {
        memset(data, (int)i + 1, PIECE);
        ck_ok(fs_write(r->fs, ino, i * PIECE, slice_of(data, PIECE), false));
    }
    free(data);
    return ino;
}

START_TEST(reads_here_and_there_have_the_disk_asked_for_each_extent_once)
{
    struct env_count counts;
    struct lsm_options o;
    struct rig r = {0};
    uint64_t ino;

    env_count_init(&counts, env_posix());
    lsm_options_init(&o);
    o.create = true;
    o.env = &counts.base;
    fs_options_init(&r.options);
    snprintf(r.path, sizeof(r.path), "%s/s", test_dir());
    ck_ok(lsm_open(r.path, &o, &r.db));
    ck_ok(fs_format(r.db, 0, 0, 0755, &rig_limits));
    rig_mount(&r);
    ino = write_pieces(&r, 8);
    for (unsigned i = 1; i < AROUND_AFTER; i++)
        ck_assert_uint_eq(asked_for(&r, &counts, ino, i % 2 * PIECE), 0);
    for (uint64_t i = 0; i < 8; i++)
        ck_assert_uint_eq(asked_for(&r, &counts, ino, i * PIECE), 1);
    for (uint64_t i = 0; i < 8; i++)
        ck_assert_uint_eq(asked_for(&r, &counts, ino, i * PIECE), 0);
    rig_release(&r);
}
END_TEST

TEST_MAIN("fs_around", TEST_CASE(a_file_is_read_around_after_some_reads_apart),
          TEST_CASE(each_piece_is_fetched_once),
          TEST_CASE(what_is_read_in_order_is_not_read_around),
          TEST_CASE(large_reads_neither_count_nor_want),
          TEST_CASE(small_files_and_huge_ones_are_not_read_around),
          TEST_CASE(what_a_file_has_grown_by_is_not_read_around),
          TEST_CASE(of_too_many_files_the_one_longest_not_read_is_forgotten),
          TEST_CASE(reads_here_and_there_have_the_disk_asked_for_each_extent_once))
