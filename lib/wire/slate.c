/* SPDX-License-Identifier: Apache-2.0 */
/* slate.c - the slate's atomic word: offer, recall, begin (slate.h). */
#include "wire/slate.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/util.h"

static uint32_t next_of(uint64_t word)
{
    return (uint32_t)(word & PINFOLD_SLATE_TURN_MASK);
}

static uint32_t end_of(uint64_t word)
{
    return (uint32_t)(word >> PINFOLD_SLATE_TURN_BITS & PINFOLD_SLATE_TURN_MASK);
}

static uint64_t word_of(uint32_t next, uint32_t end)
{
    return (end & PINFOLD_SLATE_TURN_MASK) << PINFOLD_SLATE_TURN_BITS | (next & PINFOLD_SLATE_TURN_MASK);
}

bool slate_is_before(uint32_t turn, uint32_t other)
{
    return ((turn - other) & PINFOLD_SLATE_TURN_MASK) > PINFOLD_SLATE_TURN_MASK / 2;
}

int slate_make(struct pinfold_slate **ret_slate, int *ret_fd)
{
    _cleanup_close_ int fd = memfd_create("pinfold-slate", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    /* Sealed: a process that could shrink the file could end the pool by SIGBUS. */
    if (ftruncate(fd, sizeof(struct pinfold_slate)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    int r = slate_map(fd, ret_slate);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int slate_map(int fd, struct pinfold_slate **ret_slate)
{
    void *page = mmap(NULL, sizeof(struct pinfold_slate), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    *ret_slate = page;
    return 0;
}

void slate_unmap(struct pinfold_slate **slate)
{
    if (*slate)
        munmap(*slate, sizeof(**slate));
    *slate = NULL;
}

void slate_open(struct pinfold_slate *slate)
{
    uint32_t end = end_of(atomic_load(&slate->word));
    atomic_store(&slate->word, word_of(end, end));
}

bool slate_offer(struct pinfold_slate *slate, uint32_t *ret_turn)
{
    uint64_t word = atomic_load(&slate->word);
    const uint32_t turn = end_of(word);
    if (((turn - next_of(word)) & PINFOLD_SLATE_TURN_MASK) >= PINFOLD_SLATE_TURNS)
        return false;
    atomic_store(&slate->begun[turn % PINFOLD_SLATE_TURNS], 0);
    *ret_turn = turn;
    do
        if (word & PINFOLD_SLATE_CLOSED)
            return false;
    while (!atomic_compare_exchange_weak(&slate->word, &word, word_of(next_of(word), turn + 1)));
    return true;
}

void slate_retract(struct pinfold_slate *slate)
{
    uint64_t word = atomic_load(&slate->word);
    while (!atomic_compare_exchange_weak(&slate->word, &word,
                                         word_of(next_of(word), end_of(word) - 1) | (word & PINFOLD_SLATE_CLOSED)))
        ;
}

uint32_t slate_recall(struct pinfold_slate *slate)
{
    uint64_t word = atomic_load(&slate->word);
    while (!atomic_compare_exchange_weak(&slate->word, &word,
                                         word_of(end_of(word), end_of(word)) | (word & PINFOLD_SLATE_CLOSED)))
        ;
    return next_of(word);
}

bool slate_has_begun(const struct pinfold_slate *slate, uint32_t turn)
{
    return slate_is_before(turn, next_of(atomic_load(&slate->word)));
}

int64_t slate_begun_at(const struct pinfold_slate *slate, uint32_t turn)
{
    return atomic_load(&slate->begun[turn % PINFOLD_SLATE_TURNS]);
}

void slate_reading(struct pinfold_slate *slate)
{
    atomic_fetch_add(&slate->reads, 1);
}

uint32_t slate_taken(const struct pinfold_slate *slate)
{
    return atomic_load(&slate->taken);
}

void slate_take(struct pinfold_slate *slate)
{
    atomic_fetch_add(&slate->taken, 1);
}

bool slate_begin(struct pinfold_slate *slate, uint32_t turn)
{
    uint64_t word = atomic_load(&slate->word);
    do
        if (word & PINFOLD_SLATE_CLOSED || next_of(word) != turn || turn == end_of(word))
            return false;
    while (!atomic_compare_exchange_weak(&slate->word, &word, word_of(turn + 1, end_of(word))));
    atomic_store(&slate->begun[turn % PINFOLD_SLATE_TURNS], now_ns());
    return true;
}

void slate_close(struct pinfold_slate *slate)
{
    atomic_fetch_or(&slate->word, PINFOLD_SLATE_CLOSED);
}

uint32_t slate_reads(const struct pinfold_slate *slate)
{
    return atomic_load(&slate->reads);
}

bool slate_is_quiet(const struct pinfold_slate *slate, uint32_t reads)
{
    return reads % 2 == 0 && atomic_load(&slate->reads) == reads;
}
