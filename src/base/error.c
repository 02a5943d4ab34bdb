#include "poa_error.h"

#include <stddef.h>

struct row {
    int error;
    enum poa_error_class class;
    const char *name;
    const char *text;
};

static const struct row rows[] = {{POA_OK, POA_CLASS_NONE, "OK", "ok"},
#define ROW(name, number, class, text) {-(number), POA_CLASS_##class, #name, text},
                                  POA_ERRORS(ROW)
#undef ROW
};

static const struct row *find(int error)
{
    static const struct row unknown = {0, POA_CLASS_CALLER, "UNKNOWN", "unknown error"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].error == error)
            return &rows[i];
    return &unknown;
}

const char *poa_error_name(int error)
{
    return find(error)->name;
}

const char *poa_error_text(int error)
{
    return find(error)->text;
}

enum poa_error_class poa_error_class(int error)
{
    return find(error)->class;
}
