/* Fields of integers, each predicted from its neighbours and the fields before (spectral, section 4). */
#ifndef FIELD_H
#define FIELD_H

#include "bytes.h"

/* `count` fields of rows x columns, one after the other. */
int64_t *fields_read(Bytes from, size_t count, size_t rows, size_t columns);

#endif
