/*
 * env_rados_impl.h - stores on Ceph RADOS, inside: env_rados*.c.
 *
 *   env_rados.c         the table of functions
 *   env_rados_path.c    what a path means
 *   env_rados_conn.c    the cluster, its pools; librados, loaded when it is first needed
 *   env_rados_names.c   one object that lists a store's files: asked, read
 *   env_rados_change.c  its changes, committed
 *   env_rados_listed.c  what it says, in memory
 *   env_rados_lock.c    who may write: leases, fencing, taking over
 *   env_rados_file.c    open files: appends, the end
 *   env_rados_read.c    open files: reads
 *   env_rados_ahead.c   open files: what is read ahead
 *   env_rados_spare.c   memory for objects' contents
 *   env_rados_probe.c   files that another writes, or did
 *   env_rados_space.c   how much room there is
 *   env_rados_reap.c    what goes: objects of files without a name
 *
 * Locks, outermost first: a names' mu (not held over a round trip but by who takes a store
 * over: what the names object has is asked and changed by one thread at a time, who has
 * n->asking, and the others look up and change meanwhile what is in memory), a node's mu
 * (never held over one), the lists' (of what is read ahead, of the reaper's), that of spare
 * memory, the connection's. Callbacks of librados take a node's mu, or
 * that of what is read ahead, alone.
 */
#ifndef LSM_ENV_RADOS_IMPL_H
#define LSM_ENV_RADOS_IMPL_H

#include <rados/librados.h>
#include <stdatomic.h>

#include "buf.h"
#include "env_rados.h"
#include "err.h"
#include "lock.h"
#include "env_rados_format.h"

/* ---- librados ---- */

#define RADOS_FUNCTIONS(X)                                                               \
    X(create2)                                                                           \
    X(shutdown)                                                                          \
    X(conf_read_file)                                                                    \
    X(conf_set)                                                                          \
    X(connect)                                                                           \
    X(getaddrs)                                                                          \
    X(blocklist_add)                                                                     \
    X(wait_for_latest_osdmap)                                                            \
    X(cluster_stat)                                                                      \
    X(mon_command)                                                                       \
    X(buffer_free)                                                                       \
    X(ioctx_pool_stat)                                                                   \
    X(ioctx_create)                                                                      \
    X(ioctx_destroy)                                                                     \
    X(ioctx_set_namespace)                                                               \
    X(set_pool_full_try)                                                                 \
    X(create_write_op)                                                                   \
    X(release_write_op)                                                                  \
    X(write_op_cmpxattr)                                                                 \
    X(write_op_setxattr)                                                                 \
    X(write_op_create)                                                                   \
    X(write_op_write)                                                                    \
    X(write_op_writesame)                                                                \
    X(write_op_truncate)                                                                 \
    X(write_op_remove)                                                                   \
    X(write_op_omap_set2)                                                                \
    X(write_op_omap_rm_keys2)                                                            \
    X(write_op_operate2)                                                                 \
    X(aio_write_op_operate)                                                              \
    X(create_read_op)                                                                    \
    X(release_read_op)                                                                   \
    X(read_op_cmpxattr)                                                                  \
    X(read_op_omap_get_vals2)                                                            \
    X(read_op_operate)                                                                   \
    X(omap_get_next2)                                                                    \
    X(omap_get_end)                                                                      \
    X(getxattr)                                                                          \
    X(stat)                                                                              \
    X(remove)                                                                            \
    X(aio_stat)                                                                          \
    X(aio_read)                                                                          \
    X(aio_remove)                                                                        \
    X(aio_create_completion2)                                                            \
    X(aio_wait_for_complete)                                                             \
    X(aio_get_return_value)                                                              \
    X(aio_release)                                                                       \
    X(lock_exclusive)                                                                    \
    X(lock_shared)                                                                       \
    X(unlock)                                                                            \
    X(list_lockers)                                                                      \
    X(break_lock)                                                                        \
    X(nobjects_list_open)                                                                \
    X(nobjects_list_next)                                                                \
    X(nobjects_list_close)

struct rados_api {
#define RADOS_MEMBER(f) __typeof__(&rados_##f) f;
    RADOS_FUNCTIONS(RADOS_MEMBER)
#undef RADOS_MEMBER
};

extern struct rados_api ra; /* filled by conn_get */

/* ---- the connection ---- */

struct conn {
    rados_t cluster;
    char *addrs;         /* ours, as the blocklist wants them */
    unsigned lease_s;    /* of locks */
    atomic_bool full;    /* the last write that needed room was refused */
    atomic_llong credit; /* bytes to be written although it is, for who makes room; what
                            is freed meanwhile is added */
    _Atomic uint64_t full_ns; /* when that was, or was last asked */
};

/* Connects when it is first called; later calls return that connection, or try again. */
int conn_get(struct conn **out);
/* Words about this process: where pid tells something (see rados_holder), the machine. */
const char *conn_host(void);
const char *conn_machine(void);
uint64_t conn_now_ns(void);
void conn_note_full(struct conn *c);
/* Is it? Asks nobody. */
bool conn_is_full(void);
/* So many bytes more. */
void conn_give_credit(struct conn *c, uint64_t bytes);
/* What there is: all the room that a full pool has for us. */
uint64_t conn_credit(struct conn *c);
/* Errors as the engine's users know them. */
int conn_errno(int rc);

enum {
    FULL_TRY = LIBRADOS_OPERATION_FULL_TRY,
    FULL_FORCE = LIBRADOS_OPERATION_FULL_FORCE
};

/* ---- names ---- */

struct names;

/* May so many bytes be appended now? 0 or -ENOSPC. */
int conn_admit(struct names *n, uint64_t bytes);
/* Was nothing refused, or is there room again? */
bool conn_has_room(struct names *n);

struct chunk {
    struct chunk *next;
    uint64_t off;    /* in the file */
    struct buf data; /* never across two objects */
    bool sent, failed;
    struct node *node;
};

/* A file that is written to by this process. */
struct writing {
    uint64_t pos;         /* where the next append goes */
    struct chunk *first;  /* not known to be stored yet, in order; the last one may */
    struct chunk *last;   /* still be filled, unless sent */
    unsigned outstanding; /* sent and not answered */
    size_t usual;         /* bytes of the last chunk that was sent */
    bool stuck;           /* one was refused for want of room: all wait for each other */
    int error;
    pthread_cond_t answered;
};

/* A file. */
struct node {
    struct names *names;
    uint64_t id;
    struct rados_file rec; /* names->mu */
    bool known;            /* there is such a record */
    bool reaped;           /* its objects are gone */
    unsigned links;        /* names */
    unsigned handles;
    struct mutex mu;
    struct writing *w; /* mu */
    bool cut_checked;  /* mu: rados_check_cut has found it well */
};

/* As it is now; it changes under both locks. */
static inline struct rados_file rados_node_rec(struct node *node)
{
    struct rados_file rec;

    mutex_lock(&node->mu);
    rec = node->rec;
    mutex_unlock(&node->mu);
    return rec;
}

struct entry {
    uint64_t dir;
    char *name;
    struct rados_entry is;
};

/* A key that is not as the cluster has it yet. */
struct change {
    char *key;
    struct buf value, was;
    bool remove, had; /* was: what the cluster has */
};

struct held {
    uint64_t dir;
    bool shared;
    char cookie[160];
    struct held *next;
};

struct names {
    struct names *next;
    struct conn *conn;
    rados_ioctx_t io;
    char *label; /* "rados:POOL/NAME", for logs */
    char oid[16];
    char *pool;
    uint64_t store; /* 0: of the stores in a pool, not of files in one */
    struct mutex mu;
    bool loaded;
    uint64_t version;
    struct rados_head head;
    struct entry **entry; /* by directory and name */
    size_t n_entries, cap_entries;
    struct node **node; /* by id */
    size_t n_nodes, cap_nodes;
    struct change *change;
    size_t n_changes, cap_changes;
    size_t n_sent;            /* the first ones, on their way to the cluster */
    bool asking;              /* a thread reads the object, or changes it */
    pthread_cond_t not_asking;
    struct buf holder; /* raw records: dir(8) len(4) bytes */
    uint64_t session;  /* 0: none; ids are made of it */
    uint32_t counter;
    _Atomic uint64_t quota, quota_ns; /* of the pool, and when that was asked */
    _Atomic uint64_t total;           /* bytes, as they were last known */
    int error; /* sticky: fenced, or in disagreement with what others did */
    struct held *held;
};

/* Of a store by its number, or of a pool's stores (0). Never freed. */
int names_get(const char *pool, uint64_t store, const char *label, struct names **out);
/* Make the object; -EEXIST. */
int names_create(struct names *n, uint64_t store);
/* As the cluster has it now. Drops mu for the round trips. */
int names_refresh(struct names *n);
int names_refresh_locked(struct names *n);
/* The same if no other thread is about it: who commits meets what others did. */
int names_refresh_if_idle(struct names *n);
/* Send what changed; drops mu for the round trip. What others change meanwhile goes with
 * the next. */
int names_commit_locked(struct names *n);
/* Both, until all that is in memory is there, and all that is there in memory. */
int names_settle_locked(struct names *n);
/*
 * What fn looks up and changes, at once: 0 when it is there, with all that was to be
 * committed before. When somebody else was quicker fn is asked again. Drops mu, but not
 * between what fn looks up and changes.
 */
typedef int names_fn(struct names *n, void *arg);
int names_at_once(struct names *n, names_fn *fn, void *arg);
/* The commit that makes this process one who may write. */
int names_session_locked(struct names *n);
uint64_t names_new_id_locked(struct names *n); /* session is there */

/* Between them this thread alone asks and changes the object. */
void names_begin_asking(struct names *n);
void names_end_asking(struct names *n);
/* As names_refresh_locked, between them. */
int names_ask(struct names *n);
/* What was to be changed here, over what was read. */
int names_change_again(struct names *n);
void names_version_text(char text[17], uint64_t v);

/* In memory only: what stands under the key now has that value; NULL: nothing does.
 * 0, -ENOMEM or -EUCLEAN. */
int names_apply(struct names *n, const char *key, const struct slice *value);
/* The value as it is in memory, added to out, for the comparison after others changed
 * something. */
void names_current(struct names *n, const char *key, struct buf *out, bool *has);
/* Everything, but nodes that are open. */
void names_forget_all(struct names *n);

struct entry *names_find(struct names *n, uint64_t dir, const char *name);
/* The first of the directory; the others follow while their dir is the same. */
size_t names_first(struct names *n, uint64_t dir);
struct node *names_node(struct names *n, uint64_t id);
/* Changes of ours, here at once and there with the next commit. */
int names_set_entry(struct names *n, uint64_t dir, const char *name,
                    const struct rados_entry *e);
int names_drop_entry(struct names *n, uint64_t dir, const char *name);
int names_set_file(struct names *n, uint64_t id, const struct rados_file *f);
int names_drop_file(struct names *n, uint64_t id);
int names_set_holder(struct names *n, uint64_t dir, const struct rados_holder *h);
int names_drop_holder(struct names *n, uint64_t dir);
/* Forget what was not committed. */
void names_forget_changes(struct names *n);
/* Borrowed until the next change; -ENOENT. */
int names_holder(struct names *n, uint64_t dir, struct rados_holder *h);
bool names_holds(const struct names *n, uint64_t dir);
/* Has this process a lock to change the store, or that directory? Then it need not ask. */
bool names_are_ours(const struct names *n, uint64_t dir);
/* Every store this process has met. */
struct names *names_all(void);

/* Somebody else writes here now: nothing of ours counts any more. */
int names_fenced(struct names *n, const char *why);

/* ---- the rest ---- */

int rados_open_node(struct names *n, struct node *node, enum env_mode mode,
                    uint64_t preallocate, struct env_file **out);
/* Size of a file that somebody else may be writing, or did: no more than there is. The
 * node has a handle. */
int rados_node_size(struct node *node, uint64_t *size);
int rados_probe(struct names *n, struct node *node, uint64_t *size);
/* What is there of a file that another had to close is as much as its record says, or
 * -EUCLEAN: else one of 64 TiB would be read as zeros, object by object. */
int rados_check_cut(struct names *n, struct node *node, uint64_t size);
/* Of *objects that a file may have, as many as it does have, and some more. */
int rados_bound_objects(struct names *n, uint64_t id, uint64_t *objects);
/* Nobody of another session can append to it from here on; its record says how long it
 * is. mu of n is held. */
int rados_seal_locked(struct names *n, struct node *node);

int rados_lock_take(struct names *n, uint64_t dir, bool shared, struct held **out);
void rados_lock_give(struct names *n, struct held *h);
/* Is it a process of this machine that can be seen from here? *dead: it is no more. */
bool rados_holder_here(const struct rados_holder *h, bool *dead);
/* As the holder: what it wants others to know. */
int rados_mark(struct names *n, uint64_t dir, const char *text);
/* Called now and then: keep leases. */
void rados_lock_renew(struct names *n);

/* Bytes of the cluster, or of the pool's quota. */
int rados_space(struct names *n, uint64_t *total, uint64_t *avail);

/* One file's objects. */
int rados_remove_objects(struct names *n, uint64_t id, uint64_t objects);
/* Remove what has no name. Returns how many files are left to be removed. */
int rados_reap(struct names *n);
/* Objects of no file: counts them, and removes them. The store is locked. */
int rados_leaks(struct names *n, bool remove, uint64_t *objects);
/* Memory of what was read ahead and not looked at for long goes back. */
void rados_ahead_age(void);

/* An empty b becomes one that holds what an object does, without a system call when some
 * was kept; or stays as it is without memory. Given back it is empty again. */
void rados_spare_take(struct buf *b);
void rados_spare_give(struct buf *b);
/* Once a second: none was wanted since the last time, so none is kept. */
void rados_spares_age(void);

/* Threads that keep leases, commit and reap; begun when first called. */
void rados_begin_threads(void);
void rados_wake_reaper(void);

#endif
