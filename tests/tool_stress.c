/*
 * tool_stress.c - the load of tests/mount_kill.sh and tests/mount_load.sh (stress.h).
 *
 *     tool_stress init STATE MNT OWN SHARED     regions for one worker, and for all
 *     tool_stress load STATE MNT SECONDS SEED [WORKERS] [writeback]
 *     tool_stress check STATE MNT [writeback] [clean]
 *     tool_stress wait PID MNT                  until that daemon serves MNT
 *
 * `load` lets WORKERS processes (one a region of its own if not given) call until the
 * time is over or the mount is dead, and prints "operations N". `check` compares all,
 * also up to the calls in flight, and prints what it compared. Exit codes: 0, the mount
 * lives; 3, it died on the way; 1, something is wrong, told on stderr.
 */
#include "tests/stress.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/test.h"

enum {
    EXIT_DEAD = 3,
    POLL_MS = 5,
    HANGS_AFTER_POLLS = 60 * 1000 / POLL_MS, /* a worker that does not end */
    SHARED_TURN = 4, /* one call in so many is in a shared region */
    WORKERS_MAX = 256,
};

struct state {
    uint32_t own, shared; /* regions */
    struct stress_region region[];
};

static int complain(const char *what)
{
    fprintf(stderr, "tool_stress: %s: %s\n", what, strerror(errno));
    return 1;
}

static size_t state_bytes(uint32_t regions)
{
    return sizeof(struct state) + regions * sizeof(struct stress_region);
}

/* regions 0: as many as there are. */
static struct state *state_map(const char *path, uint32_t regions)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | (regions ? O_CREAT : 0), 0600);
    struct stat st;
    void *map = MAP_FAILED;

    if (fd >= 0 && regions && ftruncate(fd, (off_t)state_bytes(regions)) < 0)
        return NULL;
    if (fd >= 0 && fstat(fd, &st) == 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return map == MAP_FAILED ? NULL : map;
}

/* The kernel answers much from its caches, but never this. */
static bool is_dead(const char *mnt)
{
    struct statfs s;

    return statfs(mnt, &s) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

/* ---- init ---- */

static int init(char **arg)
{
    uint32_t own = (uint32_t)atoi(arg[2]), shared = (uint32_t)atoi(arg[3]), i;
    struct state *s = state_map(arg[0], own + shared);
    char path[PATH_MAX];

    if (!s)
        return complain(arg[0]);
    s->own = own;
    s->shared = shared;
    snprintf(path, sizeof(path), "%s/common", arg[1]);
    if (mkdir(path, 0755) < 0)
        return complain(path);
    for (i = 0; i < own + shared; i++) {
        stress_region_init(&s->region[i], i);
        stress_dir_path(&s->region[i], arg[1], STRESS_TOP, path);
        if (mkdir(path, 0755) < 0)
            return complain(path);
    }
    return 0;
}

/* ---- load ---- */

/* One call in region r. 0, or the exit code. */
static int one_call(struct stress_region *r, struct stress_worker *w)
{
    struct stress_op op;
    int rc;

    stress_draw(r, w, &op);
    r->op = op;
    rc = stress_do(r, w, &op);
    if (rc != -op.expect) {
        if (rc != -EBADMSG && is_dead(w->mnt))
            return EXIT_DEAD;
        fprintf(stderr, "region %u: %s: %s, not %s\n", r->number,
                stress_kind_name(op.kind), strerror(-rc),
                op.expect ? strerror(op.expect) : "success");
        return 1;
    }
    stress_apply(r, &op, w->writeback);
    memset(&r->op, 0, sizeof(r->op));
    r->past[r->operations++ % STRESS_PAST] = op;
    return 0;
}

static int work(struct state *s, struct stress_worker *w, unsigned number, time_t until)
{
    int rc = 0;

    umask(0);
    for (unsigned i = 0; i < STRESS_HELD; i++)
        w->held[i] = -1;
    w->buf = malloc(STRESS_FILE_MAX);
    while (w->buf && !rc && time(NULL) < until) {
        bool shared =
            number >= s->own || (s->shared && test_below(&w->random, SHARED_TURN) == 0);
        struct stress_region *r =
            shared ? &s->region[s->own + test_below(&w->random, s->shared)]
                   : &s->region[number];

        pthread_mutex_lock(&r->turn);
        /* Its last call is not known to have happened: nothing more can be foretold. */
        rc = r->op.kind ? EXIT_DEAD : one_call(r, w);
        pthread_mutex_unlock(&r->turn);
    }
    if (rc == EXIT_DEAD && is_dead(w->mnt) && stress_held_are_dead(w))
        rc = 1;
    return w->buf ? rc : 1;
}

/*
 * The worst exit code of the workers; those that hang are told and killed. Counted in
 * polls: a machine that stood still for a minute makes nobody hang.
 */
static int wait_for(pid_t *pid, unsigned n, time_t until)
{
    int worst = 0, status, late = 0;
    unsigned left = n, i;
    char path[64], where[128] = "";
    FILE *f;

    while (left && late < HANGS_AFTER_POLLS) {
        struct timespec pause = {.tv_nsec = POLL_MS * 1000000};

        for (i = 0; i < n; i++) {
            if (pid[i] <= 0 || waitpid(pid[i], &status, WNOHANG) != pid[i])
                continue;
            pid[i] = 0;
            left--;
            status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            worst = status == 1 || worst == 1 ? 1 : status > worst ? status : worst;
        }
        nanosleep(&pause, NULL);
        late += time(NULL) >= until;
    }
    for (i = 0; i < n; i++) {
        if (pid[i] <= 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%d/wchan", (int)pid[i]);
        if ((f = fopen(path, "r")) && fgets(where, sizeof(where), f))
            fprintf(stderr, "worker %u hangs in %s\n", i, where);
        if (f)
            fclose(f);
        kill(pid[i], SIGKILL);
        worst = 1;
    }
    return worst;
}

static uint64_t operations(const struct state *s)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < s->own + s->shared; i++)
        sum += s->region[i].operations;
    return sum;
}

static int load(char **arg, int n)
{
    struct state *s = state_map(arg[0], 0);
    time_t until = time(NULL) + atoi(arg[2]);
    uint64_t seed = strtoull(arg[3], NULL, 10), before;
    struct stress_worker w = {.mnt = "."}; /* what is detached is still there for us */
    pid_t pid[WORKERS_MAX];
    unsigned workers, i;
    int rc;

    if (!s || chdir(arg[1]) < 0)
        return complain(arg[0]);
    workers = s->own;
    for (i = 4; i < (unsigned)n; i++) {
        if (strcmp(arg[i], "writeback") == 0)
            w.writeback = true;
        else
            workers = (unsigned)atoi(arg[i]);
    }
    before = operations(s);
    for (i = 0; i < workers && i < WORKERS_MAX; i++) {
        w.random = (seed + i) * 0x9E3779B97F4A7C15ull | 1;
        pid[i] = fork();
        if (pid[i] == 0)
            _exit(work(s, &w, i, until));
        if (pid[i] < 0)
            complain("fork");
    }
    rc = wait_for(pid, i, until);
    printf("operations %llu\n", (unsigned long long)(operations(s) - before));
    return rc;
}

/* ---- check ---- */

static int check(char **arg, int n)
{
    struct state *s = state_map(arg[0], 0);
    struct stress_counts c = {0};
    bool writeback = false, clean = false;
    int rc = 0, worst = 0;

    if (!s)
        return complain(arg[0]);
    for (int i = 2; i < n; i++) {
        writeback |= strcmp(arg[i], "writeback") == 0;
        clean |= strcmp(arg[i], "clean") == 0;
    }
    for (unsigned i = 0; i < s->own + s->shared; i++) {
        if (clean)
            stress_all_synced(&s->region[i]);
        rc = stress_check(&s->region[i], arg[1], writeback, &c);
        if (rc == -ENOTCONN)
            return EXIT_DEAD;
        worst = rc ? 1 : worst;
    }
    printf(
        "compared %llu files, %llu bytes, %llu in flight, %llu happened, %llu unsynced\n",
        (unsigned long long)c.files, (unsigned long long)c.bytes,
        (unsigned long long)c.in_flight, (unsigned long long)c.happened,
        (unsigned long long)c.unsynced);
    return worst;
}

/* ---- wait ---- */

static int wait_served(char **arg)
{
    struct timespec pause = {.tv_nsec = 2000000};
    char path[64], line[512] = "";
    struct statfs s;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%s/stat", arg[0]);
    for (;;) {
        if (statfs(arg[1], &s) == 0 && s.f_type == FUSE_SUPER_MAGIC)
            return 0;
        f = fopen(path, "r");
        if (!f || !fgets(line, sizeof(line), f) || strstr(line, ") Z"))
            return EXIT_DEAD;
        fclose(f);
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";

    if (argc == 6 && strcmp(what, "init") == 0)
        return init(argv + 2);
    if (argc >= 6 && strcmp(what, "load") == 0)
        return load(argv + 2, argc - 2);
    if (strcmp(what, "check") == 0)
        return check(argv + 2, argc - 2);
    if (argc == 4 && strcmp(what, "wait") == 0)
        return wait_served(argv + 2);
    fprintf(stderr, "usage: see the source\n");
    return 1;
}
