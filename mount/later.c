/*
 * later.c - see later.h.
 */
#include "later.h"

#include <stdlib.h>

#include "ops_impl.h"
#include "session_impl.h"

/* On a thread of the store. */
static void synced(struct lsm_sync_request *r, int rc)
{
    struct later *l = (struct later *)r;
    struct session *s = l->session;

    meter_end(&s->config->ops->meter, l->begun_ns, &l->header, sizeof(l->header),
              reply_errno(rc));
    reply_err(l->req, rc);
    free(l);
    session_less_waits(s);
}

_Static_assert(offsetof(struct later, sync) == 0, "synced finds the rest by it");

struct later *later_begin(fuse_req_t req)
{
    const struct fuse_in_header *header = session_request();
    struct later *l = header ? malloc(sizeof(*l)) : NULL;

    if (!l)
        return NULL;
    l->sync.done = synced;
    l->req = req;
    l->header = *header;
    l->session = session_one_waits(&l->begun_ns);
    return l;
}
