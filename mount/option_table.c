/*
 * option_table.c - see option_table.h; and sizes, as options.h has them.
 */
#include "option_table.h"

#include <stdlib.h>

/* ---- values ---- */

bool size_parse(const char *s, uint64_t *out)
{
    static const char suffixes[] = "KMGT";
    const char *at;
    char *end;

    errno = 0;
    *out = strtoull(s, &end, 10);
    if (end == s || errno || s[0] == '-')
        return false;
    if (*end) {
        at = strchr(suffixes, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (!at || end[1])
            return false;
        unsigned shift = 10 * (unsigned)(at - suffixes + 1);
        if (*out > UINT64_MAX >> shift)
            return false;
        *out <<= shift;
    }
    return true;
}

void size_show(uint64_t bytes)
{
    static const char units[] = "BKMGTPE";
    double n = (double)bytes;
    int u = 0;

    for (; n >= 1000 && units[u + 1]; u++)
        n /= 1024;
    printf(u && n < 10 ? "%8.1f%c" : "%8.0f%c", n, units[u]);
}

static bool parse_limit(const char *s, uint64_t *out)
{
    if (strcmp(s, "none") == 0) {
        *out = 0;
        return true;
    }
    return size_parse(s, out) && *out && *out <= INT64_MAX;
}

static bool parse_seconds(const char *s, double *out)
{
    char *end;

    *out = strtod(s, &end);
    return end != s && !*end && *out >= 0 && *out <= 1e9;
}

static bool parse_count(const char *s, int base, unsigned least, unsigned most,
                        unsigned *out)
{
    unsigned long v;
    char *end;

    errno = 0;
    v = strtoul(s, &end, base);
    if (end == s || *end || errno || s[0] == '-' || v < least || v > most)
        return false;
    *out = (unsigned)v;
    return true;
}

int option_tell_kernel(struct mount_options *o, const char *word)
{
    buf_append(&o->kernel, ",", 1);
    buf_append(&o->kernel, word, strlen(word));
    return buf_error(&o->kernel);
}

/* ---- parsing ---- */

static const struct option *lookup(const struct option *table, const char *word)
{
    for (; table->name; table++) {
        if (strcmp(table->name, word) == 0)
            return table;
    }
    return NULL;
}

/* For mount(8) and fstab's other readers: x-systemd.automount, user=, comment=. The two
 * with _id are the kernel's; mount(8) hands them back at a remount. */
static bool for_others(const char *word)
{
    return strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0 ||
           strncmp(word, "user=", 5) == 0 || strncmp(word, "comment=", 8) == 0 ||
           strncmp(word, "user_id=", 8) == 0 || strncmp(word, "group_id=", 9) == 0;
}

static bool set_value(const struct option *opt, void *at, const char *value)
{
    uint64_t size;
    double seconds;

    switch (opt->kind) {
    case SIZE:
        return size_parse(value, &size) && size <= SIZE_MAX &&
               (*(size_t *)at = (size_t)size, true);
    case SIZE32:
        return size_parse(value, &size) && size <= UINT32_MAX &&
               (*(unsigned *)at = (unsigned)size, true);
    case LIMIT:
        return parse_limit(value, at);
    case COUNT:
        return parse_count(value, 10, opt->least, opt->most, at);
    case OCTAL:
        return parse_count(value, 8, opt->least, opt->most, at);
    case MILLIS:
        return parse_seconds(value, &seconds) && seconds <= UINT32_MAX / 1000 &&
               (*(unsigned *)at = (unsigned)(seconds * 1000), true);
    case SECONDS:
        return parse_seconds(value, at);
    default:
        return false;
    }
}

static int apply(const struct option *opt, void *into, const char *value, struct why *why)
{
    if (opt->value_name && !value)
        return why_set(why, -EINVAL, "option %s needs a value: %s=%s", opt->name,
                       opt->name, opt->value_name);
    if (!opt->value_name && value)
        return why_set(why, -EINVAL, "option %s takes no value", opt->name);
    switch (opt->kind) {
    case IGNORED:
        return 0;
    case KERNEL:
        return option_tell_kernel(into, opt->name);
    case SPECIAL:
        return opt->set(into, value, why);
    case YES:
        *(bool *)((char *)into + opt->offset) = true;
        return 0;
    default:
        if (set_value(opt, (char *)into + opt->offset, value))
            return 0;
        return why_set(why, -EINVAL, "option %s=%s: not a possible %s", opt->name, value,
                       opt->value_name);
    }
}

int options_parse(const struct option *table, void *into, const char *command,
                  const char *list, struct why *why)
{
    char *copy = strdup(list), *rest = copy, *word;
    int err = copy ? 0 : -ENOMEM;

    why_set(why, 0, "out of memory");
    while (!err && (word = strsep(&rest, ","))) {
        const struct option *opt;
        char *value;

        if (!*word || for_others(word))
            continue;
        value = strchr(word, '=');
        if (value)
            *value++ = '\0';
        opt = lookup(table, word);
        if (opt)
            err = apply(opt, into, value, why);
        else
            err =
                why_set(why, -EINVAL, "unknown option '%s'; `siltfs help %s` lists them",
                        word, command);
    }
    free(copy);
    return err;
}

void options_help(const struct option *table, const char *how, FILE *out)
{
    char word[64];

    fprintf(out, "\nOptions (%s; SIZE may end in K, M, G, T):\n", how);
    for (; table->name; table++) {
        if (!table->help)
            continue;
        snprintf(word, sizeof(word), "%s%s%s", table->name, table->value_name ? "=" : "",
                 table->value_name ? table->value_name : "");
        fprintf(out, "  %-24s  %s\n", word, table->help);
    }
}

/* ---- printing ---- */

void option_print(FILE *out, const struct option *opt, const void *at)
{
    switch (opt->kind) {
    case SIZE:
        fprintf(out, "%s=%zu\n", opt->name, *(const size_t *)at);
        break;
    case SIZE32:
    case COUNT:
        fprintf(out, "%s=%u\n", opt->name, *(const unsigned *)at);
        break;
    case MILLIS:
        fprintf(out, "%s=%g\n", opt->name, *(const unsigned *)at / 1000.0);
        break;
    case SECONDS:
        fprintf(out, "%s=%g\n", opt->name, *(const double *)at);
        break;
    case YES:
        if (*(const bool *)at)
            fprintf(out, "%s\n", opt->name);
        break;
    default:
        break;
    }
}
