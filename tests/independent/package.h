/* Model packages (model). */
#ifndef PACKAGE_H
#define PACKAGE_H

#include "network.h"

enum { TABLES = 96, LETTERS = 96, NETWORKS = 12 };

typedef enum { PYRAMID, HYPERPRIOR } Kind;

typedef struct {
    Kind kind;
    int format;
    uint32_t (*below)[LETTERS + 1]; /* by table: c of entropy, "Words" */
    int16_t shrink[TABLES][2];      /* kind hyperprior only */
    Network network[NETWORKS];
} Package;

/* Networks of kind pyramid are numbered 2 pass + fine, pass 0 to 2 for D, A, B, and 6 more for those with
 * references; those of kind hyperprior 4 band + 2 later + fine, band 0 to 2 for HL, LH, HH. */
Package *package_read(Bytes file, Kind kind);

#endif
