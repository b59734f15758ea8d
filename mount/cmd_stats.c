/*
 * cmd_stats.c - siltfs stats STORE|MNT: from the daemon when there is one, else
 * from the store.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "control.h"
#include "log.h"
#include "mountinfo.h"
#include "mountpoint.h"
#include "report.h"
#include "store.h"

struct form {
    const char *control; /* the file of a mount that has it */
    report_fn *write;
};

static const struct form text_form = {"stats", report_text};
static const struct form json_form = {"stats.json", report_json};
static const struct form prometheus_form = {"stats.prom", report_prometheus};

static int live(const char *mountpoint, const struct form *form, struct why *why)
{
    static char path[PATH_MAX + 32];
    char text[4096];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "%s/" CONTROL_NAME "/%s", mountpoint, form->control);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTCONN)
        return why_set(why, -ENOTCONN,
                       "%s: its daemon has died; `siltfs umount` or mount it again",
                       mountpoint);
    if (fd < 0 && errno == ENOENT)
        return why_set(why, -ENOENT,
                       "%s: its daemon is an older siltfs, which does not tell that",
                       mountpoint);
    if (fd < 0)
        return why_set(why, -errno, "%s: %s", path, strerror(errno));
    while ((n = read(fd, text, sizeof(text))) > 0)
        fwrite(text, 1, (size_t)n, stdout);
    if (n < 0)
        why_set(why, n = -errno, "%s: %s", path, strerror(errno));
    close(fd);
    return (int)n;
}

static int at_rest(const char *path, const struct form *form, struct why *why)
{
    struct lsm_options o;
    struct fs_options fo;
    struct fs_stats fs_stats;
    struct lsm_stats stats;
    struct report report = {.store = path, .lsm = &stats};
    struct fs *fs = NULL;
    struct lsm *db;
    int err;

    lsm_options_init(&o);
    o.read_only = true;
    err = store_open(path, &o, &db, why);
    if (err)
        return err;
    fs_options_init(&fo);
    fo.read_only = true;
    err = fs_mount(db, &fo, &fs);
    if (err && err != -ENODATA) {
        store_why(path, err, why);
        lsm_close(db);
        return err;
    }
    log_to_stderr();
    if (fs) {
        fs_get_stats(fs, &fs_stats);
        report.fs = &fs_stats;
    }
    lsm_get_stats(db, &stats);
    form->write(stdout, &report);
    if (fs)
        fs_unmount(fs);
    lsm_close(db); /* read only: nothing to lose */
    return 0;
}

static int show(const char *arg, const struct form *form, struct why *why)
{
    static char path[PATH_MAX];
    static struct mountinfo m;
    int err = env_is_rados(arg) ? store_resolve(arg, path, why)
                                : mountpoint_resolve(arg, path, why);

    if (err && env_is_rados(arg))
        return err;
    if (err)
        return why_set(why, err, "%s: neither a store nor a mount: %s", arg,
                       strerror(-err));
    if (mountinfo_at(path, &m) == 0 && mountinfo_is_siltfs(&m))
        return live(path, form, why);
    if (store_mount(path, &m) == 0)
        return live(m.target, form, why);
    return at_rest(path, form, why);
}

int cmd_stats(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'}, {"prometheus", no_argument, NULL, 'p'}, {0}};
    const struct form *form = &text_form;
    struct why why;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if ((c != 'j' && c != 'p') || form != &text_form)
            return usage("stats");
        form = c == 'j' ? &json_form : &prometheus_form;
    }
    if (argc - optind != 1)
        return usage("stats");
    if (show(argv[optind], form, &why))
        return fail("%s", why.text);
    return fflush(stdout) == 0 ? 0 : fail("cannot write: %s", strerror(errno));
}
