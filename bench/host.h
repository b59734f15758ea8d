/*
 * host.h - the machine that figures are of.
 */
#ifndef BENCH_HOST_H
#define BENCH_HOST_H

/*
 * Print a line on stdout: processor, memory, kernel, what filesystem dir is on, load;
 * and one on stderr when others want the processors: figures would be low.
 */
void bench_host(const char *dir);

/* Ends the program unless there are so many bytes free where dir is; `how` says which
 * options ask for less. */
void bench_need_space(const char *dir, double bytes, const char *how);

#endif
