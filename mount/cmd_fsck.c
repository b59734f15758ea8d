/*
 * cmd_fsck.c - siltfs fsck and siltfs verify: look at a store at rest, change
 * nothing. fsck asks whether the tree makes sense, verify whether the bytes are
 * those that were written.
 */
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "../fs/fs.h"
#include "store.h"

enum {
    EXIT_CLEAN = 0,
    EXIT_PROBLEMS = 1,
    EXIT_TROUBLE = 8, /* as fsck(8) has it: could not be checked */
};

static int trouble(const struct why *why)
{
    fail("%s", why->text);
    return EXIT_TROUBLE;
}

static int open_at_rest(int argc, char **argv, struct lsm **db, char path[PATH_MAX],
                        struct why *why)
{
    struct lsm_options o;
    int err;

    if (argc != 2 || argv[1][0] == '-')
        return why_set(why, -EINVAL,
                       "usage: siltfs %s STORE (`siltfs help %s` says more)", argv[0],
                       argv[0]);
    err = store_resolve(argv[1], path, why);
    if (err)
        return err;
    lsm_options_init(&o);
    o.read_only = true;
    err = store_open(path, &o, db, why);
    if (!err)
        log_to_stderr();
    return err;
}

static void print_problem(void *arg, const char *line)
{
    printf("%s\n", line);
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

int cmd_fsck(int argc, char **argv)
{
    char path[PATH_MAX];
    uint64_t problems = 0;
    struct why why;
    struct lsm *db;
    int err;

    if (open_at_rest(argc, argv, &db, path, &why))
        return trouble(&why);
    err = fs_check(db, print_problem, NULL, &problems);
    lsm_close(db); /* read only: nothing to lose */
    if (err == -ENODATA)
        why_set(&why, err, "%s: holds no filesystem", path);
    else if (err == -EPROTONOSUPPORT)
        store_why(path, err, &why);
    else if (err)
        why_set(&why, err, "%s: the check stopped: %s", path, strerror(-err));
    if (problems)
        printf("%s: %llu problem%s\n", path, (unsigned long long)problems,
               plural(problems));
    else if (!err)
        printf("%s: clean\n", path);
    fflush(stdout);
    if (err)
        return trouble(&why);
    return problems ? EXIT_PROBLEMS : EXIT_CLEAN;
}

int cmd_verify(int argc, char **argv)
{
    char path[PATH_MAX];
    struct why why;
    struct lsm *db;
    int err;

    if (open_at_rest(argc, argv, &db, path, &why))
        return trouble(&why);
    err = lsm_verify(db);
    lsm_close(db);
    if (err == -EUCLEAN) {
        printf("%s: damaged\n", path);
        return EXIT_PROBLEMS;
    }
    if (err) {
        why_set(&why, err, "%s: the check stopped: %s", path, strerror(-err));
        return trouble(&why);
    }
    printf("%s: every byte is as written\n", path);
    return EXIT_CLEAN;
}
