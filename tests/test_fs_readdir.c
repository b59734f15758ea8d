/*
 * test_fs_readdir.c - listing directories, also while they change.
 */
#include "test_fs.h"

static struct rig rig;
static struct rig *const r = &rig;

/* What a scan has shown. */
struct listing {
    unsigned room; /* entries per call */
    unsigned in_call;
    enum fs_taken taken;
    uint64_t cookie;
    bool plus;
    unsigned n;
    uint8_t *seen; /* times, by the number that the name is */
    unsigned seen_max;
    char first[3][32];
    struct fs_attr last;
};

static enum fs_taken sink(void *arg, const char *name, const struct fs_attr *attr,
                          uint64_t next)
{
    struct listing *l = arg;
    unsigned i;

    if (l->in_call == l->room)
        return FS_FULL;
    l->in_call++;
    if (l->n < 3)
        snprintf(l->first[l->n], sizeof(l->first[0]), "%.31s", name);
    l->n++;
    ck_assert_uint_gt(next, l->cookie);
    l->cookie = next;
    l->last = *attr;
    if (l->seen && sscanf(name, "n%u", &i) == 1) {
        ck_assert_uint_lt(i, l->seen_max);
        l->seen[i]++;
    }
    return l->taken;
}

/* One call; false at the end. */
static bool list_some(uint64_t dir, struct listing *l)
{
    unsigned before = l->n;

    l->in_call = 0;
    ck_ok(fs_readdir(r->fs, dir, l->cookie, l->plus, sink, l));
    return l->n != before;
}

static void list_all(uint64_t dir, struct listing *l)
{
    while (list_some(dir, l))
        ;
}

static uint64_t live(void)
{
    struct fs_stats s;

    fs_get_stats(r->fs, &s);
    return s.live_inodes;
}

START_TEST(dots_come_first_and_entries_in_order_of_creation)
{
    struct listing l = {.room = 2, .taken = FS_TAKEN, .plus = true};
    uint64_t d, s;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    rig_file(r, d, "z");
    s = rig_dir(r, d, "a");
    list_all(d, &l);
    ck_assert_uint_eq(l.n, 4);
    ck_assert_str_eq(l.first[0], ".");
    ck_assert_str_eq(l.first[1], "..");
    ck_assert_str_eq(l.first[2], "z");
    ck_assert_uint_eq(l.last.st.st_ino, s);
    ck_assert_uint_eq(l.last.st.st_mode, S_IFDIR | 0755);
    ck_assert_uint_eq(l.last.st.st_nlink, 2);
    rig_release(r);
}
END_TEST

START_TEST(without_plus_there_is_number_and_type)
{
    struct listing l = {.room = 10, .taken = FS_TAKEN};
    struct fs_attr a;

    rig_init(r, "s");
    ck_ok(fs_symlink(r->fs, &r->cred, FS_ROOT, "l", "x", &a));
    list_all(FS_ROOT, &l);
    ck_assert_uint_eq(l.n, 3);
    ck_assert_uint_eq(l.last.st.st_ino, a.st.st_ino);
    ck_assert_uint_eq(l.last.st.st_mode & S_IFMT, S_IFLNK);
    rig_release(r);
}
END_TEST

START_TEST(only_directories_are_listed)
{
    struct listing l = {.room = 10, .taken = FS_TAKEN};
    uint64_t d, f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_err(fs_readdir(r->fs, f, 0, false, sink, &l), ENOTDIR);
    ck_err(fs_readdir(r->fs, f, 5, false, sink, &l), ENOTDIR);
    ck_err(fs_readdir(r->fs, 999, 0, false, sink, &l), ESTALE);
    ck_err(fs_readdir(r->fs, FS_ROOT, UINT64_MAX, false, sink, &l), EINVAL);
    d = rig_dir(r, FS_ROOT, "d");
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    ck_err(fs_readdir(r->fs, d, 0, false, sink, &l), ENOENT);
    ck_assert_uint_eq(l.n, 0);
    rig_release(r);
}
END_TEST

START_TEST(attributes_are_those_of_the_live_inode)
{
    struct listing l = {.room = 10, .taken = FS_TAKEN, .plus = true};
    size_t n;
    uint64_t f;
    char c;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "12345");
    ck_ok(fs_read(r->fs, f, 0, 1, &c, &n)); /* an atime that is only in memory */
    list_all(FS_ROOT, &l);
    ck_assert_int_eq(l.last.st.st_size, 5);
    ck_assert_int_eq(stamp_cmp(l.last.st.st_atim, rig_attr(r, f).st.st_atim), 0);
    rig_release(r);
}
END_TEST

START_TEST(entries_taken_as_lookups_are_referenced)
{
    struct listing l = {.room = 3, .taken = FS_TAKEN_LOOKUP, .plus = true};
    struct fs_attr a;
    uint64_t d;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    fs_forget(r->fs, rig_file(r, d, "n1"), 1);
    fs_forget(r->fs, rig_dir(r, d, "n2"), 1);
    ck_ok(fs_mknod(r->fs, &r->cred, d, "n3", S_IFREG, 0, &a));
    ck_ok(fs_link(r->fs, a.st.st_ino, d, "n4", &a));
    fs_forget(r->fs, a.st.st_ino, 2);
    ck_assert_uint_eq(live(), 2);
    list_all(d, &l);
    ck_assert_uint_eq(l.n, 6);
    ck_assert_uint_eq(live(), 5); /* and neither "." nor "..", nor what was not taken */
    fs_forget(r->fs, a.st.st_ino, 1);
    ck_assert_uint_eq(live(), 5); /* two names, two lookups */
    fs_forget(r->fs, a.st.st_ino, 1);
    ck_assert_uint_eq(live(), 4);
    rig_release(r);
}
END_TEST

START_TEST(without_lookups_nothing_stays_live)
{
    struct listing l = {.room = 100, .taken = FS_TAKEN, .plus = true};
    char name[16];
    int i;

    rig_init(r, "s");
    for (i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        fs_forget(r->fs, rig_file(r, FS_ROOT, name), 1);
    }
    list_all(FS_ROOT, &l);
    ck_assert_uint_eq(l.n, 52);
    ck_assert_uint_eq(live(), 1);
    rig_release(r);
}
END_TEST

enum { MANY = 50000 };

static void make_many(uint64_t d)
{
    char name[16];
    int i;

    for (i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        fs_forget(r->fs, rig_file(r, d, name), 1);
    }
}

START_TEST(a_large_directory_is_scanned_while_it_is_emptied)
{
    struct listing l = {.room = 100, .taken = FS_TAKEN, .plus = true};
    char name[16];
    unsigned gone = 0, i;
    uint64_t d;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    make_many(d);
    l.seen = calloc(1, MANY);
    l.seen_max = MANY;
    while (list_some(d, &l)) { /* rm -rf: delete what each call showed */
        for (; gone < MANY && l.seen[gone]; gone++) {
            snprintf(name, sizeof(name), "n%u", gone);
            ck_ok(fs_unlink(r->fs, d, name));
        }
    }
    ck_assert_uint_eq(gone, MANY);
    for (i = 0; i < MANY; i++)
        ck_assert_uint_eq(l.seen[i], 1);
    ck_assert_uint_eq(live(), 2);
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    free(l.seen);
    rig_release(r);
}
END_TEST

START_TEST(what_stays_is_seen_once_whatever_comes_and_goes)
{
    struct listing l = {.room = 50, .taken = FS_TAKEN};
    uint64_t rnd = test_seed(), d;
    uint8_t *touched = calloc(1, MANY);
    char name[16], other[16];
    unsigned i, step = 0;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    make_many(d);
    l.seen = calloc(1, MANY);
    l.seen_max = MANY;
    while (list_some(d, &l)) {
        unsigned victim = (unsigned)test_below(&rnd, MANY);

        step++;
        snprintf(name, sizeof(name), "n%u", victim);
        snprintf(other, sizeof(other), "x%u", step);
        if (touched[victim])
            continue;
        touched[victim] = 1;
        if (step % 2)
            ck_ok(fs_unlink(r->fs, d, name));
        else
            ck_ok(fs_rename(r->fs, NULL, d, name, d, other, 0));
        if (step < 300)
            rig_file(r, d, step % 2 ? other : "unused"), fs_unlink(r->fs, d, "unused");
    }
    for (i = 0; i < MANY; i++) {
        if (!touched[i])
            ck_assert_uint_eq(l.seen[i], 1);
        ck_assert_uint_le(l.seen[i], 1);
    }
    free(l.seen);
    free(touched);
    rig_release(r);
}
END_TEST

TEST_MAIN("fs_readdir", TEST_CASE(dots_come_first_and_entries_in_order_of_creation),
          TEST_CASE(without_plus_there_is_number_and_type),
          TEST_CASE(only_directories_are_listed),
          TEST_CASE(attributes_are_those_of_the_live_inode),
          TEST_CASE(entries_taken_as_lookups_are_referenced),
          TEST_CASE(without_lookups_nothing_stays_live),
          TEST_CASE_SLOW(a_large_directory_is_scanned_while_it_is_emptied, 300),
          TEST_CASE_SLOW(what_stays_is_seen_once_whatever_comes_and_goes, 300))
