/*
 * tool_newer.c - tool_newer STORE: make the filesystem in STORE one of a later
 * version, for the tests of what is said about it.
 *
 * The superblock is "siltfs" and the version, one byte as long as it is small.
 */
#include "lsm/lsm.h"

#include <stdio.h>

static int make_newer(struct lsm *db)
{
    static const char magic[] = "siltfs";
    struct slice key = slice_str("Ssuper");
    struct lsm_value v = {0};
    struct buf b = {0};
    int err = lsm_get(db, NULL, key, &v);

    if (!err) {
        buf_append_slice(&b, v.value);
        err = buf_error(&b);
    }
    if (!err && (b.len <= strlen(magic) || memcmp(b.data, magic, strlen(magic)) != 0))
        err = -EINVAL;
    if (!err) {
        b.data[strlen(magic)] += 3;
        err = lsm_put(db, key, buf_slice(&b));
    }
    buf_release(&b);
    lsm_value_release(&v);
    return err;
}

int main(int argc, char **argv)
{
    struct lsm_options o;
    struct lsm *db;
    int err, close_err;

    if (argc != 2)
        return 2;
    lsm_options_init(&o);
    err = lsm_open(argv[1], &o, &db);
    if (!err) {
        err = make_newer(db);
        close_err = lsm_close(db);
        err = err ? err : close_err;
    }
    if (err)
        fprintf(stderr, "tool_newer: %s: %s\n", argv[1], strerror(-err));
    return err ? 1 : 0;
}
