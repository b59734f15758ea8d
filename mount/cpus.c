/*
 * cpus.c - see cpus.h.
 */
#include "cpus.h"

#include <sched.h>

static cpu_set_t ours; /* empty: more processors than the set has room for */

void cpus_learn(void)
{
    if (sched_getaffinity(0, sizeof(ours), &ours) < 0)
        CPU_ZERO(&ours);
}

unsigned cpus_count(void)
{
    return (unsigned)CPU_COUNT(&ours);
}

bool cpus_bind(int cpu)
{
    cpu_set_t one;

    if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &ours))
        return false;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof(one), &one) == 0;
}

void cpus_bind_nth(unsigned i)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &ours) && i-- == 0) {
            cpus_bind(cpu);
            return;
        }
    }
}

void cpus_unbind(void)
{
    if (CPU_COUNT(&ours))
        (void)sched_setaffinity(0, sizeof(ours), &ours);
}
