/*
 * table_dict.c - the dictionaries that a table's blocks are compressed with.
 *
 * One serves hundreds of blocks and takes some 60 KiB of memory. So who reads many
 * blocks keeps the last one (struct table_dict_ref), and in between they lie in the
 * block cache, beside the blocks, under their offset.
 */
#include "table_impl.h"

#include <stdlib.h>

void table_dict_release(struct table *t, struct table_dict_ref *ref)
{
    if (ref->entry)
        cache_unpin(t->cache, ref->entry);
    else
        decompress_dict_free(ref->dict);
    *ref = (struct table_dict_ref){.aside = ref->aside};
}

static int load(struct table *t, uint32_t k, struct decompress_dict **out)
{
    const struct table_dict *d = &t->index.dict[k];
    size_t size = (size_t)(t->index.at[d->block] - d->at);
    struct loaded_block *lb;
    int rc;

    rc = table_load(t, d->at, size, &lb);
    if (rc)
        return rc;
    rc = decompress_dict_new(lb->block.data, out);
    if (rc == -EUCLEAN)
        err_corrupt(t->path, d->at, "%zu bytes are no dictionary", lb->block.data.len);
    free(lb);
    return rc;
}

static void free_dict(void *dict)
{
    decompress_dict_free(dict);
}

static int share(struct table *t, struct table_dict_ref *ref)
{
    struct decompress_dict *d = ref->dict;

    ref->dict = NULL;
    ref->entry =
        cache_put(t->cache, t->number, ref->at, d, decompress_dict_memory(d), free_dict);
    if (!ref->entry)
        return -ENOMEM;
    ref->dict = cache_value(ref->entry);
    return 0;
}

int table_dict_get(struct table *t, uint32_t k, struct table_dict_ref *ref)
{
    uint64_t at = t->index.dict[k].at;

    if (ref->known && ref->at == at)
        return ref->rc;
    table_dict_release(t, ref);
    ref->at = at;
    if (t->cache && !ref->aside)
        ref->entry = cache_get(t->cache, t->number, at);
    if (ref->entry) {
        ref->dict = cache_value(ref->entry);
    } else {
        ref->rc = load(t, k, &ref->dict);
        if (!ref->rc && t->cache && !ref->aside)
            ref->rc = share(t, ref);
    }
    ref->known = ref->rc == 0 || ref->rc == -EUCLEAN;
    return ref->rc;
}
