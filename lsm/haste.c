/*
 * haste.c - see haste.h. What trying costs is bounded: a 64th of the pieces while LZ4
 * looks closely; while it is quick a 32nd, and where the data change one in four, which
 * is still less than to look closely at all of them.
 */
#include "haste.h"

enum {
    EACH_CLOSE = 64, /* pieces from one that is tried to the next */
    EACH_QUICK = 32,
    LEAST = 4,    /* though they shrink otherwise than the last that was tried: */
    CHANGED = 16, /* by more than so many 256ths */
    LOSS = 32,    /* one part in so many may be lost */
};

static unsigned shrunk_to(size_t len, size_t packed)
{
    return packed ? (unsigned)(packed * 256 / len) : 256;
}

bool haste_try(struct haste *h, size_t len, size_t packed)
{
    unsigned now, changed;

    h->since++;
    if (!h->known || h->since >= (h->quick ? EACH_QUICK : EACH_CLOSE))
        return true;
    now = shrunk_to(len, packed);
    changed = now > h->shrunk ? now - h->shrunk : h->shrunk - now;
    return h->quick && h->since >= LEAST && changed > CHANGED;
}

void haste_learn(struct haste *h, size_t len, size_t close, size_t quick)
{
    size_t least = close ? close : len;

    h->quick = (quick ? quick : len) <= least + least / LOSS;
    h->since = 0;
    h->shrunk = shrunk_to(len, h->quick ? quick : close);
    h->known = true;
}
