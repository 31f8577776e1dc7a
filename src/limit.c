#include "limit.h"

#include "error.h"
#include "sweep.h"
#include "usage.h"
#include "util.h"

#define TREE_MAX 4096u

struct tree {
    struct limit_use use;
    int failure; /* a negative errno of ours, for which something was not seen */
    uint32_t n;
    pid_t found[TREE_MAX + 1]; /* each behind its parent; one more than the most, to tell that there are more */
};

bool limit_any(const struct limits *limits)
{
    return limits->memory_bytes || limits->cpu_ns || limits->processes;
}

static uint32_t most_processes(const struct limits *limits)
{
    return limits->processes && limits->processes < TREE_MAX ? limits->processes : TREE_MAX;
}

static void find(pid_t pid, void *data)
{
    struct tree *tree = data;
    if (tree->n < COUNT_OF(tree->found))
        tree->found[tree->n++] = pid;
}

/* `shared`: memory by shares, which is exact among forks of one another, and slow. */
static void add(struct tree *tree, pid_t pid, const struct limits *limits, bool shared)
{
    struct usage usage;
    int r = usage_read_now(pid, limits->memory_bytes > 0, &usage);
    if (r == 0) {
        tree->use.processes++;
        tree->use.cpu_ns += (usage.user_us + usage.sys_us) * 1000;
        if (shared && (r = usage_read_share(pid, &usage.private_kb)) < 0)
            usage.private_kb = 0;
        tree->use.memory_bytes += usage.private_kb * 1024;
    }
    if (r == 0)
        r = sweep_children_of(pid, find, tree);
    /* After any other error it is gone: what it used is its parent's to tell, if that waited for it. */
    if (error_is_ours(r))
        tree->failure = r;
}

/* Not by recursion: a program decides how deep this is, and the stack may be a small one of the caller's. */
static void look(struct tree *tree, pid_t worker, const struct limits *limits, bool shared)
{
    *tree = (struct tree){.n = 0};
    find(worker, tree);
    for (uint32_t i = 0; i < tree->n && tree->use.processes <= most_processes(limits); i++)
        add(tree, tree->found[i], limits, shared);
}

enum limit_hit limit_look(pid_t worker, const struct limits *limits, uint64_t inherited_bytes,
                          uint64_t cpu_before_ns, struct limit_use *ret_use)
{
    struct tree tree;
    look(&tree, worker, limits, false);
    /* Forks share what neither has written to, and each of them counts it: before that hits anybody, look closer. */
    if (limits->memory_bytes && tree.use.processes > 1 && tree.use.memory_bytes > limits->memory_bytes) {
        inherited_bytes = 0;
        look(&tree, worker, limits, true);
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
    ret_use->failure = tree.failure;
    return tree.failure < 0 ? LIMIT_UNSEEN : LIMIT_NONE;
}
