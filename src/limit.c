#include "limit.h"

#include "sweep.h"
#include "usage.h"
#include "util.h"

#define TREE_MAX 4096u
#define DEPTH_MAX 64u

struct tree {
    const struct limits *limits;
    bool shared; /* memory by shares: exact among forks of one another, and slow */
    struct limit_use use;
    uint32_t depth;
};

bool limit_any(const struct limits *limits)
{
    return limits->memory_bytes || limits->cpu_ns || limits->processes;
}

static uint32_t most_processes(const struct limits *limits)
{
    return limits->processes && limits->processes < TREE_MAX ? limits->processes : TREE_MAX;
}

static void add(pid_t pid, void *data)
{
    struct tree *tree = data;
    if (tree->use.processes > most_processes(tree->limits) || tree->depth > DEPTH_MAX)
        return;
    struct usage usage;
    if (usage_read_now(pid, tree->limits->memory_bytes > 0, &usage) < 0)
        return; /* it is gone: what it used is its parent's to tell, if that waited for it */
    tree->use.processes++;
    tree->use.cpu_ns += (usage.user_us + usage.sys_us) * 1000;
    uint64_t memory_kb = usage.private_kb;
    if (tree->shared && usage_read_share(pid, &memory_kb) < 0)
        memory_kb = 0;
    tree->use.memory_bytes += memory_kb * 1024;
    tree->depth++;
    (void)sweep_children_of(pid, add, tree);
    tree->depth--;
}

enum limit_hit limit_look(pid_t worker, const struct limits *limits, uint64_t inherited_bytes,
                          uint64_t cpu_before_ns, struct limit_use *ret_use)
{
    struct tree tree = {.limits = limits};
    add(worker, &tree);
    /* Forks share what neither has written to, and each of them counts it: before that hits anybody, look closer. */
    if (limits->memory_bytes && tree.use.processes > 1 && tree.use.memory_bytes > limits->memory_bytes) {
        tree = (struct tree){.limits = limits, .shared = true};
        inherited_bytes = 0;
        add(worker, &tree);
    }
    struct limit_use use = tree.use;
    use.memory_bytes -= use.memory_bytes < inherited_bytes ? use.memory_bytes : inherited_bytes;
    use.cpu_ns -= use.cpu_ns < cpu_before_ns ? use.cpu_ns : cpu_before_ns;
    *ret_use = use;
    if (limits->memory_bytes && use.memory_bytes > limits->memory_bytes)
        return LIMIT_MEMORY;
    if (limits->cpu_ns && use.cpu_ns > limits->cpu_ns)
        return LIMIT_CPU;
    if (limits->processes && use.processes > limits->processes)
        return LIMIT_PROCESSES;
    return LIMIT_NONE;
}
