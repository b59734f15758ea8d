/*
 * soak.c - see soak.h.
 */
#include "tests/soak.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/test.h"

enum { CASES = 16, TEXT = 4000, ROUNDS_LEAST = 1 };

/* Shared with the processes of the cases. */
struct told {
    char name[SOAK_NAME];
    uint64_t seed;
    bool running;
    char text[TEXT];
};

static struct told *told;

void soak_init(void)
{
    told = mmap(NULL, CASES * sizeof(*told), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
}

static struct told *told_of(const char *name)
{
    unsigned i;

    for (i = 0; i < CASES - 1; i++)
        if (!told[i].name[0] || strcmp(told[i].name, name) == 0)
            break;
    snprintf(told[i].name, sizeof(told[i].name), "%s", name);
    return &told[i];
}

void soak_begin_case(struct soak *s, const char *name, unsigned test_seconds)
{
    const char *seconds = getenv("SOAK_SECONDS");
    size_t len = strlen(name);

    *s = (struct soak){.seed = test_seed()};
    /* What START_TEST makes of a name. */
    if (len > 3 && strcmp(name + len - 3, "_fn") == 0)
        len -= 3;
    snprintf(s->name, sizeof(s->name), "%.*s", (int)len, name);
    s->end_ns = env_now_ns(env_posix()) +
                (uint64_t)((seconds ? atof(seconds) : test_seconds) * 1e9);
}

bool soak_on(struct soak *s)
{
    const char *rounds = getenv("ROUNDS");
    struct told *t = told_of(s->name);

    if (rounds ? s->rounds >= strtoul(rounds, NULL, 0)
               : s->rounds >= ROUNDS_LEAST && env_now_ns(env_posix()) >= s->end_ns)
        return false;
    if (s->rounds++)
        s->seed += 1000003;
    t->seed = s->seed;
    t->running = true;
    t->text[0] = 0;
    return true;
}

bool soak_once(struct soak *s)
{
    return (!s->rounds || getenv("SOAK")) && soak_on(s);
}

uint64_t soak_seed(const struct soak *s)
{
    return s->seed;
}

void soak_tell(const struct soak *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(told_of(s->name)->text, TEXT, format, args);
    va_end(args);
}

void soak_end(struct soak *s)
{
    told_of(s->name)->running = false;
    printf("SOAK rounds %u, option sets %llu, operations %llu, crashes %llu: %s\n",
           s->rounds, (unsigned long long)s->option_sets,
           (unsigned long long)s->operations, (unsigned long long)s->crashes, s->name);
    fflush(stdout);
}

void soak_tell_unfinished(void)
{
    unsigned i;

    for (i = 0; i < CASES && told[i].name[0]; i++)
        if (told[i].running)
            printf("%s ended in the round of SEED=%llu (ROUNDS=1 repeats it)\n%s\n",
                   told[i].name, (unsigned long long)told[i].seed, told[i].text);
}
