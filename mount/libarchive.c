/*
 * libarchive.c - see libarchive.h.
 */
#include "libarchive.h"

#ifdef HAVE_LIBARCHIVE

#include <dlfcn.h>
#include <errno.h>
#include <locale.h>

#define SONAME "libarchive.so.13"

struct libarchive libarchive;

#define ADDRESS(name) {#name, (void **)&libarchive.name},

static const struct {
    const char *name;
    void **to;
} calls[] = {LIBARCHIVE_CALLS(ADDRESS)};

int libarchive_load(struct why *why)
{
    void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    unsigned i;

    if (!library)
        return why_set(why, -ENOENT,
                       "tar archives take libarchive, which is not there (%s); install "
                       "libarchive13",
                       dlerror());
    for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        *calls[i].to = dlsym(library, calls[i].name);
        if (!*calls[i].to)
            return why_set(why, -ENOENT, "%s: has no %s; a newer one has", SONAME,
                           calls[i].name);
    }
    /* Its conversions between the archive's UTF-8 and names then change no byte. */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    return 0;
}

#endif
