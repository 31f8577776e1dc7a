/* spill.h - a spill: the unnamed file that carries a payload too big for a frame.
 *
 * Whoever writes it opens it without a name (open(2), O_TMPFILE), writes it with write(2), so that a full disk is
 * ENOSPC and not a SIGBUS, opens it once more for reading only and closes the first descriptor: what travels is
 * the read-only one. Whoever reads it first proves that no writer is left, then maps it privately.
 *
 * Such a proof holds for the moment: a process of the same user that still has the descriptor can open the file once
 * more for writing. A worker in a box therefore writes its spills to sealed memfds (memfd_create(2)), which nobody can
 * change or cut any more, and the pool takes nothing else from it. Such a spill does not travel: its worker holds it and
 * names its number, for the pool to open.
 */
#ifndef PINFOLD_SPILL_H
#define PINFOLD_SPILL_H

#include <pinfold.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum spill_kind {
    SPILL_TMPFILE,  /* O_TMPFILE in the directory */
    SPILL_UNLINKED, /* mkostemp and unlink: the file system has no O_TMPFILE */
    SPILL_MEMFD     /* memory, sealed after the write: in a box, or where the directory takes no file at all */
};

struct spill_dir {
    int fd; /* O_PATH; owned; -1: spills are memfds, and need none */
    enum spill_kind kind;
    bool in_memory; /* tmpfs, or memfd: a spill costs memory, not disk */
    dev_t device;   /* where its files live */
};

/* Opens the directory and tries which kind of spill it can have. -ENOENT, -ENOTDIR, -EACCES, -EROFS: not usable. */
int spill_dir_open(const char *path, struct spill_dir *ret_dir, pinfold_error *error);
void spill_dir_close(struct spill_dir *dir);

/* No directory: spills are sealed memfds. */
struct spill_dir spill_dir_in_memory(void);

/* Whether somebody has removed it, a cleaner of /tmp say, to which it always looks empty: then no file can be made there. */
bool spill_dir_is_gone(const struct spill_dir *dir);

/* Makes it again, with the descriptor's number as it was, for whoever uses it meanwhile. As spill_dir_open. */
int spill_dir_restore(struct spill_dir *dir, const char *path);

/* "O_TMPFILE", "unlinked", "memfd". */
const char *spill_kind_name(enum spill_kind kind);

/* Writes the segments as one payload. The caller owns *ret_fd, which is read-only. -ENOSPC, -EDQUOT, -EFBIG: no
 * room; the sentence tells the size asked and the space left. */
int spill_write(const struct spill_dir *dir, const struct iovec *segments, uint32_t n, int *ret_fd,
                uint64_t *ret_size, pinfold_error *error);

/* Opens the memfd that a process of this user has at this number (proc(5), /proc/[pid]/fd), for reading. -EBADMSG: that is
 * something else, or nothing; -EPERM: it cannot be looked at, or the process is gone; or an error of this process's own.
 * Waits for nobody, and does nothing to what it is instead. */
int spill_open_held(pid_t pid, int number, int *ret_fd);

/* Proves by its seals (fcntl(2), F_GET_SEALS) that the file can be mapped, for good: it is a memfd that nobody can write to,
 * cut or extend. Waits for nobody, whatever the descriptor is of, and takes no time, whatever its size. 0: proven;
 * -EBADMSG: it is something else. */
int spill_prove_sealed(int fd);

/* Proves the same of a file on `device`, where spills must live, but for this moment only: the kernel grants a read lease
 * (F_SETLEASE) when no process has the file open for writing. A memfd counts by its seals. Waits for nobody, and takes
 * no harm from who opens the file meanwhile. -ETXTBSY: somebody can still write, or holds a lease; -EOPNOTSUPP: no proof
 * to be had here; -EPERM: this process, not the file, is why it cannot be looked at; else as spill_prove_sealed. */
int spill_prove(int fd, dev_t device);

/* Maps `size` bytes, private and writable: the reader's changes are its own and cost a copy of the page touched.
 * -EBADMSG: the file is no regular file or has another size; else as mmap(2). Unmap with munmap(2). */
int spill_map(int fd, uint64_t size, void **ret_base);

/* Whether reading from the mapping needs no more than what is there: in memory a page that was never written to is made
 * when it is read, and it is SIGBUS when there is no room. Takes time with the size: after spill_map. -EBADMSG: it has
 * such holes; or an error of this process's own. */
int spill_check_whole(int fd, uint64_t size);

/* As spill_map, for a file without a proof: reads it into private memory instead. Unmap with munmap(2). */
int spill_copy(int fd, uint64_t size, void **ret_base);

#endif
