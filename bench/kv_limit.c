/*
 * kv_limit.c - see kv_limit.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "bench.h"
#include "kv_limit.h"

__attribute__((noreturn)) static void fill_and_end(struct kv_store *s)
{
    kv_store_new(s);
    kv_store_fill(s);
    kv_store_settle(s);
    s->engine->close(s->db);
    _exit(0);
}

/* The kernel's pages of its files, which whoever filled it has paid for. */
static void forget_pages(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int fd;

    if (!d)
        bench_die(-errno, "%s", path);
    while ((e = readdir(d))) {
        fd = openat(dirfd(d), e->d_name, O_RDONLY);
        if (fd < 0)
            bench_die(-errno, "%s/%s", path, e->d_name);
        fsync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
    }
    closedir(d);
}

static void join(const char *cgroup)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    f = fopen(path, "w");
    if (!f || fprintf(f, "%d\n", (int)getpid()) < 0 || fclose(f) != 0)
        bench_die(-errno, "cannot join %s", path);
}

void kv_fill_then_join(struct kv_store *s, const char *cgroup)
{
    pid_t child;
    int status;

    fflush(NULL);
    child = fork();
    if (child == 0)
        fill_and_end(s);
    if (child < 0 || waitpid(child, &status, 0) < 0)
        bench_die(-errno, "child");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_die(0, "%s: filling failed", s->engine->name);
    forget_pages(s->path);
    join(cgroup);
    s->db = s->engine->open(s->config, s->path);
    s->value_bytes = s->config->value_bytes;
}
