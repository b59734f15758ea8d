/*
 * fuzz_format.c - libFuzzer entry: the options that fix a store's format. What decodes
 * is encoded to something that decodes to the same.
 */
#include <stdlib.h>

#include "lsm/err.h"
#include "lsm/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf once = {0}, twice = {0};
    struct store_format f;
    int rc;

    format_init(&f);
    rc = format_decode(slice_of(data, size), &f);
    if (rc != 0 && rc != -EUCLEAN && rc != -EPROTONOSUPPORT)
        abort();
    if (rc == 0) {
        format_encode(&once, &f);
        format_init(&f);
        if (format_decode(buf_slice(&once), &f) || !format_name_good(f.name))
            abort();
        format_encode(&twice, &f);
        if (!slice_eq(buf_slice(&once), buf_slice(&twice)))
            abort();
    }
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
