/* SPDX-License-Identifier: Apache-2.0 */
/* payload.c - a payload, as it lies in a frame's tail or in a spill. Input: its bytes. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_payload(data, size);
    return 0;
}
