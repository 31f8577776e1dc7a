/* SPDX-License-Identifier: Apache-2.0 */
/* version.c - the version of the library. */
#include <pinfold.h>

const char *pinfold_version(void)
{
    return PINFOLD_VERSION_STRING;
}
