/* What a misbehaving program is to do now: the first word of the file that
 * POA_CHAOS_FILE names, which `poa devnet --chaos` changes while it runs. Read
 * again each time: messages are rare. */
#ifndef POA_CHAOS_MODE_H
#define POA_CHAOS_MODE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool chaos_is(const char *mode)
{
    const char *path = getenv("POA_CHAOS_FILE");
    char word[16] = "";
    FILE *f = path ? fopen(path, "re") : NULL;
    if (!f)
        return false;
    if (fscanf(f, "%15s", word) != 1)
        word[0] = 0;
    fclose(f);
    return !strcmp(word, mode);
}

#endif
