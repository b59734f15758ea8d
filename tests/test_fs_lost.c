/*
 * test_fs_lost.c - fs_repair: what lost+found is and does, contents that cannot be read,
 * trees deeper than any stack, and a repair that is cut off at each of its calls to the
 * disk.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "fs_dump.h"
#include "fs_harm.h"
#include "fs_tree.h"
#include "test_fs.h"

static struct tree tree;
static struct tree *const t = &tree;
static struct harm h;

static void begin(void)
{
    test_log_capture();
    tree_init(t);
    tree_copy(t);
    harm_begin(&h, t->db);
}

static void end(void)
{
    harm_end(&h);
    tree_close(t);
    tree_release(t);
}

/* Returns how many problems there were; none is left. */
static uint64_t repair(void)
{
    static const struct fs_repair_options o;
    struct fs_repair_result result;
    uint64_t n;

    ck_ok(fs_repair(t->db, &o, NULL, NULL, &result));
    ck_assert_uint_eq(result.left, 0);
    ck_ok(fs_check(t->db, rig_line, NULL, &n));
    ck_assert_uint_eq(n, 0);
    return result.problems;
}

static void ck_there(const struct dump *d, const char *path, uint64_t ino)
{
    const struct dump_line *l = dump_find(d, path);

    ck_assert_msg(l, "there is no %s", path);
    ck_assert_uint_eq(l->ino, ino);
}

/* ---- lost+found ---- */

static void lose_linked(void)
{
    harm_remove_name(&h, FS_ROOT, T_LINKED);
    harm_remove_name(&h, T_DIR, T_LINK);
}

START_TEST(lost_found_is_made_once_for_the_owner_of_the_root_alone)
{
    struct fs_options o;
    struct fs_attr a, b;
    struct record rec;
    struct fs *fs;

    begin();
    rec = harm_get_inode(&h, FS_ROOT);
    rec.uid = 1000;
    rec.gid = 1001;
    harm_put_inode(&h, FS_ROOT, &rec);
    lose_linked();
    ck_assert_uint_gt(repair(), 0);
    harm_remove_name(&h, T_DIR, T_SUB);
    ck_assert_uint_gt(repair(), 0);
    fs_options_init(&o);
    ck_ok(fs_mount(t->db, &o, &fs));
    ck_ok(fs_lookup(fs, FS_ROOT, "lost+found", &a));
    ck_assert_uint_eq(a.st.st_mode, S_IFDIR | 0700);
    ck_assert_uint_eq(a.st.st_uid, 1000);
    ck_assert_uint_eq(a.st.st_gid, 1001);
    ck_assert_uint_eq(a.st.st_nlink, 3);
    ck_ok(fs_lookup(fs, a.st.st_ino, "#20", &b));
    ck_assert_uint_eq(b.st.st_nlink, 1);
    ck_ok(fs_lookup(fs, a.st.st_ino, "#17", &b));
    ck_ok(fs_unmount(fs));
    end();
}
END_TEST

START_TEST(a_name_in_lost_found_that_is_taken_gets_a_number)
{
    struct dump d;

    begin();
    harm_add_name(&h, FS_ROOT, T_FREE - 1, "lost+found", T_LINKED, S_IFREG);
    lose_linked();
    harm_put_ref(&h, FS_ROOT, T_FREE - 1, "lost+found", T_DEEP, S_IFREG);
    /* "lost+found" is a link to /d/sub/deep now, and so is what will be called #20. */
    repair();
    tree_dump(t, &d);
    ck_there(&d, "/lost+found", T_DEEP);
    ck_there(&d, "/lost+found.2/#20", T_LINKED);
    dump_release(&d);
    end();
}
END_TEST

START_TEST(lost_found_that_is_there_is_used_and_its_names_are_left)
{
    struct record rec;
    struct dump d;

    begin();
    harm_add_name(&h, FS_ROOT, T_FREE, "lost+found", T_FREE, S_IFDIR);
    rec = harm_get_inode(&h, T_HOLLOW);
    harm_put_inode(&h, T_FREE, &rec);
    harm_add_name(&h, T_FREE, T_FREE - 1, "#17", T_LINKED, S_IFREG);
    harm_remove_name(&h, T_DIR, T_SUB);
    repair();
    tree_dump(t, &d);
    ck_there(&d, "/lost+found", T_FREE);
    ck_there(&d, "/lost+found/#17", T_LINKED);
    ck_there(&d, "/lost+found/#17.2", T_SUB);
    ck_there(&d, "/lost+found/#17.2/deep", T_DEEP);
    dump_release(&d);
    end();
}
END_TEST

START_TEST(lost_found_that_is_lost_itself_is_not_used)
{
    struct dump d;

    begin();
    lose_linked();
    repair();
    tree_dump(t, &d);
    harm_remove_name(&h, FS_ROOT, dump_find(&d, "/lost+found")->ino);
    dump_release(&d);
    repair();
    tree_dump(t, &d);
    ck_assert(dump_find(&d, "/lost+found"));
    ck_assert(dump_find_ino(&d, T_LINKED));
    dump_release(&d);
    end();
}
END_TEST

/* ---- two records of one inode ---- */

START_TEST(what_is_made_gets_a_number_that_nothing_had)
{
    enum { NEXT = 5000 };
    struct dump d;

    begin();
    harm_put_counter(&h, key_next(), NEXT);
    lose_linked();
    repair();
    tree_dump(t, &d);
    ck_there(&d, "/lost+found", NEXT);
    dump_release(&d);
    end();
}
END_TEST

/* The names that a repair would give are taken. */
START_TEST(a_second_entry_of_a_name_gets_another_whatever_names_there_are)
{
    enum { SECOND = T_FREE, OTHERS = 70 };
    char name[32];
    uint64_t i;

    begin();
    for (i = 1; i <= OTHERS; i++) {
        snprintf(name, sizeof(name), "f~%d.%" PRIu64, SECOND, i);
        harm_add_name(&h, FS_ROOT, SECOND + i, name, T_LINKED, S_IFREG);
    }
    harm_add_name(&h, FS_ROOT, SECOND, "f", T_LINKED, S_IFREG);
    harm_index(&h, FS_ROOT, "f", T_FILE);
    repair();
    end();
}
END_TEST

START_TEST(of_two_entries_with_a_record_the_newer_one_counts)
{
    struct dentry d;
    struct record old;
    struct dump is;

    begin();
    d = harm_get_dentry(&h, T_SUB, T_DEEP);
    old = d.rec;
    old.ctime.sec -= 100;
    old.file.size = old.file.bytes = 4;
    old.run_bytes = old.run_count = 0;
    harm_put_embedded(&h, FS_ROOT, T_DEEP, slice_str("old"), T_DEEP, &old);
    repair();
    tree_dump(t, &is);
    ck_there(&is, "/old", T_DEEP);
    ck_there(&is, "/d/sub/deep", T_DEEP);
    ck_assert_str_eq(dump_find(&is, "/d/sub/deep")->facts,
                     dump_find(&t->was, "/d/sub/deep")->facts);
    dump_release(&is);
    end();
}
END_TEST

/* ---- contents ---- */

static void flip_segments(struct env *env)
{
    char path[64];
    unsigned i;

    for (i = 1; i < 100; i++) {
        struct buf b = {0};

        snprintf(path, sizeof(path), "/store/%06u.vlog", i);
        if (env_mem_read(env, path, &b) == 0 && b.len > 1000)
            ck_ok(env_mem_flip(env, path, b.len / 2, 0x10));
        buf_release(&b);
    }
}

START_TEST(contents_that_cannot_be_read_are_told_and_left)
{
    static const struct fs_repair_options with = {.contents = true}, without;
    struct fs_repair_result result;
    uint64_t n;

    begin();
    ck_ok(fs_check_contents(t->db, rig_line, NULL, &n));
    ck_assert_uint_eq(n, 0);
    flip_segments(t->env);
    ck_ok(fs_check(t->db, rig_line, NULL, &n));
    ck_assert_uint_eq(n, 0);
    ck_ok(fs_check_contents(t->db, NULL, NULL, &n));
    ck_assert_uint_gt(n, 0);
    ck_ok(fs_repair(t->db, &with, NULL, NULL, &result));
    ck_assert_uint_eq(result.problems, n);
    ck_assert_uint_eq(result.left, n);
    ck_ok(fs_repair(t->db, &without, NULL, NULL, &result));
    ck_assert_uint_eq(result.problems, 0);
    end();
}
END_TEST

/* ---- depth ---- */

enum { DEPTH = SOAK_SANITIZED ? 2000 : 20000 };

static void put_chain_dir(struct lsm_batch *b, struct buf *buf, uint64_t ino,
                          uint64_t parent, const struct record *like, bool leaf)
{
    struct seqs seqs = {.n = 1, .seq = {ino}};
    struct record rec = *like;
    struct key k;

    rec.dir.parent = parent;
    rec.dir.entries = rec.dir.subdirs = !leaf;
    buf_clear(buf);
    record_encode(buf, &rec);
    lsm_batch_put(b, key_inode(&k, ino), buf_slice(buf));
    buf_clear(buf);
    dentry_encode_ref(buf, slice_str("x"), ino, S_IFDIR);
    lsm_batch_put(b, key_dentry(&k, parent, ino), buf_slice(buf));
    buf_clear(buf);
    seqs_encode(buf, &seqs);
    lsm_batch_put(b, key_names(&k, parent, name_hash(h.seed, slice_str("x"))),
                  buf_slice(buf));
}

/* Directories 1000, 1001, ... each in the one before, the first in the last: a circle. */
static void put_circle(void)
{
    struct record like = harm_get_inode(&h, T_HOLLOW);
    struct lsm_batch *b = lsm_batch_new();
    struct buf buf = {0};
    uint64_t i;

    for (i = 0; i < DEPTH; i++)
        put_chain_dir(b, &buf, 1000 + i, 1000 + (i + DEPTH - 1) % DEPTH, &like, false);
    ck_ok(lsm_write(t->db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    buf_release(&buf);
    harm_put_counter(&h, key_next(), 1000 + DEPTH);
}

START_TEST(a_deep_circle_is_cut_once)
{
    struct fs_options o;
    struct fs_attr a;
    struct fs *fs;

    begin();
    put_circle();
    ck_assert_uint_eq(repair(), 1);
    fs_options_init(&o);
    ck_ok(fs_mount(t->db, &o, &fs));
    ck_ok(fs_lookup(fs, FS_ROOT, "lost+found", &a));
    ck_ok(fs_lookup(fs, a.st.st_ino, "#1000", &a));
    ck_assert_uint_eq(a.st.st_nlink, 3);
    ck_ok(fs_lookup(fs, a.st.st_ino, "x", &a));
    ck_assert_uint_eq(a.st.st_ino, 1001);
    ck_ok(fs_unmount(fs));
    end();
}
END_TEST

/* ---- cut off ---- */

static void put_twice(void)
{
    struct record rec = harm_get_dentry(&h, FS_ROOT, T_Q).rec;

    harm_put_embedded(&h, T_DIR, T_Q, slice_str("q2"), T_Q, &rec);
    harm_index(&h, T_DIR, "q2", T_Q);
    harm_counts(&h, T_DIR, 1, 0);
}

/* Something of everything that takes more than a changed record to mend. */
static void harm_a_lot(void)
{
    struct key k;

    harm_begin(&h, t->db);
    put_twice();
    harm_remove_name(&h, T_DIR, T_SUB);
    harm_put(&h, key_dentry(&k, FS_ROOT, T_FILE), "?");
    harm_drop(&h, key_inode(&k, T_ACL));
    harm_index(&h, FS_ROOT, "g", 0);
    harm_put_extent(&h, T_BIG, 1000, "over");
    harm_put_extent(&h, 99, 5, "hello");
    harm_add_name(&h, FS_ROOT, T_FREE, "sub2", T_HOLLOW, S_IFDIR);
    harm_put_counter(&h, key_next(), 17);
    harm_end(&h);
    ck_ok(lsm_sync(t->db));
}

/* The same inodes under the same paths; what lost+found itself is may differ. */
static void ck_same_tree(const struct dump *want, const struct dump *is, uint64_t n)
{
    size_t i;

    for (i = 0; i < want->n; i++) {
        const struct dump_line *w = &want->line[i], *l = dump_find(is, w->path);
        const struct dump_line *was = dump_find(&t->was, w->path);

        ck_assert_msg(l, "after %llu calls: %s is gone", (unsigned long long)n, w->path);
        ck_assert(strcmp(w->path, "/lost+found") == 0 || l->ino == w->ino);
        ck_assert_uint_eq(l->nlink, w->nlink);
        if (was && strcmp(was->facts, w->facts) == 0)
            ck_assert_str_eq(l->facts, was->facts);
    }
    ck_assert_uint_eq(is->n, want->n);
}

static uint64_t repair_whole(struct dump *d)
{
    uint64_t before, calls;

    tree_copy(t);
    harm_a_lot();
    before = env_mem_calls(t->env);
    repair();
    calls = env_mem_calls(t->env) - before;
    tree_dump(t, d);
    tree_close(t);
    return calls;
}

static void repair_cut_off(uint64_t n, enum env_mem_crash mode)
{
    static const struct fs_repair_options o;
    struct fs_repair_result result;
    struct env *after;

    tree_copy(t);
    harm_a_lot();
    env_mem_stop_at(t->env, n);
    (void)fs_repair(t->db, &o, NULL, NULL, &result);
    after = env_mem_crash_clone(t->env, n, mode);
    (void)lsm_close(t->db);
    env_mem_free(t->env);
    t->env = after;
    t->db = tree_open(after);
}

START_TEST(a_repair_that_is_cut_off_anywhere_is_completed_by_the_next)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_KEEP_ALL, ENV_MEM_LOSE_UNSYNCED,
                                               ENV_MEM_KEEP_RANDOM};
    uint64_t calls, n;
    struct dump want, is;

    test_log_capture();
    tree_init(t);
    calls = repair_whole(&want);
    ck_assert_uint_gt(calls, 20);
    for (n = 0; n <= calls; n += SOAK_SANITIZED ? 7 : 1) {
        repair_cut_off(n, modes[n % 3]);
        repair();
        tree_dump(t, &is);
        ck_same_tree(&want, &is, n);
        dump_release(&is);
        tree_close(t);
    }
    dump_release(&want);
    tree_release(t);
}
END_TEST

TEST_MAIN("fs_lost", TEST_CASE(lost_found_is_made_once_for_the_owner_of_the_root_alone),
          TEST_CASE(a_name_in_lost_found_that_is_taken_gets_a_number),
          TEST_CASE(lost_found_that_is_there_is_used_and_its_names_are_left),
          TEST_CASE(lost_found_that_is_lost_itself_is_not_used),
          TEST_CASE(what_is_made_gets_a_number_that_nothing_had),
          TEST_CASE(a_second_entry_of_a_name_gets_another_whatever_names_there_are),
          TEST_CASE(of_two_entries_with_a_record_the_newer_one_counts),
          TEST_CASE(contents_that_cannot_be_read_are_told_and_left),
          TEST_CASE(a_deep_circle_is_cut_once),
          TEST_CASE(a_repair_that_is_cut_off_anywhere_is_completed_by_the_next))
