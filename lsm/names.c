/*
 * names.c - see names.h.
 */
#include "names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char *suffix(enum file_kind kind)
{
    switch (kind) {
    case FILE_LOG:
        return ".log";
    case FILE_TABLE:
        return ".sst";
    case FILE_SEGMENT:
        return ".vlog";
    case FILE_TEMP:
        return ".tmp";
    default:
        return "";
    }
}

void file_name(char to[NAME_BYTES], enum file_kind kind, uint64_t number)
{
    if (kind == FILE_CURRENT)
        snprintf(to, NAME_BYTES, "CURRENT");
    else if (kind == FILE_LOCK)
        snprintf(to, NAME_BYTES, "LOCK");
    else if (kind == FILE_RESERVE)
        snprintf(to, NAME_BYTES, "RESERVE");
    else if (kind == FILE_DOUBT)
        snprintf(to, NAME_BYTES, "DOUBT");
    else if (kind == FILE_MANIFEST)
        snprintf(to, NAME_BYTES, "MANIFEST-%06" PRIu64, number);
    else
        snprintf(to, NAME_BYTES, "%06" PRIu64 "%s", number, suffix(kind));
}

char *file_path(const char *dir, enum file_kind kind, uint64_t number)
{
    char name[NAME_BYTES];
    char *path;

    file_name(name, kind, number);
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return NULL;
    return path;
}

/* Digits only, up to FILE_NUMBER_MAX; advances *s. */
static bool parse_number(const char **s, uint64_t *number)
{
    const char *p = *s;
    uint64_t n = 0;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > FILE_NUMBER_MAX / 10)
            return false;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    if (p == *s || n > FILE_NUMBER_MAX)
        return false;
    *s = p;
    *number = n;
    return true;
}

enum file_kind file_parse(const char *name, uint64_t *number)
{
    static const enum file_kind kinds[] = {FILE_LOG, FILE_TABLE, FILE_SEGMENT, FILE_TEMP};
    const char *p = name;
    size_t i;

    *number = 0;
    if (strcmp(name, "CURRENT") == 0)
        return FILE_CURRENT;
    if (strcmp(name, "LOCK") == 0)
        return FILE_LOCK;
    if (strcmp(name, "RESERVE") == 0)
        return FILE_RESERVE;
    if (strcmp(name, "DOUBT") == 0)
        return FILE_DOUBT;
    if (strncmp(name, "MANIFEST-", 9) == 0) {
        p += 9;
        return parse_number(&p, number) && !*p ? FILE_MANIFEST : FILE_OTHER;
    }
    if (!parse_number(&p, number))
        return FILE_OTHER;
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(p, suffix(kinds[i])) == 0)
            return kinds[i];
    return FILE_OTHER;
}
