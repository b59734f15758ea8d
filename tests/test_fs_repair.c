/*
 * test_fs_repair.c - each kind of damage, one at a time (fs_damages.h): what fs_check
 * says about it, word for word; that fs_repair mends it at once; that what it did not
 * touch is as before.
 *
 * The tree is made once; each case takes a copy of the disk. CASE=name runs one.
 */
#include <stdlib.h>

#include "fs_damages.h"
#include "fs_tree.h"
#include "test_fs.h"

/* ---- running one ---- */

struct told {
    char *line[64];
    unsigned n;
};

static void tell(void *arg, const char *line)
{
    struct told *t = arg;

    if (strncmp(line, "remark: ", 8) == 0)
        return;
    ck_assert_msg(t->n < 64, "no end of problems: %s", line);
    t->line[t->n++] = strdup(line);
}

static void told_clear(struct told *t)
{
    while (t->n)
        free(t->line[--t->n]);
}

static void told_fail(const struct damage *d, const struct told *t, const char *why)
{
    unsigned i;

    for (i = 0; i < t->n; i++)
        printf("%s: %s\n", d->name, t->line[i]);
    fflush(stdout);
    ck_abort_msg("%s: %s", d->name, why);
}

/* The lines are those that the case expects, each of them once. */
static void ck_says(const struct damage *d, const struct told *t)
{
    unsigned i, j, n = 0;

    while (n < DAMAGE_LINES && d->says[n])
        n++;
    for (i = 0; i < n; i++) {
        for (j = 0; j < t->n && strcmp(t->line[j], d->says[i]) != 0;)
            j++;
        if (j == t->n)
            told_fail(d, t, d->says[i]);
    }
    if (t->n != n)
        told_fail(d, t, "says more than that");
}

/* list is words with a space before each. */
static bool in_list(const char *list, const char *path)
{
    size_t len = strlen(path);
    const char *at = list;

    while (at && (at = strstr(at, path))) {
        if (at > list && at[-1] == ' ' && (at[len] == ' ' || !at[len]))
            return true;
        at++;
    }
    return false;
}

static bool may_be_new(const struct damage *d, const char *path)
{
    return in_list(d->made, path) || (d->made && strcmp(path, "/lost+found") == 0);
}

/* The root has a link more when lost+found was made. */
static bool same_line(const struct damage *d, const struct dump_line *was,
                      const struct dump_line *is)
{
    return strcmp(was->facts, is->facts) == 0 && was->ino == is->ino &&
           (was->nlink == is->nlink || (d->made && strcmp(was->path, "/") == 0));
}

static void ck_same(const struct damage *d, const struct dump *was, const struct dump *is)
{
    size_t i;

    for (i = 0; i < was->n; i++) {
        const struct dump_line *l = dump_find(is, was->line[i].path);

        if (in_list(d->touched, was->line[i].path))
            continue;
        ck_assert_msg(l, "%s: %s is gone", d->name, was->line[i].path);
        ck_assert_msg(same_line(d, &was->line[i], l), "%s: %s was\n%s, is\n%s", d->name,
                      l->path, was->line[i].facts, l->facts);
    }
    for (i = 0; i < is->n; i++) {
        const char *path = is->line[i].path;

        ck_assert_msg(dump_find(was, path) || may_be_new(d, path), "%s: %s is new",
                      d->name, path);
    }
}

static void ck_made(const struct damage *d, const struct dump *is)
{
    char list[400], *path, *rest = list;

    snprintf(list, sizeof(list), "%s", d->made ? d->made : "");
    while ((path = strsep(&rest, " "))) {
        ck_assert_msg(!*path || dump_find(is, path), "%s: there is no %s", d->name, path);
    }
}

static void run_damage(struct tree *t, const struct damage *d)
{
    static const struct fs_repair_options o = {.uid = 7, .gid = 8};
    struct fs_repair_result result;
    struct told told = {0};
    struct dump is;
    struct harm h;
    uint64_t n;

    tree_copy(t);
    harm_begin(&h, t->db);
    d->harm(&h);
    harm_end(&h);
    ck_ok(fs_check(t->db, tell, &told, &n));
    ck_says(d, &told);
    told_clear(&told);
    ck_ok(fs_repair(t->db, &o, tell, &told, &result));
    if (result.left || result.problems != n)
        told_fail(d, &told, "is not mended at once");
    told_clear(&told);
    ck_ok(fs_check(t->db, tell, &told, &n));
    if (n)
        told_fail(d, &told, "is not clean after it was mended");
    ck_ok(fs_repair(t->db, &o, tell, &told, &result));
    ck_assert_uint_eq(result.problems, 0);
    tree_dump(t, &is);
    ck_same(d, &t->was, &is);
    ck_made(d, &is);
    dump_release(&is);
    tree_close(t);
}

static void run_damages(const struct damage *d)
{
    const char *one = getenv("CASE");
    struct tree t;

    test_log_capture();
    tree_init(&t);
    for (; d->name; d++) {
        if (!one || strcmp(one, d->name) == 0)
            run_damage(&t, d);
    }
    tree_release(&t);
}

START_TEST(each_damage_to_names_is_told_and_mended_and_the_rest_is_as_before)
{
    run_damages(damages_of_names);
}
END_TEST

START_TEST(each_damage_to_inodes_is_told_and_mended_and_the_rest_is_as_before)
{
    run_damages(damages_of_inodes);
}
END_TEST

TEST_MAIN("fs_repair",
          TEST_CASE(each_damage_to_names_is_told_and_mended_and_the_rest_is_as_before),
          TEST_CASE(each_damage_to_inodes_is_told_and_mended_and_the_rest_is_as_before))
