/* The latent payload of adiabat.hyperprior (hyperprior). */
#ifndef HYPERPRIOR_H
#define HYPERPRIOR_H

#include "header.h"
#include "package.h"

/* A float64 for each pixel: centre + n (scale / 65536). */
double *hyperprior_read(const Header *header, const Package *package);

#endif
