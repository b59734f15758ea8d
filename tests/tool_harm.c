/*
 * tool_harm.c - tool_harm STORE drop|put LETTER NUMBER [NUMBER]: damage the records of
 * a filesystem at rest, for the tests of fsck. The key is the letter and the numbers
 * (fs/FORMAT.md, "Keys"); put stores a "?" there, which is no record of any kind.
 */
#include "lsm/lsm.h"

#include "fs/keys.h"

#include <stdio.h>
#include <stdlib.h>

static int harm(struct lsm *db, int argc, char **argv)
{
    enum key_letter letter = (enum key_letter)argv[3][0];
    uint64_t first = strtoull(argv[4], NULL, 10);
    struct key k;
    struct slice key = argc == 6 ? key_two(&k, letter, first, strtoull(argv[5], NULL, 10))
                                 : key_one(&k, letter, first);
    int err;

    if (strcmp(argv[2], "put") == 0)
        return lsm_put(db, key, slice_str("?"));
    err = lsm_exists(db, NULL, key);
    return err ? err : lsm_delete(db, key);
}

int main(int argc, char **argv)
{
    struct lsm_options o;
    struct lsm *db;
    int err, close_err;

    if (argc != 5 && argc != 6)
        return 2;
    lsm_options_init(&o);
    err = lsm_open(argv[1], &o, &db);
    if (!err) {
        err = harm(db, argc, argv);
        close_err = lsm_close(db);
        err = err ? err : close_err;
    }
    if (err)
        fprintf(stderr, "tool_harm: %s: %s\n", argv[1], strerror(-err));
    return err ? 1 : 0;
}
