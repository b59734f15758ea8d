/*
 * level_iter.c - one iterator over the disjoint tables of a level, opening
 * each when it gets there. See level_iter_new in version.h.
 */
#include <stdlib.h>

#include "version.h"

struct level_iter {
    struct iter it;
    struct tfile **files;
    size_t n;
    size_t at; /* of the open table */
    struct iter *table;
    enum table_iter_use use;
    struct buf upper;
    bool has_upper;
};

/* Stand in table `at`, nowhere yet. False at the end or after an error. */
static bool enter(struct level_iter *li, size_t at)
{
    int rc;

    if (li->table && li->at == at)
        return true;
    iter_free(li->table);
    li->table = NULL;
    li->it.valid = false;
    if (at >= li->n)
        return false;
    rc = tfile_iter(li->files[at], li->use, &li->table);
    if (rc) {
        iter_stop(&li->it, rc);
        return false;
    }
    li->at = at;
    return true;
}

static bool beyond_upper(const struct level_iter *li, size_t at)
{
    return li->has_upper && at < li->n &&
           key_cmp(buf_slice(&li->files[at]->meta.smallest), buf_slice(&li->upper)) >= 0;
}

/* Take over the table iterator's state; true when it stands on an entry. */
static bool show(struct level_iter *li)
{
    if (li->table->err) {
        iter_stop(&li->it, li->table->err);
        return true; /* nothing further is to be tried */
    }
    li->it.valid = li->table->valid;
    li->it.key = li->table->key;
    li->it.value = li->table->value;
    return li->it.valid;
}

/* The first entry at or after the start of table `at`. */
static void forward_from(struct level_iter *li, size_t at)
{
    while (!beyond_upper(li, at) && enter(li, at)) {
        iter_first(li->table);
        if (show(li))
            return;
        at++;
    }
    li->it.valid = false;
}

static void backward_from(struct level_iter *li, size_t end)
{
    while (end > 0 && enter(li, end - 1)) {
        iter_last(li->table);
        if (show(li))
            return;
        end--;
    }
    li->it.valid = false;
}

/* The first table whose range ends at or after user. */
static size_t find(const struct level_iter *li, struct slice user)
{
    size_t lo = 0, hi = li->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (table_range_cmp(&li->files[mid]->meta, user) > 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void li_first(struct iter *it)
{
    forward_from((struct level_iter *)it, 0);
}

static void li_last(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;

    backward_from(li, li->n);
}

static void li_seek(struct iter *it, struct slice ikey)
{
    struct level_iter *li = (struct level_iter *)it;
    size_t at = find(li, ikey_user(ikey));

    if (beyond_upper(li, at) || !enter(li, at)) {
        it->valid = false;
        return;
    }
    iter_seek(li->table, ikey);
    if (!show(li))
        forward_from(li, at + 1);
}

static void li_seek_prev(struct iter *it, struct slice ikey)
{
    struct level_iter *li = (struct level_iter *)it;
    size_t at = find(li, ikey_user(ikey));

    if (at < li->n) {
        if (!enter(li, at))
            return;
        iter_seek_prev(li->table, ikey);
        if (show(li))
            return;
    }
    backward_from(li, at);
}

static void li_next(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;

    iter_next(li->table);
    if (!show(li))
        forward_from(li, li->at + 1);
}

static void li_prev(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;

    iter_prev(li->table);
    if (!show(li))
        backward_from(li, li->at);
}

static void li_free(struct iter *it)
{
    struct level_iter *li = (struct level_iter *)it;

    iter_free(li->table);
    buf_release(&li->upper);
    free(li);
}

struct iter *level_iter_new(struct tfile **files, size_t n, enum table_iter_use use,
                            const struct slice *upper)
{
    static const struct iter_ops ops = {li_first, li_last, li_seek, li_seek_prev,
                                        li_next,  li_prev, li_free};
    struct level_iter *li = iter_alloc(sizeof(*li));

    if (!li)
        return NULL;
    li->it.ops = &ops;
    li->files = files;
    li->n = n;
    li->use = use;
    if (upper) {
        li->has_upper = true;
        buf_assign(&li->upper, *upper);
        if (buf_error(&li->upper)) {
            li_free(&li->it);
            return NULL;
        }
    }
    return &li->it;
}
