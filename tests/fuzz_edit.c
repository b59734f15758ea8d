/*
 * fuzz_edit.c - libFuzzer entry: version edits. What decodes is encoded to
 * something that decodes to the same.
 */
#include <stdlib.h>

#include "lsm/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf once = {0}, twice = {0};
    struct edit e = {0};
    int rc = edit_decode(slice_of(data, size), &e);

    if (rc != 0 && rc != -EUCLEAN && rc != -EPROTONOSUPPORT)
        abort();
    if (rc == 0) {
        edit_encode(&once, &e);
        edit_release(&e);
        if (edit_decode(buf_slice(&once), &e))
            abort();
        edit_encode(&twice, &e);
        if (!slice_eq(buf_slice(&once), buf_slice(&twice)))
            abort();
    }
    edit_release(&e);
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
