#include "pool/place.h"

#include "pool/pool.h"

bool place_take(struct pinfold_pool *pool, struct worker *worker)
{
    for (uint32_t place = 1; !worker->place && place <= pool->config.max_workers; place++) {
        if (!pool->places[place - 1]) {
            pool->places[place - 1] = true;
            worker->place = place;
        }
    }
    return worker->place > 0;
}

void place_leave(struct pinfold_pool *pool, struct worker *worker)
{
    if (worker->place)
        pool->places[worker->place - 1] = false;
    worker->place = 0;
}
