/*
 * mountinfo.c - see mountinfo.h. The format is in proc_pid_mountinfo(5):
 *
 *   36 35 98:0 /root /target rw,noatime shared:1 - type source superoptions
 */
#include "mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copy a field, undoing the kernel's octal escapes of space, tab, newline, '\'. */
static bool unescape(const char *from, char *to, size_t cap)
{
    size_t n = 0;

    while (*from) {
        if (n + 1 >= cap)
            return false;
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            to[n++] =
                (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            to[n++] = *from++;
        }
    }
    to[n] = '\0';
    return true;
}

/* Cut the next space-separated field off *line; NULL when there is none. */
static char *field(char **line)
{
    char *f = strsep(line, " ");

    return f && *f ? f : NULL;
}

static bool parse(char *line, struct mountinfo *m)
{
    char *dev, *target, *f, *type, *source;

    line[strcspn(line, "\n")] = '\0';
    if (!field(&line) || !field(&line))
        return false;
    dev = field(&line);
    if (!dev || sscanf(dev, "%u:%u", &m->major, &m->minor) != 2)
        return false;
    if (!field(&line) || !(target = field(&line)))
        return false;
    f = field(&line);
    m->read_only = f && (strcmp(f, "ro") == 0 || strncmp(f, "ro,", 3) == 0);
    while (f && strcmp(f, "-") != 0)
        f = field(&line);
    type = f ? field(&line) : NULL;
    source = type ? strsep(&line, " ") : NULL; /* may be empty */
    return source && unescape(target, m->target, sizeof(m->target)) &&
           unescape(type, m->type, sizeof(m->type)) &&
           unescape(source, m->source, sizeof(m->source));
}

struct wanted {
    const char *path;
    unsigned major, minor;
};

typedef bool match_fn(const struct mountinfo *m, const struct wanted *what);

/* The last match wins: a later mount covers an earlier one at the same place. */
static int find(match_fn *match, const struct wanted *what, struct mountinfo *out)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    struct mountinfo *m = malloc(sizeof(*m));
    char *line = NULL;
    size_t cap = 0;
    int err = -ENOENT;

    if (!f || !m) {
        err = f ? -ENOMEM : -errno;
        goto out;
    }
    while (getline(&line, &cap, f) >= 0) {
        if (parse(line, m) && match(m, what)) {
            *out = *m;
            err = 0;
        }
    }
    if (ferror(f))
        err = -EIO;
out:
    free(line);
    free(m);
    if (f)
        fclose(f);
    return err;
}

static bool at_target(const struct mountinfo *m, const struct wanted *what)
{
    return strcmp(m->target, what->path) == 0;
}

static bool of_store(const struct mountinfo *m, const struct wanted *what)
{
    return mountinfo_is_siltfs(m) && strcmp(m->source, what->path) == 0;
}

static bool of_device(const struct mountinfo *m, const struct wanted *what)
{
    return of_store(m, what) && m->major == what->major && m->minor == what->minor;
}

int mountinfo_at(const char *target, struct mountinfo *out)
{
    struct wanted what = {.path = target};

    return find(at_target, &what, out);
}

int mountinfo_of_store(const char *store, struct mountinfo *out)
{
    struct wanted what = {.path = store};

    return find(of_store, &what, out);
}

int mountinfo_of_device(const char *store, unsigned major, unsigned minor,
                        struct mountinfo *out)
{
    struct wanted what = {store, major, minor};

    return find(of_device, &what, out);
}

bool mountinfo_is_siltfs(const struct mountinfo *m)
{
    return strcmp(m->type, SILTFS_TYPE) == 0;
}
