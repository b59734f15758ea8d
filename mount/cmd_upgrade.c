/*
 * cmd_upgrade.c - siltfs upgrade STORE: can this program use it, and what has to be done?
 *
 * Up to now nothing ever has: each version of the format can express all that earlier
 * ones could, and is written only where it must be. What changes that converts here.
 */
#include "command.h"
#include "log.h"
#include "options.h"
#include "store.h"

/* The superblock's versions: fs/FORMAT.md. */
static void show(const char *path, const struct fs_limits *limits)
{
    if (limits->bytes || limits->inodes)
        printf("%s: format 2, for it has limits (`siltfs set %s size=none inodes=none` "
               "makes it 1)\n",
               path, path);
    else
        printf("%s: format 1\n", path);
    printf("nothing to upgrade: siltfs uses it as it is\n");
}

static int run(const char *path, struct why *why)
{
    struct fs_limits limits;
    struct lsm_options o;
    struct lsm *db;
    int err, close_err;

    lsm_options_init(&o);
    o.format = FS_FORMAT;
    o.read_only = true;
    err = store_open(path, &o, &db, why);
    if (err)
        return err;
    err = fs_get_limits(db, &limits);
    close_err = lsm_close(db);
    err = err ? err : close_err;
    if (err == -ENODATA)
        return why_set(why, err, "%s: holds no filesystem", path);
    if (err)
        return store_why(path, err, why);
    show(path, &limits);
    return 0;
}

int cmd_upgrade(int argc, char **argv)
{
    char path[PATH_MAX];
    struct why why;

    if (argc != 2 || argv[1][0] == '-')
        return usage("upgrade");
    if (store_resolve(argv[1], path, &why) || run(path, &why))
        return fail("%s", why.text);
    return 0;
}
