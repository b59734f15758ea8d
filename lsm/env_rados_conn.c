/*
 * env_rados_conn.c - the connection to a cluster: one a process, made when it is needed.
 *
 * librados is loaded then, too: linked to the program it would cost each of its starts
 * ten milliseconds, and who has no cluster need not have it.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_impl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LEASE_S = 30,
    FULL_PAUSE_NS = 500000000, /* between two tries to write to a full pool */
    PROBE_BYTES = 64 << 10,
    CREDIT_MAX = 64 << 20,
    CREDIT_LAST = 1 << 20, /* for what is SMALL: entries of logs that delete, and edits */
    SMALL = 4 << 10,
};

struct rados_api ra;

static struct mutex conn_mu = MUTEX_INITIALIZER(LOCK_ENV_RADOS_CONN);
static struct conn *_Atomic the_conn;
static struct env_rados_options options;

void env_rados_configure(const struct env_rados_options *o)
{
    mutex_lock(&conn_mu);
    options = *o;
    mutex_unlock(&conn_mu);
}

/*
 * librados' threads go on while exit() runs its destructors, and use what these take
 * down (seen: its timer, in the monitor client, SIGSEGV). Registered when the library is
 * loaded, so before they run.
 */
static void end_at_once(int status, void *arg)
{
    (void)arg;
    fflush(NULL);
    _exit(status);
}

static int load(void)
{
    static void *lib;

    if (lib)
        return 0;
    lib = dlopen("librados.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        err_log("rados: %s; is the package librados2 installed?", dlerror());
        return -EOPNOTSUPP;
    }
#define RADOS_LOAD(f)                                                                    \
    ra.f = (__typeof__(ra.f))(uintptr_t)dlsym(lib, "rados_" #f);                         \
    if (!ra.f) {                                                                         \
        err_log("rados: librados has no rados_%s: too old", #f);                         \
        lib = NULL;                                                                      \
        return -EOPNOTSUPP;                                                              \
    }
    RADOS_FUNCTIONS(RADOS_LOAD)
#undef RADOS_LOAD
    if (on_exit(end_at_once, NULL)) {
        lib = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int configure(struct conn *c)
{
    const char *conf = options.conf ? options.conf : getenv("CEPH_CONF");
    int rc;

    if (!conf)
        conf = "/etc/ceph/ceph.conf";
    rc = ra.conf_read_file(c->cluster, conf);
    if (rc) {
        err_log("rados: %s: %s", conf, strerror(-rc));
        return rc;
    }
    /* Of the first connection; operations wait as long as it takes. */
    rc = ra.conf_set(c->cluster, "client_mount_timeout", "30");
    /* Whoever finds another's there waits for it, and that one may be stopped. */
    return rc ? rc : ra.conf_set(c->cluster, "admin_socket", "");
}

/* "--id USER" or "-n client.USER" of CEPH_ARGS, as Ceph's own programs take it. */
static void default_name(char name[128])
{
    char *args = strdup(getenv("CEPH_ARGS") ? getenv("CEPH_ARGS") : ""), *rest = args,
         *word;
    const char *last = "";

    strcpy(name, "client.admin");
    while (args && (word = strsep(&rest, " ="))) {
        if (strcmp(last, "--id") == 0 || strcmp(last, "--user") == 0)
            snprintf(name, 128, "client.%s", word);
        else if (strcmp(last, "-n") == 0 || strcmp(last, "--name") == 0)
            snprintf(name, 128, "%s", word);
        last = word;
    }
    free(args);
}

static int connect_to(struct conn *c)
{
    char name[128];
    int rc;

    default_name(name);
    if (options.user)
        snprintf(name, sizeof(name), "client.%s", options.user);
    rc = ra.create2(&c->cluster, "ceph", name, 0);
    if (rc)
        return rc;
    rc = configure(c);
    if (!rc) {
        rc = ra.connect(c->cluster);
        if (rc)
            err_log("rados: no connection to the cluster as %s: %s", name, strerror(-rc));
    }
    if (!rc)
        rc = ra.getaddrs(c->cluster, &c->addrs);
    if (rc)
        ra.shutdown(c->cluster);
    return rc == -ENOENT ? -ENOTCONN
                         : rc; /* no configuration, or no key; not: no store */
}

int conn_get(struct conn **out)
{
    struct conn *c = NULL;
    int rc = 0;

    mutex_lock(&conn_mu);
    if (!the_conn) {
        c = calloc(1, sizeof(*c));
        rc = c ? load() : -ENOMEM;
        if (!rc)
            rc = connect_to(c);
        if (!rc) {
            c->lease_s = options.lease_s ? options.lease_s : LEASE_S;
            the_conn = c;
        } else {
            free(c);
        }
    }
    *out = the_conn;
    mutex_unlock(&conn_mu);
    return rc;
}

/* ---- this process ---- */

/* A pid means something to who was booted by the same boot and sees the same processes.
 */
const char *conn_host(void)
{
    static char host[96];
    char boot[48] = "";
    struct stat st = {0};
    FILE *f;

    if (host[0])
        return host;
    f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (f) {
        if (!fgets(boot, sizeof(boot), f))
            boot[0] = '\0';
        fclose(f);
    }
    boot[strcspn(boot, "\n")] = '\0';
    if (!boot[0] || stat("/proc/self/ns/pid", &st))
        snprintf(host, sizeof(host), "?");
    else
        snprintf(host, sizeof(host), "%s/%llu", boot, (unsigned long long)st.st_ino);
    return host;
}

const char *conn_machine(void)
{
    static char name[65];

    if (!name[0] && gethostname(name, sizeof(name) - 1))
        strcpy(name, "?");
    return name;
}

uint64_t conn_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- a full pool ---- */

/*
 * It was not full until now, so what was written above the ratio has room below it again:
 * the whole credit is there anew. A flush may need it: values that are in a log are
 * written once more, before that goes.
 */
void conn_note_full(struct conn *c)
{
    long long had = atomic_load(&c->credit);

    if (!atomic_exchange(&c->full, true))
        while (had < CREDIT_MAX &&
               !atomic_compare_exchange_weak(&c->credit, &had, CREDIT_MAX))
            ;
    atomic_store(&c->full_ns, conn_now_ns());
}

bool conn_is_full(void)
{
    struct conn *c = atomic_load(&the_conn);

    return c && atomic_load(&c->full);
}

uint64_t conn_credit(struct conn *c)
{
    return (uint64_t)atomic_load(&c->credit);
}

void conn_give_credit(struct conn *c, uint64_t bytes)
{
    if (atomic_load(&c->credit) < CREDIT_MAX)
        atomic_fetch_add(&c->credit, bytes < CREDIT_MAX ? (long long)bytes : CREDIT_MAX);
}

/* Does the pool take anything again? Asked now and then. */
bool conn_has_room(struct names *n)
{
    static const char zeros[4096];
    struct conn *c = n->conn;
    uint64_t since = atomic_load(&c->full_ns), now = conn_now_ns();
    rados_write_op_t op;
    int rc;

    if (!atomic_load(&c->full))
        return true;
    if (now - since < FULL_PAUSE_NS ||
        !atomic_compare_exchange_strong(&c->full_ns, &since, now) ||
        !(op = ra.create_write_op()))
        return false;
    ra.write_op_writesame(op, zeros, sizeof(zeros), PROBE_BYTES, 0);
    rc = ra.write_op_operate2(op, n->io, "room", NULL, FULL_TRY);
    ra.release_write_op(op);
    if (rc)
        return false;
    atomic_store(&c->full, false);
    (void)ra.remove(n->io, "room"); /* else the next one overwrites it */
    return true;
}

/*
 * What was taken is written whatever comes (FULL_FORCE), so nothing is taken while the
 * pool is full; but for as much as has been deleted since, which is room though the
 * cluster's figures do not say so yet.
 */
int conn_admit(struct names *n, uint64_t bytes)
{
    struct conn *c = n->conn;
    long long had = atomic_load(&c->credit), keep = bytes > SMALL ? CREDIT_LAST : 0;

    if (!atomic_load(&c->full))
        return 0;
    /* Who takes too much must not refuse another who needs little. */
    while (had - keep >= (long long)bytes)
        if (atomic_compare_exchange_weak(&c->credit, &had, had - (long long)bytes))
            return 0;
    return conn_has_room(n) ? 0 : -ENOSPC;
}

int conn_errno(int rc)
{
    if (rc == -EDQUOT)
        return -ENOSPC;
    return rc == -ESHUTDOWN || rc == -ETIMEDOUT ? -EIO : rc;
}

#endif
