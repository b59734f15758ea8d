/*
 * db_iter.c - the public iterator: from internal versions of all sources to the
 * user keys that are visible at one sequence, in both directions.
 *
 * Going forward, `in` stands on the current entry, and key and value are
 * borrowed from it. Going backward, the newest visible version of a key is only
 * known when all its versions have been passed, so the entry is copied and `in`
 * stands before it.
 */
#include "db_iter_impl.h"

enum {
    SKIP_MAX = 8, /* hidden versions of one key to step over before seeking */
};

/* A transaction's own writes have the highest numbers, whatever its snapshot is. */
static inline bool sees(const struct lsm_iter *it, uint64_t seq)
{
    return seq <= it->seq || (seq >= TXN_SEQ && seq <= it->own_seq);
}

/* ---- forward ---- */

static bool reached_upper(const struct lsm_iter *it, struct slice ukey)
{
    return it->has_upper && key_cmp(ukey, buf_slice(&it->upper)) >= 0;
}

static inline void keep_key(struct lsm_iter *it, struct slice ukey)
{
    if (__builtin_expect(ukey.len > it->key.cap || it->key.failed, 0)) {
        buf_assign(&it->key, ukey);
        return;
    }
    key_bytes_copy(it->key.data, ukey.data, ukey.len);
    it->key.len = ukey.len;
}

static void seek_past(struct lsm_iter *it, struct slice ukey)
{
    buf_clear(&it->target);
    buf_append_slice(&it->target, ukey);
    put_le64(&it->target, 0); /* behind every version */
    if (buf_error(&it->target))
        iter_fail(it, -ENOMEM);
    else
        iter_seek(it->in, buf_slice(&it->target));
}

/*
 * From where `in` stands to the next visible entry. With `pass`, versions of
 * the user key in it->key are not wanted.
 */
static void find_forward(struct lsm_iter *it, bool pass)
{
    struct iter *in = it->in;
    unsigned passed = 0;

    it->valid = false;
    iter_run_begin(it);
    while (in->valid && !it->err) {
        struct slice ukey = ikey_user(in->key);
        uint64_t trailer = ikey_trailer(in->key);
        bool covered;

        if (reached_upper(it, ukey))
            break;
        if (!sees(it, trailer >> 8)) {
            iter_next(in);
            continue;
        }
        if (pass && key_eq(ukey, buf_slice(&it->key))) {
            if (++passed > SKIP_MAX) {
                seek_past(it, buf_slice(&it->key));
                passed = 0;
            } else {
                iter_next(in);
            }
            continue;
        }
        it->type = (enum ikey_type)(trailer & 0xff);
        covered = trailer >> 8 < iter_cover(it, ukey);
        if (it->type == IKEY_DELETE || covered) {
            buf_assign(&it->key, ukey);
            pass = true;
            passed = 0;
            if (iter_run_pass(it, ukey) && iter_jump(it, buf_slice(&it->key)))
                continue;
            if (covered)
                iter_pass_covered(it);
            else
                iter_next(in);
            continue;
        }
        it->ukey = ukey;
        it->value = in->value;
        it->valid = !it->err;
        iter_run_end(it, &it->ukey);
        return;
    }
    if (in->err || buf_error(&it->key))
        iter_fail(it, in->err ? in->err : -ENOMEM);
    iter_run_end(it, NULL);
}

/* ---- backward ---- */

static bool below_lower(const struct lsm_iter *it, struct slice ukey)
{
    return it->has_lower && key_cmp(ukey, buf_slice(&it->lower)) < 0;
}

/*
 * `in` stands on the last version to consider. Collect the versions of one user
 * key, which come oldest first; true when the key is visible. *hidden: when it is not,
 * and this has to do with versions that are old enough to be.
 */
static bool collect_backward(struct lsm_iter *it, bool *hidden)
{
    struct iter *in = it->in;
    bool alive = false;

    *hidden = false;
    keep_key(it, ikey_user(in->key));
    while (in->valid && !it->err) {
        struct slice ukey = ikey_user(in->key);
        uint64_t trailer = ikey_trailer(in->key);

        if (!key_eq(ukey, buf_slice(&it->key)))
            break;
        if (sees(it, trailer >> 8)) {
            *hidden = true;
            it->type = (enum ikey_type)(trailer & 0xff);
            alive = it->type != IKEY_DELETE && trailer >> 8 >= iter_cover(it, ukey);
            if (alive)
                buf_assign(&it->copy, in->value);
        }
        iter_prev(in);
    }
    return alive;
}

static void find_backward(struct lsm_iter *it)
{
    struct iter *in = it->in;
    bool hidden;

    it->valid = false;
    iter_run_begin(it);
    while (in->valid && !it->err) {
        struct slice ukey = ikey_user(in->key);

        if (below_lower(it, ukey))
            break;
        if (ikey_seq(in->key) < iter_cover(it, ukey) && iter_pass_covered_back(it))
            continue;
        if (collect_backward(it, &hidden) && !in->err && !it->err) {
            if (buf_error(&it->key) || buf_error(&it->copy))
                break;
            it->ukey = buf_slice(&it->key);
            it->value = buf_slice(&it->copy);
            it->valid = true;
            iter_run_end_back(it, &it->ukey);
            return;
        }
        if (hidden && iter_run_pass(it, buf_slice(&it->key)) && in->valid)
            iter_jump_back(it, buf_slice(&it->key));
    }
    if (in->err || buf_error(&it->key) || buf_error(&it->copy))
        iter_fail(it, in->err ? in->err : -ENOMEM);
    iter_run_end_back(it, NULL);
}

/* ---- moving ---- */

static void seek_forward(struct lsm_iter *it, struct slice ukey)
{
    it->backward = false;
    it->valid = false;
    buf_clear(&it->target);
    ikey_append_seek(&it->target, ukey, it->own_seq);
    if (buf_error(&it->target)) {
        iter_fail(it, -ENOMEM);
        return;
    }
    iter_seek(it->in, buf_slice(&it->target));
    find_forward(it, false);
}

/* The last key before ukey, or at it. */
static void seek_backward(struct lsm_iter *it, struct slice ukey, bool inclusive)
{
    it->backward = true;
    it->valid = false;
    buf_clear(&it->target);
    buf_append_slice(&it->target, ukey);
    put_le64(&it->target, inclusive ? 0 : UINT64_MAX);
    if (buf_error(&it->target)) {
        iter_fail(it, -ENOMEM);
        return;
    }
    iter_seek_prev(it->in, buf_slice(&it->target));
    find_backward(it);
}

static void go_first(struct lsm_iter *it)
{
    if (it->has_lower) {
        seek_forward(it, buf_slice(&it->lower));
        return;
    }
    it->backward = false;
    iter_first(it->in);
    find_forward(it, false);
}

static void go_last(struct lsm_iter *it)
{
    if (it->has_upper) {
        seek_backward(it, buf_slice(&it->upper), false);
        return;
    }
    it->backward = true;
    iter_last(it->in);
    find_backward(it);
}

static void go_to(struct lsm_iter *it, struct slice key)
{
    if (it->has_lower && key_cmp(key, buf_slice(&it->lower)) < 0)
        key = buf_slice(&it->lower);
    seek_forward(it, key);
}

static void go_to_prev(struct lsm_iter *it, struct slice key)
{
    if (reached_upper(it, key))
        seek_backward(it, buf_slice(&it->upper), false);
    else
        seek_backward(it, key, true);
}

static void step_forward(struct lsm_iter *it)
{
    if (it->backward) {
        /* `in` stands before the current key, or nowhere. */
        it->backward = false;
        seek_past(it, buf_slice(&it->key));
        find_forward(it, false);
        return;
    }
    keep_key(it, it->ukey);
    iter_next(it->in);
    find_forward(it, true);
}

static void step_backward(struct lsm_iter *it)
{
    if (!it->backward) {
        buf_assign(&it->key, it->ukey);
        seek_backward(it, buf_slice(&it->key), false);
        return;
    }
    find_backward(it);
}

/* ---- the same, counted ---- */

void lsm_iter_first(struct lsm_iter *it)
{
    struct slot *s = db_slot(it->db);
    uint64_t start = db_timed_begin(it->db, s, LSM_TIME_SEEK);

    go_first(it);
    db_timed_end(it->db, s, LSM_TIME_SEEK, start);
}

void lsm_iter_last(struct lsm_iter *it)
{
    struct slot *s = db_slot(it->db);
    uint64_t start = db_timed_begin(it->db, s, LSM_TIME_SEEK);

    go_last(it);
    db_timed_end(it->db, s, LSM_TIME_SEEK, start);
}

void lsm_iter_seek(struct lsm_iter *it, struct slice key)
{
    struct slot *s = db_slot(it->db);
    uint64_t start = db_timed_begin(it->db, s, LSM_TIME_SEEK);

    go_to(it, key);
    db_timed_end(it->db, s, LSM_TIME_SEEK, start);
}

void lsm_iter_seek_prev(struct lsm_iter *it, struct slice key)
{
    struct slot *s = db_slot(it->db);
    uint64_t start = db_timed_begin(it->db, s, LSM_TIME_SEEK);

    go_to_prev(it, key);
    db_timed_end(it->db, s, LSM_TIME_SEEK, start);
}

/* Steps are counted here, and handed on when one is measured and in the end: to look
 * for the thread's slot each time would cost more than all the rest. */
void iter_count_steps(struct lsm_iter *it)
{
    struct slot *s = db_slot(it->db), *c = db_counts(it->db, s);

    db_tally(s, &c->calls[LSM_TIME_NEXT], it->drawn - it->steps_left);
    it->drawn = it->steps_left = db_draw(it->db, c, LSM_TIME_NEXT);
}

__attribute__((noinline)) static void step_measured(struct lsm_iter *it,
                                                    void (*step)(struct lsm_iter *))
{
    uint64_t start;

    iter_count_steps(it);
    start = env_now_ns(it->db->env);
    step(it);
    db_sampled(it->db, db_counts(it->db, db_slot(it->db)), LSM_TIME_NEXT, start);
}

void lsm_iter_next(struct lsm_iter *it)
{
    if (--it->steps_left)
        step_forward(it);
    else
        step_measured(it, step_forward);
}

void lsm_iter_prev(struct lsm_iter *it)
{
    if (--it->steps_left)
        step_backward(it);
    else
        step_measured(it, step_backward);
}

/* ---- the entry ---- */

bool lsm_iter_valid(const struct lsm_iter *it)
{
    return it->valid;
}

int lsm_iter_error(const struct lsm_iter *it)
{
    return it->err;
}

struct slice lsm_iter_key(const struct lsm_iter *it)
{
    return it->ukey;
}

/* The pointer of a separated value; -EUCLEAN when it is none. */
static int pointer(const struct lsm_iter *it, struct vptr *p)
{
    struct slice in = it->value;

    if (!vptr_decode(&in, p) || in.len)
        return err_corrupt(it->db->dir, 0, "a value is not a pointer");
    return 0;
}

size_t lsm_iter_value_len(const struct lsm_iter *it)
{
    struct vptr p;

    if (it->type != IKEY_PUT_REF)
        return it->value.len;
    return pointer(it, &p) ? 0 : p.len;
}

bool lsm_iter_place(const struct lsm_iter *it, struct lsm_place *out)
{
    struct vptr p;

    if (it->type != IKEY_PUT_REF || pointer(it, &p))
        return false;
    *out = (struct lsm_place){p.segment, p.stored, p.raw};
    return true;
}

int lsm_iter_value(struct lsm_iter *it, struct slice *value)
{
    struct vptr p;
    uint8_t *to;
    int rc;

    if (it->type != IKEY_PUT_REF) {
        *value = it->value;
        return 0;
    }
    rc = pointer(it, &p);
    if (rc)
        return rc;
    buf_clear(&it->separated);
    to = buf_reserve(&it->separated, p.len ? p.len : 1);
    if (!to)
        return -ENOMEM;
    rc = vlog_read(it->db->vlog, &p, 0, p.len, to);
    if (!rc)
        *value = slice_of(to, p.len);
    return rc;
}

void lsm_iter_fetch(struct lsm_iter *it)
{
    struct vptr p;

    if (it->type == IKEY_PUT_REF && pointer(it, &p) == 0)
        vlog_fetch(it->db->vlog, &p);
}

int lsm_iter_read(struct lsm_iter *it, size_t off, size_t len, void *to)
{
    struct vptr p;
    int rc;

    if (it->type == IKEY_PUT_REF) {
        rc = pointer(it, &p);
        return rc ? rc : vlog_read(it->db->vlog, &p, off, len, to);
    }
    if (off > it->value.len || len > it->value.len - off)
        return -EINVAL;
    if (len)
        memcpy(to, it->value.data + off, len);
    return 0;
}
