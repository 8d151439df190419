/* The wall clock of one process, set ahead or back by the seconds in the file that CLOCK_STEP_FILE names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(which, now);
    const char *path = getenv("CLOCK_STEP_FILE");
    if (result == 0 && which == CLOCK_REALTIME && path) {
        FILE *file = fopen(path, "r");
        long step = 0;
        if (file) {
            if (fscanf(file, "%ld", &step) != 1)
                step = 0;
            fclose(file);
        }
        now->tv_sec += step;
    }
    return result;
}
