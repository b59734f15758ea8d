/*
 * kv_measure.c - figures out of /proc and the store's directory.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "bench.h"
#include "kv_measure.h"

enum {
    WATCH_US = 250000,
    REST_US = 20000, /* so often, REST_SAME times the same, REST_LOOKS at most */
    REST_SAME = 5,
    REST_LOOKS = 100,
};

/* The number after `name` in one of /proc's lists; 0 when it is not there. */
static uint64_t proc_number(const char *path, const char *name)
{
    FILE *f = fopen(path, "r");
    char line[256];
    uint64_t n = 0;

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, name, strlen(name)) == 0)
            n = strtoull(line + strlen(name), NULL, 10);
    }
    if (f)
        fclose(f);
    return n;
}

struct kv_io kv_io_now(void)
{
    return (struct kv_io){
        .written_bytes = proc_number("/proc/self/io", "write_bytes:"),
        .cancelled_bytes = proc_number("/proc/self/io", "cancelled_write_bytes:"),
    };
}

uint64_t kv_disk_bytes(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;
    uint64_t sum = 0;

    while (d && (e = readdir(d))) { /* a file may go meanwhile */
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_blocks * 512;
    }
    if (d)
        closedir(d);
    return sum;
}

uint64_t kv_disk_bytes_at_rest(const char *dir)
{
    uint64_t last = kv_disk_bytes(dir), now;

    for (int looks = 0, same = 0; looks < REST_LOOKS && same < REST_SAME; looks++) {
        usleep(REST_US);
        now = kv_disk_bytes(dir);
        same = now == last ? same + 1 : 0;
        last = now;
    }
    return last;
}

void kv_memory_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");

    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

uint64_t kv_memory_peak_bytes(void)
{
    return 1024 * proc_number("/proc/self/status", "VmHWM:");
}

uint64_t kv_memory_anon_bytes(void)
{
    return 1024 * proc_number("/proc/self/status", "RssAnon:");
}

struct kv_watch {
    const char *dir;
    pthread_t thread;
    atomic_bool over;
    uint64_t most;
};

static void *watch(void *arg)
{
    struct kv_watch *w = arg;

    for (bool over = false; !over;) {
        uint64_t now = kv_disk_bytes(w->dir);

        if (now > w->most)
            w->most = now;
        over = atomic_load(&w->over);
        if (!over)
            usleep(WATCH_US);
    }
    return NULL;
}

struct kv_watch *kv_watch_start(const char *dir)
{
    struct kv_watch *w = calloc(1, sizeof(*w));

    if (!w)
        bench_die(-ENOMEM, "watch");
    w->dir = dir;
    if (pthread_create(&w->thread, NULL, watch, w))
        bench_die(-EAGAIN, "thread");
    return w;
}

uint64_t kv_watch_stop(struct kv_watch *w)
{
    uint64_t most;

    atomic_store(&w->over, true);
    pthread_join(w->thread, NULL);
    most = w->most;
    free(w);
    return most;
}

void kv_remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}
