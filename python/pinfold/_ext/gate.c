/* SPDX-License-Identifier: Apache-2.0 */
/* gate.c - the gates around a pool and its queues (binding.h). */
#include "binding.h"

int gate_init(struct gate *gate)
{
    int code = pthread_mutex_init(&gate->mutex, NULL);
    if (code == 0 && (code = pthread_cond_init(&gate->empty, NULL)) != 0)
        pthread_mutex_destroy(&gate->mutex);
    return -code;
}

void gate_destroy(struct gate *gate)
{
    pthread_cond_destroy(&gate->empty);
    pthread_mutex_destroy(&gate->mutex);
}

bool gate_enter(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    bool open = !gate->shut;
    if (open)
        gate->inside++;
    pthread_mutex_unlock(&gate->mutex);
    return open;
}

void gate_leave(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    if (--gate->inside == 0 && gate->shut)
        pthread_cond_broadcast(&gate->empty);
    pthread_mutex_unlock(&gate->mutex);
}

bool gate_shut(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    bool first = !gate->shut;
    gate->shut = true;
    pthread_mutex_unlock(&gate->mutex);
    return first;
}

void gate_forget(struct gate *gate)
{
    pthread_mutex_init(&gate->mutex, NULL);
    gate->shut = true;
}

void gate_drain(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    while (gate->inside > 0)
        pthread_cond_wait(&gate->empty, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}
