/* A number that outlives the program, in a file of the device's own; without a place for one it is forgotten. */
#include <stdio.h>
#include <stdlib.h>

#include "core.h"

enum { LONGEST_PATH = 4096 };

static FILE *file(const char *mode)
{
    char path[LONGEST_PATH];
    const char *home = getenv("HOME");
    if (!home || snprintf(path, sizeof path, "%s/lock", home) >= LONGEST_PATH)
        return NULL;
    return fopen(path, mode);
}

int64_t kept(void)
{
    long long number = 0;
    FILE *source = file("r");
    if (source) {
        if (fscanf(source, "%lld", &number) != 1)
            number = 0;
        fclose(source);
    }
    return number;
}

void keep(int64_t number)
{
    FILE *sink = file("w");
    if (sink) {
        fprintf(sink, "%lld\n", (long long)number);
        fclose(sink);
    }
}
