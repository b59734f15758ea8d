/*
 * env_rados_probe.c - files that another writes, or did: how long they are, and sealing
 * them.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_impl.h"

#include <inttypes.h>
#include <time.h>

enum {
    PARTS = 64, /* objects asked for at once */
};

struct probe {
    rados_completion_t done;
    uint64_t size;
    time_t mtime;
};

/* Sizes of the objects from `first`, n of them; -1: there is none. */
static int probe_objects(struct names *n, uint64_t id, uint64_t first, unsigned count,
                         int64_t *size)
{
    struct probe p[PARTS];
    char oid[RADOS_OID_MAX];
    unsigned i, begun = 0;
    int rc = 0, rc2;

    for (i = 0; i < count && !rc; i++) {
        rados_object_name(oid, id, first + i);
        rc = ra.aio_create_completion2(NULL, NULL, &p[i].done);
        if (!rc && (rc = ra.aio_stat(n->io, oid, p[i].done, &p[i].size, &p[i].mtime)))
            ra.aio_release(p[i].done);
        begun += rc == 0;
    }
    for (i = 0; i < begun; i++) {
        ra.aio_wait_for_complete(p[i].done);
        rc2 = ra.aio_get_return_value(p[i].done);
        ra.aio_release(p[i].done);
        size[i] = rc2 ? -1 : (int64_t)p[i].size;
        if (rc2 && rc2 != -ENOENT && !rc)
            rc = rc2;
    }
    return conn_errno(rc);
}

/*
 * *end: of the last object that is there; *gap: of the first bytes without a hole. A
 * writer has a few chunks on their way and no more, so behind PARTS objects of which there
 * is none there are no others, whatever the record says that there may be.
 */
static int probe_all(struct names *n, struct node *node, uint64_t *end,
                     uint64_t *gap)
{
    uint64_t at, objects = rados_node_rec(node).objects;
    bool whole = true, some = true;
    int rc = 0;

    *end = *gap = 0;
    for (at = 0; at < objects && some && !rc; at += PARTS) {
        unsigned count = objects - at < PARTS ? (unsigned)(objects - at) : PARTS, i;
        int64_t size[PARTS];

        rc = probe_objects(n, node->id, at, count, size);
        some = false;
        for (i = 0; i < count && !rc; i++) {
            uint64_t from = (at + i) * RADOS_OBJECT_BYTES;

            if (size[i] > RADOS_OBJECT_BYTES)
                return err_corrupt(n->label, from,
                                   "file %" PRIx64 ": too large an object", node->id);
            if (size[i] > 0)
                *end = from + (uint64_t)size[i];
            if (whole && size[i] > 0)
                *gap = from + (uint64_t)size[i];
            some |= size[i] >= 0;
            whole &= size[i] == RADOS_OBJECT_BYTES;
        }
    }
    return rc;
}

int rados_probe(struct names *n, struct node *node, uint64_t *size)
{
    uint64_t gap;

    return probe_all(n, node, size, &gap);
}

int rados_check_cut(struct names *n, struct node *node, uint64_t size)
{
    uint64_t end, gap;
    int rc = probe_all(n, node, &end, &gap);

    if (!rc && end < size)
        rc = err_corrupt(n->label, end, "file %" PRIx64 ": is to have %" PRIu64 " bytes",
                         node->id, size);
    return rc;
}

int rados_bound_objects(struct names *n, uint64_t id, uint64_t *objects)
{
    uint64_t at, upto = *objects > PARTS ? *objects : 0;
    bool some = true;
    int rc = 0;

    for (at = 0; at < upto && some && !rc; at += PARTS) {
        unsigned count = upto - at < PARTS ? (unsigned)(upto - at) : PARTS, i;
        int64_t size[PARTS];

        rc = probe_objects(n, id, at, count, size);
        some = false;
        for (i = 0; i < count && !rc; i++)
            some |= size[i] >= 0;
    }
    if (!rc && at < upto)
        *objects = at;
    return rc;
}

/* The object at which its writer would go on takes no append of his any more. */
static int seal_at(struct names *n, const struct node *node, uint64_t gap)
{
    rados_write_op_t op = ra.create_write_op();
    char oid[RADOS_OID_MAX];
    int rc;

    if (!op)
        return -ENOMEM;
    rados_object_name(oid, node->id, gap / RADOS_OBJECT_BYTES);
    ra.write_op_create(op, LIBRADOS_CREATE_IDEMPOTENT, NULL);
    ra.write_op_setxattr(op, "g", "sealed", 6);
    rc = ra.write_op_operate2(op, n->io, oid, NULL, FULL_FORCE);
    ra.release_write_op(op);
    return conn_errno(rc);
}

int rados_seal_locked(struct names *n, struct node *node)
{
    struct rados_file rec = node->rec;
    uint64_t gap, again, end;
    int rc = probe_all(n, node, &end, &gap);

    /* It may have gone on meanwhile, into the next object. */
    while (!rc) {
        rc = seal_at(n, node, gap);
        if (!rc)
            rc = probe_all(n, node, &end, &again);
        if (rc || again / RADOS_OBJECT_BYTES == gap / RADOS_OBJECT_BYTES)
            break;
        gap = again;
    }
    if (rc)
        return rc;
    rec.state = RADOS_CUT;
    rec.size = end;
    /* The one that was made to seal it is removed with the others. */
    rec.objects = rec.objects > gap / RADOS_OBJECT_BYTES ? rec.objects
                                                         : gap / RADOS_OBJECT_BYTES + 1;
    return names_set_file(n, node->id, &rec);
}

#endif
