/*
 * test_fs_itable.c - the table of live inodes: references, and that a record
 * read too early never becomes live.
 */
#include "fs/fs_impl.h"
#include "test_fs.h"

#include <inttypes.h>

static struct itable table;
static struct itable *const t = &table;

static const struct record file = {.mode = S_IFREG | 0644, .nlink = 1};

static struct inode *embedded(uint64_t ino, uint64_t dir)
{
    char text[24];
    struct slice name;
    struct inode *in;

    snprintf(text, sizeof(text), "%" PRIu64, ino);
    name = slice_str(text);
    in = inode_new(ino, &file, dir, ino, &name);
    ck_assert_ptr_nonnull(in);
    return in;
}

static struct inode *offer(uint64_t ino, uint64_t dir)
{
    return itable_insert(t, embedded(ino, dir), itable_sample(t, dir));
}

START_TEST(an_inode_lives_as_long_as_it_is_referenced)
{
    struct inode *in;

    ck_ok(itable_init(t));
    ck_assert_ptr_null(itable_find(t, 20));
    in = offer(20, 1);
    ck_assert_ptr_eq(itable_find(t, 20), in);
    ck_assert(itable_put(t, in));
    itable_add_lookup(t, in);
    itable_add_lookup(t, in);
    ck_assert(itable_put(t, in));
    ck_assert_ptr_eq(itable_find(t, 20), in);
    ck_assert(itable_referenced(t, in));
    itable_take_lookups(t, in, 1);
    ck_assert(itable_referenced(t, in));
    itable_take_lookups(t, in, 5); /* more than there are */
    ck_assert(!itable_referenced(t, in));
    ck_assert_uint_eq(itable_count(t), 1);
    ck_assert(itable_put(t, in));
    ck_assert_uint_eq(itable_count(t), 0);
    ck_assert_ptr_null(itable_find(t, 20));
    itable_release(t);
}
END_TEST

START_TEST(the_first_to_be_live_wins)
{
    struct inode *a, *b;

    ck_ok(itable_init(t));
    a = offer(20, 1);
    b = offer(20, 1);
    ck_assert_ptr_eq(a, b);
    ck_assert(itable_put(t, a));
    ck_assert(itable_put(t, b));
    itable_release(t);
}
END_TEST

START_TEST(a_record_read_before_a_change_is_refused)
{
    uint64_t sample;
    struct inode *in;

    ck_ok(itable_init(t));
    sample = itable_sample(t, 1);
    /* the reader reads here; somebody else is faster, changes the inode, and forgets */
    in = offer(20, 1);
    inode_set(in, &file);
    ck_assert(itable_put(t, in));
    ck_assert_ptr_null(itable_insert(t, embedded(20, 1), sample));
    in = offer(20, 1); /* read again */
    ck_assert_ptr_nonnull(in);
    ck_assert(itable_put(t, in));
    itable_release(t);
}
END_TEST

START_TEST(a_record_read_before_a_mere_visit_is_good)
{
    uint64_t sample;
    struct inode *in;

    ck_ok(itable_init(t));
    sample = itable_sample(t, 1);
    in = offer(20, 1);
    ck_assert(itable_put(t, in));
    in = itable_insert(t, embedded(20, 1), sample);
    ck_assert_ptr_nonnull(in);
    ck_assert(itable_put(t, in));
    itable_release(t);
}
END_TEST

START_TEST(the_last_reference_has_work_to_do)
{
    struct inode *in;

    ck_ok(itable_init(t));
    in = offer(20, 1);
    in->state |= INODE_ATIME;
    ck_assert(!itable_put(t, in));
    in->state = 0;
    ck_assert(itable_put(t, in));
    itable_release(t);
}
END_TEST

START_TEST(many_inodes_come_and_go)
{
    enum { MANY = 100000 };
    uint64_t i;

    ck_ok(itable_init(t));
    for (i = 0; i < MANY; i++)
        offer(16 + i * 3, 1);
    ck_assert_uint_eq(itable_count(t), MANY);
    for (i = 0; i < MANY; i++) {
        struct inode *in = itable_find(t, 16 + i * 3);

        ck_assert_uint_eq(in->ino, 16 + i * 3);
        ck_assert_ptr_null(itable_find(t, 17 + i * 3));
        ck_assert(itable_put(t, in));
        ck_assert(itable_put(t, in));
    }
    ck_assert_uint_eq(itable_count(t), 0);
    itable_release(t);
}
END_TEST

START_TEST(a_live_inode_is_small)
{
    ck_assert_uint_lt(sizeof(struct inode) + strlen("a name.txt") + 1, 276 - 16);
}
END_TEST

/* ---- names ---- */

/* By its name: the number, pinned no more; 0: not in memory. */
static uint64_t named(uint64_t dir, const char *name, bool *sole)
{
    uint64_t seq, hash = name_hash(t->hash_seed, slice_str(name));
    struct inode *in = itable_find_name(t, dir, hash, slice_str(name), &seq, sole);
    uint64_t ino = in ? in->ino : 0;

    if (in)
        ck_assert_uint_eq(seq, in->home.seq);
    if (in)
        ck_assert(itable_put(t, in));
    return ino;
}

static void move_name(struct inode *in, uint64_t dir, uint64_t seq, const char *name)
{
    char *memory;

    ck_ok(inode_name_room(in, name, &memory));
    itable_move(t, in, dir, seq, name, memory);
}

START_TEST(a_name_of_any_length_is_the_inodes_own)
{
    static const char *const names[] = {"20", "2", "a longer one", "", "b", "a longer 1"};
    char name[FS_NAME_MAX + 1], *memory;
    struct inode *in;
    bool sole;

    ck_ok(itable_init(t));
    in = offer(20, 1);
    for (unsigned i = 0; i < 6; i++) {
        memset(name, 'x', FS_NAME_MAX);
        name[FS_NAME_MAX] = 0;
        if (*names[i])
            strcpy(name, names[i]);
        move_name(in, 1, 20, name);
        ck_assert_uint_eq(named(1, name, &sole), 20);
        name[0] = '!'; /* the caller's */
        ck_assert_uint_eq(named(1, name, &sole), 0);
    }
    ck_ok(inode_name_room(in, "20", &memory));
    ck_assert(!memory); /* where its first one was */
    ck_assert(itable_put(t, in));
    itable_release(t);
}
END_TEST

START_TEST(an_embedded_inode_is_found_by_its_name_while_it_is_live)
{
    struct inode *a, *b;
    bool sole;

    ck_ok(itable_init(t));
    a = offer(20, 1);
    b = offer(21, 2);
    ck_assert_uint_eq(named(1, "20", &sole), 20);
    ck_assert_uint_eq(named(1, "21", &sole), 0);
    ck_assert_uint_eq(named(2, "21", &sole), 21);
    move_name(a, 2, 20, "other");
    ck_assert_uint_eq(named(1, "20", &sole), 0);
    ck_assert_uint_eq(named(2, "other", &sole), 20);
    itable_move(t, b, 0, 0, NULL, NULL); /* it has a key of its own now */
    ck_assert_uint_eq(named(2, "21", &sole), 0);
    ck_assert(itable_put(t, a));
    ck_assert(itable_put(t, b));
    ck_assert_uint_eq(named(2, "other", &sole), 0);
    itable_release(t);
}
END_TEST

START_TEST(a_name_is_sole_until_another_has_its_hash_or_it_moves)
{
    struct inode *in;
    uint64_t hash;
    bool sole = true;

    ck_ok(itable_init(t));
    in = offer(20, 1);
    hash = in->name_hash;
    ck_assert_uint_eq(named(1, "20", &sole), 20);
    ck_assert(!sole); /* nobody has said so */
    itable_set_sole(t, 1, hash, 20);
    ck_assert_uint_eq(named(1, "20", &sole), 20);
    ck_assert(sole);
    itable_set_sole(t, 2, hash, 0); /* another directory's business */
    ck_assert_uint_eq(named(1, "20", &sole), 20);
    ck_assert(sole);
    itable_set_sole(t, 1, hash, 0);
    ck_assert_uint_eq(named(1, "20", &sole), 20);
    ck_assert(!sole);
    itable_set_sole(t, 1, hash, 20);
    move_name(in, 1, 20, "new");
    ck_assert_uint_eq(named(1, "new", &sole), 20);
    ck_assert(!sole);
    ck_assert(itable_put(t, in));
    itable_release(t);
}
END_TEST

/* ---- records that move ---- */

static struct rig rig;
static struct rig *const r = &rig;

/* What op does must refuse records read under `dir` before. */
#define ck_noted(dir, op)                                                                \
    do {                                                                                 \
        uint64_t ck_sample = itable_sample(&r->fs->inodes, dir);                         \
        ck_ok(op);                                                                       \
        ck_assert_uint_ne(itable_sample(&r->fs->inodes, dir), ck_sample);                \
    } while (0)

START_TEST(a_record_that_moves_is_noted_where_it_was)
{
    struct fs_attr a;
    uint64_t d, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, FS_ROOT, "f");
    ck_noted(FS_ROOT, fs_rename(r->fs, NULL, FS_ROOT, "f", d, "f", 0));
    ck_noted(d, fs_link(r->fs, f, FS_ROOT, "g", &a));
    rig_release(r);
}
END_TEST

TEST_MAIN("fs_itable", TEST_CASE(an_inode_lives_as_long_as_it_is_referenced),
          TEST_CASE(the_first_to_be_live_wins),
          TEST_CASE(a_record_read_before_a_change_is_refused),
          TEST_CASE(a_record_read_before_a_mere_visit_is_good),
          TEST_CASE(the_last_reference_has_work_to_do),
          TEST_CASE(many_inodes_come_and_go), TEST_CASE(a_live_inode_is_small),
          TEST_CASE(a_name_of_any_length_is_the_inodes_own),
          TEST_CASE(an_embedded_inode_is_found_by_its_name_while_it_is_live),
          TEST_CASE(a_name_is_sole_until_another_has_its_hash_or_it_moves),
          TEST_CASE(a_record_that_moves_is_noted_where_it_was))
