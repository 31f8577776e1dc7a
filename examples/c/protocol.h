/* protocol.h - the protocol of docs/design.md, written down from that page alone. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { MAGIC = 0x4650, VERSION = 1, FRAME_MAX = 65536, INLINE_MAX = 60000, ALIGN = 64 };
#define PAYLOAD_MAGIC 0x4C504650u

enum kind {
    SETUP = 1,
    READY = 3,
    FAILED = 4,
    START = 5,
    STARTED = 6,
    EXITED = 7,
    SWEPT = 8,
    CALL = 9,
    RESULT = 10,
    STACK = 11,
    NOTE = 12,
    SLATE = 13,
    TAKEN = 16
};

struct head {
    uint16_t magic;
    uint8_t version;
    uint8_t kind;
    uint32_t size;
    uint64_t id;
};

struct setup {
    uint32_t isolation;
    uint32_t flags;
};
enum { ISOLATION_FRESH = 0, ISOLATION_REUSE = 1, ISOLATION_SPAWN = 2, SETUP_PDEATHSIG = 1, SETUP_SEALED = 2 };

struct started {
    int32_t pid;
    int32_t error;
    uint64_t inherited_kb;
};

struct exited {
    int32_t status;
    uint32_t flags;
    uint64_t user_us;
    uint64_t sys_us;
    uint64_t peak_kb;
};
enum { EXITED_ORPHANS = 1 };

struct call {
    uint64_t payload_size;
    uint64_t result_max;
    uint32_t flags;
    uint32_t place;
};
enum { CALL_SPILLED = 1, CALL_OFFERED = 2 };

struct result {
    uint64_t payload_size;
    uint64_t user_us;
    uint64_t sys_us;
    uint64_t peak_kb;
    uint32_t status;
    uint32_t flags;
};
enum { RESULT_SPILLED = 1, RESULT_CHILDREN = 2, RESULT_QUIET = 8, RESULT_HELD = 16 };

/* What the pool shares with a worker that is handed calls ahead. `line`: the next turn, the end of the turns (31 bits
 * each), and whether it is closed. `taken`: calls begun that were not handed ahead. */
struct slate {
    _Atomic uint64_t line;
    _Atomic uint32_t reads;
    _Atomic uint32_t taken;
    _Atomic int64_t begun[16];
};
#define SLATE_MASK UINT64_C(0x7fffffff)
#define SLATE_END 31
#define SLATE_CLOSED (UINT64_C(1) << 63)

enum status { STATUS_OK = 0, STATUS_EXCEPTION = 1, STATUS_TOO_LARGE = 3, STATUS_INTERNAL = 4 };

/* One frame, as it lies in memory; the body's type follows from the kind. */
struct frame {
    struct head head;
    union {
        struct setup setup;
        struct started started;
        struct exited exited;
        struct call call;
        struct result result;
        uint8_t bytes[FRAME_MAX - sizeof(struct head)];
    } body;
};

/* Sends head, body and tail, with descriptors. 0, or -1 with errno. Safe in a signal handler. */
int frame_send(int socket, enum kind kind, uint64_t id, const void *body, size_t body_size, const void *tail,
               size_t tail_size, const int *fds, int n_fds);

/* Waits for a frame, and for up to `n_fds` descriptors, which are -1 where none came. Its size; 0: end-of-file. The
 * pool is trusted, so nothing else is checked. */
size_t frame_receive(int socket, struct frame *frame, int *fds, int n_fds);

/* Where segment 0 of a payload of n segments begins, and where the one behind an end. */
size_t payload_begin(uint32_t n);
size_t payload_next(size_t end);

/* Points segments[] (which the caller frees) into a payload. Their number. */
uint32_t payload_open(void *payload, struct iovec **ret_segments);

/* The whole size of a payload of these segments; and the payload itself, into memory of that size. */
size_t payload_size(const struct iovec *segments, uint32_t n);
void payload_copy(uint8_t *to, const struct iovec *segments, uint32_t n);

/* The payload as a spill: the read-only descriptor of a file in `directory` that has no name, or, if that is "", a
 * sealed memfd; or -1 with errno. */
int payload_spill(const char *directory, const struct iovec *segments, uint32_t n);

#endif
