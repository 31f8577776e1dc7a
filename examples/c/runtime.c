/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.c - the template's command: give it to pinfold_pool_open as argv[0]. */
#include "functions.h"

int main(int argc, char **argv)
{
    (void)argc;
    return template_serve(argv, (const struct function *const[]){functions, NULL});
}
