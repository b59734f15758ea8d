/*
 * env_rados_space.c - how much room there is: the cluster's, or what the pool's quota
 * leaves of it.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_impl.h"

enum {
    UNKNOWN_SPACE_BITS = 50,
    QUOTA_S = 10, /* so long an answer will do */
};

/* Asked of the monitors now and then; nobody waits for another that asks. */
static uint64_t pool_quota(struct names *n)
{
    const char *cmd =
        "{\"prefix\":\"osd pool ls\",\"detail\":\"detail\",\"format\":\"json\"}";
    uint64_t since = atomic_load(&n->quota_ns), now = conn_now_ns();
    char *out = NULL;
    size_t len = 0;

    if ((since && now - since < QUOTA_S * 1000000000ull) ||
        !atomic_compare_exchange_strong(&n->quota_ns, &since, now))
        return atomic_load(&n->quota);
    if (ra.mon_command(n->conn->cluster, &cmd, 1, NULL, 0, &out, &len, NULL, NULL) == 0)
        atomic_store(&n->quota, rados_quota_of(slice_of(out, len), n->pool));
    if (out)
        ra.buffer_free(out);
    return atomic_load(&n->quota);
}

/* What a quota leaves of it. */
static void apply_quota(struct names *n, uint64_t *total, uint64_t *avail)
{
    struct rados_pool_stat_t s;
    uint64_t quota = pool_quota(n), left = quota;

    if (!quota)
        return;
    if (ra.ioctx_pool_stat(n->io, &s) == 0)
        left = s.num_bytes < quota ? quota - s.num_bytes : 0;
    *total = *total < quota ? *total : quota;
    *avail = *avail < left ? *avail : left;
}

/* A cluster without a manager knows nothing of its room: then there is much, until a
 * write is refused. */
static int ask(struct names *n, uint64_t *total, uint64_t *avail)
{
    struct rados_cluster_stat_t s;
    int rc = ra.cluster_stat(n->conn->cluster, &s);

    if (rc)
        return conn_errno(rc);
    *total = s.kb ? s.kb << 10 : (uint64_t)1 << UNKNOWN_SPACE_BITS;
    *avail = s.kb ? s.kb_avail << 10 : *total;
    apply_quota(n, total, avail);
    return 0;
}

int rados_space(struct names *n, uint64_t *total, uint64_t *avail)
{
    bool room = conn_has_room(n);
    int rc = 0;

    *total = atomic_load(&n->total);
    if (room || !*total) {
        rc = ask(n, total, avail);
        if (!rc)
            atomic_store(&n->total, *total);
    }
    if (!room)
        *avail = conn_credit(n->conn);
    return rc;
}

#endif
