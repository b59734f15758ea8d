/*
 * test_fs_circles.c - trees that are none, as a stranger may put them into a store. See
 * fuzz_fs.c.
 */
#include "test_fs.h"

#include <time.h>

#include "tests/fs_harm.h"

/* Of processor time. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct tree {
    struct rig r;
    uint64_t a, b, c; /* /a/b/c */
};

static void begin(struct tree *t, const char *name)
{
    test_log_capture();
    rig_init(&t->r, name);
    t->a = rig_dir(&t->r, FS_ROOT, "a");
    t->b = rig_dir(&t->r, t->a, "b");
    t->c = rig_dir(&t->r, t->b, "c");
    ck_ok(fs_unmount(t->r.fs));
}

/* Mounted again, and everything known by its number, as the kernel would. */
static void mount_again(struct tree *t)
{
    rig_mount(&t->r);
    ck_assert_uint_eq(rig_lookup(&t->r, FS_ROOT, "a"), t->a);
    ck_assert_uint_eq(rig_lookup(&t->r, t->a, "b"), t->b);
}

static void end(struct tree *t)
{
    ck_ok(fs_unmount(t->r.fs));
    ck_ok(lsm_close(t->r.db));
}

/* An entry of c that leads to what is above it would be locked against the order of the
 * tree: another thread on its way down, and both wait for ever. */
static void refuse_up(struct tree *t, const char *name)
{
    struct fs_attr a;

    ck_err(fs_lookup(t->r.fs, t->c, name, &a), EUCLEAN);
    ck_err(fs_unlink(t->r.fs, t->c, name), EUCLEAN);
    ck_err(fs_rmdir(t->r.fs, t->c, name), EUCLEAN);
    ck_err(fs_rename(t->r.fs, &t->r.cred, t->c, name, t->a, "x", 0), EUCLEAN);
}

START_TEST(an_entry_that_leads_up_the_tree_is_damage)
{
    struct record file = {.mode = S_IFREG | 0600, .nlink = 1};
    struct harm h;
    struct tree t;

    begin(&t, "up");
    harm_begin(&h, t.r.db);
    harm_add_name(&h, t.c, 900, "dir", t.a, S_IFDIR);
    harm_add_name(&h, t.c, 901, "file", t.a, S_IFREG);
    harm_put_embedded(&h, t.c, t.b, slice_str("inside"), t.b, &file);
    harm_index(&h, t.c, "inside", t.b);
    harm_end(&h);
    mount_again(&t);
    ck_assert_uint_eq(rig_lookup(&t.r, t.b, "c"), t.c);
    refuse_up(&t, "dir");
    refuse_up(&t, "file");
    refuse_up(&t, "inside");
    end(&t);
}
END_TEST

static uint64_t loop_to;

static void lead_to_loop(struct record *rec)
{
    rec->dir.parent = loop_to;
}

/* a is below c, which is below b, which is below a; /d holds an entry that leads in. */
START_TEST(a_rename_into_a_circle_ends_and_says_so)
{
    double before;
    struct harm h;
    struct tree t;
    uint64_t d;

    begin(&t, "circle");
    rig_mount(&t.r);
    d = rig_dir(&t.r, FS_ROOT, "d");
    rig_file(&t.r, d, "f");
    ck_ok(fs_unmount(t.r.fs));
    mount_again(&t);
    ck_assert_uint_eq(rig_lookup(&t.r, t.b, "c"), t.c);
    ck_assert_uint_eq(rig_lookup(&t.r, FS_ROOT, "d"), d);
    ck_ok(fs_unmount(t.r.fs));
    harm_begin(&h, t.r.db);
    loop_to = t.c;
    harm_inode(&h, t.a, lead_to_loop);
    harm_end(&h);
    rig_mount(&t.r);
    ck_assert_uint_eq(rig_lookup(&t.r, t.b, "c"), t.c); /* by number, as NFS has it */
    ck_assert_uint_eq(rig_lookup(&t.r, FS_ROOT, "d"), d);
    before = seconds();
    ck_err(fs_rename(t.r.fs, &t.r.cred, d, "f", t.c, "f", 0), EUCLEAN);
    ck_assert_double_lt(seconds() - before, 5);
    end(&t);
}
END_TEST

TEST_MAIN("fs_circles", TEST_CASE(an_entry_that_leads_up_the_tree_is_damage),
          TEST_CASE(a_rename_into_a_circle_ends_and_says_so))
