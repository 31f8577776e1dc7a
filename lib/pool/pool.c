/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - the public interface of a pool, and the choice of workers for calls. The life of a call begins here:
 *
 *   pinfold_pool_submit   checks it, copies or spills its request, hands it to an idle worker or queues it
 *   call.c                its states, deadlines and end
 *   worker.c              what its worker sends, and how the worker dies
 *   queue.c               where its result is taken
 */
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sized.h"
#include "base/util.h"
#include "pool/fork.h"
#include "pool/pool.h"
#include "wire/payload.h"

#define OUTPUT_DEFAULT (UINT64_C(1) << 20)
#define WORKERS_MAX 4096u
#define STARTING_MAX 32u /* START frames under way: as many as the control socket surely holds */
#define ENDING_SLACK                                                                                              \
    64u /* dead workers that the template has yet to reap, beyond max_workers, before it gets a rest */

bool pool_reuses(const struct pinfold_pool *pool)
{
    return pool->config.isolation != PINFOLD_FRESH;
}

bool pool_distrusts(const struct pinfold_pool *pool)
{
    return pool_wants_seals(pool) && !pool_reuses(pool);
}

bool pool_wants_seals(const struct pinfold_pool *pool)
{
    return pool->config.flags & PINFOLD_DISTRUST;
}

void pool_event(struct pinfold_pool *pool, uint32_t kind, const struct worker *worker, const struct call *call,
                const char *reason)
{
    if (!(pool->config.flags & PINFOLD_EVENTS))
        return;
    struct event *event = calloc(1, sizeof(*event));
    if (!event)
        return;
    event->public.kind = kind;
    event->public.call_id = call ? call->id : 0;
    event->public.tag = call ? call->tag : NULL;
    event->public.worker_pid = worker->pid;
    memcpy(event->public.worker_id, worker->id, sizeof(event->public.worker_id));
    snprintf(event->public.reason, sizeof(event->public.reason), "%s", reason);
    STAILQ_INSERT_TAIL(&pool->events, event, link);
    queue_refresh(&pool->queue);
}

int pinfold_pool_watch(pinfold_pool *pool)
{
    if (pool->owner != getpid())
        return -ECHILD;
    pthread_mutex_lock(&pool->lock);
    pool->config.flags |= PINFOLD_EVENTS;
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

int pinfold_pool_next_event(pinfold_pool *pool, pinfold_event *ret_event)
{
    if (pool->owner != getpid())
        return -ECHILD;
    pthread_mutex_lock(&pool->lock);
    struct event *event = STAILQ_FIRST(&pool->events);
    if (event) {
        STAILQ_REMOVE_HEAD(&pool->events, link);
        queue_refresh(&pool->queue);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!event)
        return -EAGAIN;
    *ret_event = event->public;
    free(event);
    return 0;
}

/* ---- which call gets which worker --------------------------------------------------------------------------- */

void pool_refuse_one(struct pinfold_pool *pool, const char *format, ...)
{
    struct call *call = TAILQ_FIRST(&pool->waiting);
    if (!call)
        return;
    char sentence[sizeof(pool->failure.text) + 128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    call_evidence(call, PINFOLD_INTERNAL, "%s", sentence);
    call_step(pool, call, CALL_REFUSED);
}

/* Hand the calls that wait longest to idle workers, and further ones ahead to busy workers. */
static void hand_out(struct pinfold_pool *pool)
{
    struct call *call;
    struct worker *worker;
    ahead_relieve(pool);
    while ((call = TAILQ_FIRST(&pool->waiting)) && pool->n_running < pool->config.max_workers &&
           (worker = TAILQ_FIRST(&pool->idle)) &&
           (!pool->cpu_slots || cpu_slot_take(pool->cpu_slots, pool->config.max_workers, &worker->cpu_slot))) {
        int r = worker_hand(pool, worker, call);
        if (r == -EMSGSIZE) { /* no other worker can be handed it either */
            pool_refuse_one(pool, "cannot hand the call to a worker: %s", strerror(-r));
        } else if (frame_may_yet_go(r) && pool->serving && pool->serving->state == TEMPLATE_SERVING) {
            template_rest(pool, pool->serving);
            break;
        } else if (r < 0) {
            worker_idle_died(pool, worker);
            if (++call->returns > CALL_RETURNS)
                pool_refuse_one(pool, "one worker after another ended before it had begun the call");
        }
    }
    ahead_fill(pool);
}

/* Return how many workers to ask for now. A reused worker is made when a call would wait without it. Of fresh
 * ones a stock is kept for the recent demand: the calls that run or wait, and one more. */
static uint32_t workers_missing(struct pinfold_pool *pool)
{
    const uint32_t most = pool->config.max_workers;
    const uint32_t coming = pool->n_idle + pool->n_starting;
    if (pool_reuses(pool)) {
        uint32_t room = most - (pool->n_running + coming < most ? pool->n_running + coming : most);
        uint32_t wanted = pool->n_waiting > coming ? pool->n_waiting - coming : 0;
        return wanted < room ? wanted : room;
    }
    uint32_t demand = pool->n_running + pool->n_waiting + 1;
    if (demand > most)
        demand = most;
    if ((pool->n_running || pool->n_waiting) && pool->spares_wanted < demand)
        pool->spares_wanted = demand;
    if (pool->n_ending > most + ENDING_SLACK)
        return 0;
    return pool->spares_wanted > coming ? pool->spares_wanted - coming : 0;
}

/* With other workers present the call can wait; without, nothing would ever run it. */
static void cannot_start(struct pinfold_pool *pool, struct template *template, uint32_t others, const char *text,
                         size_t size)
{
    template_rest(pool, template);
    if (others == 0)
        pool_refuse_one(pool, "cannot start a worker: %.*s", (int)size, text);
}

void pool_start_failed(struct pinfold_pool *pool, struct template *template, int code)
{
    const char *text = strerror(-code);
    /* a worker that ends makes room */
    cannot_start(pool, template, pool->n_running + pool->n_idle + pool->n_starting + pool->n_ending, text,
                 strlen(text));
}

void pool_worker_failed(struct pinfold_pool *pool, struct template *template, const char *text, size_t size)
{
    if (pool_restore_spills(pool)) /* the worker needed it */
        return;
    /* workers that are starting may fail, too */
    cannot_start(pool, template, pool->n_running + pool->n_idle, text, size);
}

static void start_workers(struct pinfold_pool *pool)
{
    struct template *template = pool->serving;
    for (uint32_t missing = workers_missing(pool);
         missing > 0 && template->starting < STARTING_MAX && !template->rests; missing--) {
        int r = worker_start(pool, template);
        if (r < 0)
            pool_start_failed(pool, template, r);
    }
}

bool pool_hand_on(struct pinfold_pool *pool)
{
    hand_out(pool);
    const struct template *first = TAILQ_FIRST(&pool->template_list);
    return (pool->serving ? workers_missing(pool) == 0 : pool->n_waiting == 0 && !pool->replace) &&
           !pool->renewal.argv && (!first || !TAILQ_NEXT(first, link));
}

bool pool_restore_spills(struct pinfold_pool *pool)
{
    if (!spill_dir_is_gone(&pool->spills) || spill_dir_restore(&pool->spills, pool->config.spill_dir) < 0)
        return false;
    if (!pool->closing && !pool->renewal.argv &&
        (pool->renewal.argv = pool_copy_strings((const char *const *)pool->config.argv)))
        reactor_wake(pool);
    return true;
}

void pool_pump(struct pinfold_pool *pool)
{
    hand_out(pool);
    if (!pool->serving && (pool->n_waiting > 0 || pool->replace) && reactor_may_spawn(pool)) {
        pinfold_error error;
        pool->replace = false;
        if (template_open(pool, pool->config.argv, &pool->serving, &error) < 0) {
            pool->failure = error;
            pool_ready(pool, true);
            while (pool->n_waiting > 0)
                pool_refuse_one(pool, "the pool could not start: %s", error.text);
        }
    }
    if (pool->serving && pool->serving->state == TEMPLATE_SERVING)
        start_workers(pool);
    renewal_pump(pool);
}

void pool_end(struct pinfold_pool *pool)
{
    uint32_t at = 0;
    for (struct call *call; (call = handle_each(&pool->calls, &at));)
        call_end(pool, call, CALL_CANCEL);
    struct template *template;
    TAILQ_FOREACH (template, &pool->template_list, link)
        template_end(pool, template, NULL, 0);
}

/* ---- opening and closing ------------------------------------------------------------------------------------ */

void pool_free_strings(char **strings)
{
    for (char **at = strings; at && *at; at++)
        free(*at);
    free(strings);
}

char **pool_copy_strings(const char *const *strings)
{
    size_t n = 0;
    while (strings && strings[n])
        n++;
    char **copy = calloc(n + 1, sizeof(char *));
    for (size_t i = 0; copy && i < n; i++) {
        if (!(copy[i] = strdup(strings[i]))) {
            pool_free_strings(copy);
            return NULL;
        }
    }
    return copy;
}

static int read_config(const pinfold_config *from, pinfold_config *ret_config, pinfold_error *error)
{
    const size_t least = SIZED_UP_TO(pinfold_config, namespaces);
    if (sized_check(&from->size, least, sizeof(*from)) < 0)
        return error_set(error, -EINVAL,
                         "config.size is %zu, but this library knows pinfold_configs of %zu .. %zu bytes",
                         from->size, least, sizeof(*from));
    sized_read(ret_config, sizeof(*ret_config), &from->size);
    return 0;
}

static int check_config(const pinfold_config *config, pinfold_error *error)
{
    if (!config->argv || !config->argv[0] || config->argv[0][0] != '/')
        return error_set(error, -EINVAL, "config.argv[0] must be the absolute path of the template's command");
    if (!config->spill_dir || !config->spill_dir[0] || strlen(config->spill_dir) > PINFOLD_SETUP_PATH_MAX)
        return error_set(error, -EINVAL, "config.spill_dir must name a directory in at most 4095 bytes");
    if (config->isolation > PINFOLD_SPAWN)
        return error_set(error, -EINVAL, "config.isolation is %u, which is no pinfold_isolation",
                         config->isolation);
    if (config->max_workers < 1 || config->max_workers > WORKERS_MAX)
        return error_set(error, -EINVAL, "config.max_workers is %u, not 1 .. %u", config->max_workers,
                         WORKERS_MAX);
    if (config->idle_timeout_ns <= 0 || config->open_timeout_ns <= 0)
        return error_set(error, -EINVAL, "config.idle_timeout_ns and config.open_timeout_ns must be positive");
    if (config->output_bytes > SIZE_MAX / 2)
        return error_set(error, -EINVAL, "config.output_bytes is too large");
    if (config->flags & ~(PINFOLD_NO_PDEATHSIG | PINFOLD_EVENTS | PINFOLD_DISTRUST | PINFOLD_CPU_SLOTS |
                          PINFOLD_AHEAD | PINFOLD_PRINTED | PINFOLD_NO_QUEUE))
        return error_set(error, -EINVAL, "config.flags has bits that mean nothing: %#x", config->flags);
    return 0;
}

static int copy_config(struct config *to, const pinfold_config *from)
{
    to->argv = pool_copy_strings(from->argv);
    to->envp = pool_copy_strings(from->envp);
    to->guard = strdup(from->guard ? from->guard : PINFOLD_GUARD);
    /* Make the path absolute: workers change their directory, and so may the caller before a template is
     * replaced. If that fails, opening the directory reports why. */
    if (!(to->spill_dir = realpath(from->spill_dir, NULL)))
        to->spill_dir = strdup(from->spill_dir);
    to->cgroup = from->cgroup ? strdup(from->cgroup) : NULL;
    to->isolation = from->isolation;
    to->max_workers = from->max_workers;
    to->max_queue = from->max_queue;
    to->max_calls_per_worker = from->max_calls_per_worker;
    to->flags = from->flags;
    to->namespaces = from->namespaces ? from->namespaces | CLONE_NEWUSER : 0;
    to->idle_timeout_ns = from->idle_timeout_ns;
    to->open_timeout_ns = from->open_timeout_ns;
    to->output_bytes = from->output_bytes ? from->output_bytes : OUTPUT_DEFAULT;
    return to->argv && to->envp && to->guard && to->spill_dir && (to->cgroup || !from->cgroup) ? 0 : -ENOMEM;
}

static int check_executable(const char *what, const char *path, pinfold_error *error)
{
    return access(path, X_OK) < 0 ? error_errno(error, -errno, "cannot run the %s %s", what, path) : 0;
}

static int open_descriptors(struct pinfold_pool *pool, pinfold_error *error)
{
    pool->epoll = epoll_create1(EPOLL_CLOEXEC);
    pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pool->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pool->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (pool->epoll < 0 || pool->wake < 0 || pool->ready < 0 || pool->timer < 0)
        return error_errno(error, -errno, "cannot make the pool's descriptors");
    int r = queue_init(pool, &pool->queue);
    return r < 0 ? error_errno(error, r, "cannot make the pool's queue") : 0;
}

/* Free what exists of a fully or partly opened pool. Its thread and its templates must be gone. */
static void free_pool(struct pinfold_pool *pool)
{
    uint32_t at = 0;
    fork_drop(pool);

    if (pool->queue.pool)
        queue_destroy(&pool->queue);
    for (struct call *call; (call = handle_each(&pool->calls, &at));)
        call_free(pool, call);
    struct event *event;
    while ((event = STAILQ_FIRST(&pool->events))) {
        STAILQ_REMOVE_HEAD(&pool->events, link);
        free(event);
    }
    spill_dir_close(&pool->spills);
    cgroup_close(&pool->cgroup);
    close_fd(&pool->epoll);
    close_fd(&pool->wake);
    close_fd(&pool->ready);
    close_fd(&pool->timer);
    handle_table_free(&pool->calls);
    handle_table_free(&pool->workers);
    handle_table_free(&pool->templates);
    deadline_heap_free(&pool->deadlines);
    pool_free_strings(pool->config.argv);
    pool_free_strings(pool->config.envp);
    pool_free_strings(pool->renewal.argv);
    free(pool->cpu_slots);
    free(pool->config.guard);
    free(pool->config.spill_dir);
    free(pool->config.cgroup);
    if (pool->owner == getpid()) /* in a fork it may count a waiter, and destroying it would hang */
        pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

int pinfold_pool_open(const pinfold_config *asked, pinfold_pool **ret_pool, pinfold_error *error)
{
    pinfold_config whole;
    const pinfold_config *config = &whole;
    int r = read_config(asked, &whole, error);
    if (r == 0)
        r = check_config(config, error);
    if (r < 0)
        return r;
    struct pinfold_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return error_errno(error, -ENOMEM, "cannot hold a pool");
    pool->owner = getpid();
    pool->processors = (uint32_t)sysconf(_SC_NPROCESSORS_CONF);
    pool->memory_kb = (uint64_t)sysconf(_SC_PHYS_PAGES) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
    pool->armed = INT64_MAX;
    pool->generation = 1;
    pool->spills.fd = pool->cgroup.fd = pool->epoll = pool->wake = pool->ready = pool->timer = pool->queue.notify =
        -1;
    pool->spares_wanted = config->isolation == PINFOLD_FRESH ? 1 : 0;
    TAILQ_INIT(&pool->waiting);
    TAILQ_INIT(&pool->idle);
    TAILQ_INIT(&pool->loaded);
    TAILQ_INIT(&pool->hungry);
    TAILQ_INIT(&pool->template_list);
    pool->workers.ready = worker_ready;
    pool->templates.ready = template_ready;
    TAILQ_INIT(&pool->queues);
    STAILQ_INIT(&pool->events);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->ended, NULL);

    r = fork_hold(pool);
    pthread_mutex_lock(&pool->lock); /* for a concurrent fork by another thread */
    if (r == 0)
        r = copy_config(&pool->config, config);
    if (r == 0 && config->flags & PINFOLD_CPU_SLOTS &&
        !(pool->cpu_slots = calloc(config->max_workers, sizeof(bool))))
        r = -ENOMEM;
    if (r < 0)
        error_errno(error, r, "cannot hold the pool and its config");
    if (r == 0)
        r = check_executable("guard", pool->config.guard, error);
    if (r == 0)
        r = check_executable("template", pool->config.argv[0], error);
    if (r == 0)
        r = spill_dir_open(pool->config.spill_dir, &pool->spills, error);
    if (r == 0 && pool->config.cgroup)
        r = cgroup_open(&pool->cgroup, pool->config.cgroup, error);
    if (r == 0)
        r = open_descriptors(pool, error);
    if (r == 0)
        r = template_open(pool, pool->config.argv, &pool->serving, error);
    if (r == 0)
        r = reactor_start(pool, error);
    pthread_mutex_unlock(&pool->lock);
    if (r < 0) {
        pinfold_pool_close(pool);
        return r;
    }
    *ret_pool = pool;
    return 0;
}

void pool_close_copies(struct pinfold_pool *pool)
{
    /* The epoll instance must go first: it is shared with the other process, and closing the rest would end its
     * watches. */
    int *const own[] = {&pool->epoll,     &pool->wake,      &pool->timer,       &pool->ready,
                        &pool->spills.fd, &pool->cgroup.fd, &pool->queue.notify};
    for (size_t i = 0; i < COUNT_OF(own); i++)
        close_fd(own[i]);
    struct pinfold_queue *queue;
    TAILQ_FOREACH (queue, &pool->queues, link)
        close_fd(&queue->notify);
    uint32_t at = 0;
    for (struct call *call; (call = handle_each(&pool->calls, &at));)
        close_fd(&call->spill);
    template_close_copies(pool);
}

void pool_ready(struct pinfold_pool *pool, bool known)
{
    uint64_t count = 1;
    ssize_t done = known ? write(pool->ready, &count, sizeof(count)) : read(pool->ready, &count, sizeof(count));
    (void)done; /* fails only if `ready` is in that state already */
}

/* 1: not known yet. */
static int ready(const struct pinfold_pool *pool, pinfold_error *error)
{
    if (pool->failure.code < 0 && error)
        *error = pool->failure;
    if (pool->failure.code < 0)
        return pool->failure.code;
    if (pool->closing)
        return error_set(error, -ESHUTDOWN, "the pool is closed");
    return pool->serving && pool->serving->state == TEMPLATE_SERVING ? 0 : 1;
}

int pinfold_pool_wait_ready(pinfold_pool *pool, int64_t timeout_ns, pinfold_error *error)
{
    if (pool->owner != getpid())
        return error_set(error, -ECHILD, "the pool belongs to another process");
    int64_t until = time_add(now_ns(), timeout_ns > 0 ? timeout_ns : 0);
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        int r = ready(pool, error);
        pthread_mutex_unlock(&pool->lock);
        if (r <= 0)
            return r;
        int64_t left = until - now_ns();
        if (left <= 0)
            return error_set(error, -ETIMEDOUT, "the template is not ready yet");
        struct timespec most = timespec_of(left);
        struct pollfd watched = {.fd = pool->ready, .events = POLLIN};
        if (ppoll(&watched, 1, until == INT64_MAX ? NULL : &most, NULL) < 0)
            return error_errno(error, -errno, "interrupted while the template starts");
    }
}

int pinfold_pool_shutdown(pinfold_pool *pool)
{
    if (pool->owner != getpid())
        return -ECHILD;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pool_ready(pool, true); /* waiting for it is in vain now */
    reactor_wake(pool);
    while (!pool->closed)
        pthread_cond_wait(&pool->ended, &pool->lock);
    bool join = pool->reactor_runs;
    pool->reactor_runs = false;
    pthread_mutex_unlock(&pool->lock);
    if (join)
        pthread_join(pool->reactor, NULL);
    return 0;
}

/* End what was started for a pool whose thread never ran. */
static void end_unopened(struct pinfold_pool *pool)
{
    pool_end(pool);
    struct template *template;
    while ((template = TAILQ_FIRST(&pool->template_list))) {
        struct pollfd watched = {.fd = template->guard_pidfd, .events = POLLIN};
        int64_t most = watched.fd < 0 ? TEMPLATE_LOOK_NS : TEMPLATE_STUCK_NS;
        RETRY_EINTR(poll(&watched, 1, (int)(most / NS_PER_MS)));
        template_due(pool, template);
    }
}

void pinfold_pool_close(pinfold_pool *pool)
{
    if (!pool)
        return;
    if (pool->owner != getpid()) {
        pool_close_copies(pool); /* the fork handler did so, unless _Fork(3) was used */
        template_abandon_all(pool);
    } else if (pool->reactor_runs) {
        pinfold_pool_shutdown(pool);
    } else if (!pool->closed) {
        end_unopened(pool);
    }
    free_pool(pool);
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

static int read_call(const pinfold_call *from, pinfold_call *ret_call, pinfold_error *error)
{
    const size_t least = SIZED_UP_TO(pinfold_call, result_bytes);
    if (sized_check(&from->size, least, sizeof(*from)) < 0)
        return error_set(error, -EINVAL,
                         "call.size is %zu, but this library knows pinfold_calls of %zu .. %zu bytes", from->size,
                         least, sizeof(*from));
    sized_read(ret_call, sizeof(*ret_call), &from->size);
    return 0;
}

static int check_call(const pinfold_pool *pool, const pinfold_call *asked, pinfold_error *error)
{
    if (!asked->segments || asked->n_segments < 1 || asked->n_segments > PINFOLD_PAYLOAD_SEGMENTS_MAX)
        return error_set(error, -EINVAL, "a call has 1 .. %u segments, not %u", PINFOLD_PAYLOAD_SEGMENTS_MAX,
                         asked->n_segments);
    if (asked->queue && asked->queue->pool != pool)
        return error_set(error, -EINVAL, "call.queue belongs to another pool");
    if (asked->deadline_ns <= 0)
        return error_set(error, -EINVAL, "call.deadline_ns is %lld; it must be positive",
                         (long long)asked->deadline_ns);
    if (asked->flags & ~(PINFOLD_EXITS | PINFOLD_COLLECTS) || asked->reserved)
        return error_set(error, -EINVAL, "call.flags or call.reserved has a bit that this version does not know");
    if (asked->cpu_ns < 0)
        return error_set(error, -EINVAL, "call.cpu_ns is %lld; it must not be negative", (long long)asked->cpu_ns);
    if (asked->wall_ns < 0)
        return error_set(error, -EINVAL, "call.wall_ns is %lld; it must not be negative",
                         (long long)asked->wall_ns);
    return 0;
}

/* Decide by all calls that have not ended, so that it does not matter which of them have a worker. A caller
 * with at most max_workers + max_queue unfinished calls is never refused. */
static bool is_full(const struct pinfold_pool *pool)
{
    const struct config *config = &pool->config;
    return (config->max_queue || config->flags & PINFOLD_NO_QUEUE) &&
           pool->n_pending >= (uint64_t)config->max_workers + config->max_queue;
}

/* Enter the call into the pool: hand it to an idle worker, or let it wait. */
static int pool_enter(struct pinfold_pool *pool, struct call *call, pinfold_error *error)
{
    if (pool->closing)
        return error_set(error, -ESHUTDOWN, "the pool is closed");
    if (is_full(pool))
        return error_set(error, -EAGAIN, "%u calls are waiting already", pool->config.max_queue);
    int r = deadline_reserve(&pool->deadlines, 2 * pool->calls.n + pool->workers.n + pool->templates.n + 2);
    if (r == 0)
        r = handle_new(&pool->calls, call, &call->id);
    if (r < 0)
        return error_errno(error, r, "cannot hold one more call");
    call->order = ++pool->submitted;
    TAILQ_INSERT_TAIL(&pool->waiting, call, link);
    pool->n_waiting++;
    pool->n_pending++;
    clock_wait(pool, call);
    hand_out(pool);
    /* The reactor starts workers, since forks and descriptors take time. */
    if (!pool->serving || (pool->n_waiting > 0 && pool->n_starting == 0) ||
        workers_missing(pool) > pool->spares_wanted / 2)
        reactor_wake(pool);
    return 0;
}

static bool is_large(const pinfold_call *asked)
{
    uint64_t size;
    return payload_size(asked->segments, asked->n_segments, &size) < 0 || size > PINFOLD_PAYLOAD_INLINE_MAX;
}

static int lock_within(struct pinfold_pool *pool, int64_t patience_ns)
{
    if (patience_ns == PINFOLD_FOREVER)
        return -pthread_mutex_lock(&pool->lock);
    const struct timespec until = timespec_of(time_add(now_ns(), patience_ns));
    return pthread_mutex_clocklock(&pool->lock, CLOCK_MONOTONIC, &until) ? -EBUSY : 0;
}

static int submit(pinfold_pool *pool, const pinfold_call *from, int64_t patience_ns, uint64_t *ret_id,
                  pinfold_error *error)
{
    if (pool->owner != getpid())
        return error_set(error, -ECHILD, "the pool belongs to another process");
    pinfold_call whole;
    const pinfold_call *asked = &whole;
    int r = read_call(from, &whole, error);
    if (r == 0)
        r = check_call(pool, asked, error);
    if (r < 0)
        return r;
    if (patience_ns != PINFOLD_FOREVER && is_large(asked))
        return -EBUSY;
    struct call *call;
    r = call_new(pool, asked, &call, error);
    if (r < 0 && is_large(asked)) {
        pthread_mutex_lock(&pool->lock);
        bool restored = pool_restore_spills(pool);
        pthread_mutex_unlock(&pool->lock);
        if (restored)
            r = call_new(pool, asked, &call, error);
    }
    if (r < 0)
        return r;
    r = lock_within(pool, patience_ns);
    if (r < 0) {
        call_free(pool, call);
        return r;
    }
    r = pool_enter(pool, call, error);
    if (r == 0)
        *ret_id = call->id;
    else
        call_free(pool, call);
    pthread_mutex_unlock(&pool->lock);
    return r;
}

int pinfold_pool_submit(pinfold_pool *pool, const pinfold_call *call, uint64_t *ret_id, pinfold_error *error)
{
    return submit(pool, call, PINFOLD_FOREVER, ret_id, error);
}

int pinfold_pool_try_submit(pinfold_pool *pool, const pinfold_call *call, int64_t patience_ns, uint64_t *ret_id,
                            pinfold_error *error)
{
    return submit(pool, call, patience_ns < 0 ? 0 : patience_ns, ret_id, error);
}

int pinfold_pool_cancel(pinfold_pool *pool, uint64_t id)
{
    if (pool->owner != getpid())
        return -ECHILD;
    pthread_mutex_lock(&pool->lock);
    struct call *call = handle_get(&pool->calls, id);
    int r = call && call->state != CALL_DONE && call_end(pool, call, CALL_CANCEL) ? 0 : -ENOENT;
    if (pool->n_waiting > 0)
        reactor_wake(pool); /* a worker slot or a worker is free now, even if the call had ended by itself */
    pthread_mutex_unlock(&pool->lock);
    return r;
}

int pinfold_pool_stats(pinfold_pool *pool, pinfold_stats *ret_stats)
{
    if (sized_check(&ret_stats->size, SIZED_UP_TO(pinfold_stats, spill_in_memory), sizeof(*ret_stats)) < 0)
        return -EINVAL;
    if (pool->owner != getpid())
        return -ECHILD;
    pthread_mutex_lock(&pool->lock);
    pinfold_stats stats = {
        .submitted = pool->submitted,
        .workers_started = pool->workers_started,
        .templates_started = pool->templates_started,
        .queued = pool->n_waiting + pool->n_ahead,
        .running = pool->n_running,
        .idle = pool->n_idle,
        .starting = pool->n_starting,
        .ending = pool->n_ending,
        .template_pid = pool->serving ? pool->serving->pid : 0,
        .spill_in_memory = pool->spills.in_memory,
        .generation = pool->generation,
        .template_start_ns = pool->template_start_ns,
    };
    memcpy(stats.outcomes, pool->outcomes, sizeof(pool->outcomes));
    snprintf(stats.spill_kind, sizeof(stats.spill_kind), "%s", spill_kind_name(pool->spills.kind));
    pthread_mutex_unlock(&pool->lock);
    sized_write(&ret_stats->size, &stats);
    return 0;
}
