/* SPDX-License-Identifier: Apache-2.0 */
/* spill.h - a spill: the unnamed file that carries a payload too big for a frame.
 *
 * The writer opens it without a name (open(2), O_TMPFILE) and writes it with write(2), so that a full disk is
 * ENOSPC and not SIGBUS. It reopens the file read-only and closes the first descriptor: only the read-only one
 * travels. The reader proves that no writer is left, then maps the file privately.
 *
 * This proof holds for the moment: a process of the same user that still has the descriptor can reopen the file
 * for writing. A boxed worker therefore writes its spills to sealed memfds (memfd_create(2)), which nobody can
 * change or truncate, and the pool accepts nothing else from it. Such a spill does not travel: its worker holds
 * it and names its number, for the pool to open.
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
    SPILL_UNLINKED, /* created by name and unlinked: the file system has no O_TMPFILE */
    SPILL_MEMFD     /* memory, sealed after the write: in a box, or if the directory takes no file at all */
};

struct spill_dir {
    int fd; /* O_PATH; owned; -1: not needed, spills are memfds */
    enum spill_kind kind;
    bool in_memory; /* tmpfs, or memfd: a spill costs memory, not disk */
    dev_t device;   /* of its files */
};

/* Open the directory and find which kind of spill it supports. -ENOENT, -ENOTDIR, -EACCES, -EROFS: not usable. */
int spill_dir_open(const char *path, struct spill_dir *ret_dir, pinfold_error *error);
void spill_dir_close(struct spill_dir *dir);

/* Return a spill_dir without a directory: spills are sealed memfds. */
struct spill_dir spill_dir_in_memory(void);

/* Return whether the directory was removed, for example by a cleaner of /tmp, to which it always looks empty.
 * No file can then be made there. */
bool spill_dir_is_gone(const struct spill_dir *dir);

/* Make the directory again under the same descriptor number, for concurrent users. Errors as for
 * spill_dir_open. */
int spill_dir_restore(struct spill_dir *dir, const char *path);

/* "O_TMPFILE", "unlinked", "memfd". */
const char *spill_kind_name(enum spill_kind kind);

/* Write the segments as one payload. The caller owns *ret_fd, which is read-only. -ENOSPC, -EDQUOT, -EFBIG: no
 * room; *error says the size asked for and the space left. */
int spill_write(const struct spill_dir *dir, const struct iovec *segments, uint32_t n, int *ret_fd,
                uint64_t *ret_size, pinfold_error *error);

/* Open for reading the memfd that a process of this user has at this number (proc(5), /proc/[pid]/fd).
 * -EBADMSG: nothing is there, or something else; -EPERM: it may not be examined, or the process is gone; or an
 * error of this process. Never blocks, and does not touch a file that is something else. */
int spill_open_held(pid_t pid, int number, int *ret_fd);

/* Prove by the seals (fcntl(2), F_GET_SEALS) that the file can be mapped for good: it is a memfd that nobody
 * can write, shrink or grow. Never blocks, whatever the descriptor refers to; takes constant time. 0: proven;
 * -EBADMSG: it is something else. */
int spill_prove_sealed(int fd);

/* Prove the same, only for this moment, of a file on `device`, where spills must live. The kernel grants a read
 * lease (F_SETLEASE) if no process has the file open for writing. A memfd is judged by its seals. Never blocks,
 * and is safe against concurrent opens. -ETXTBSY: another process can still write, or holds a lease;
 * -EOPNOTSUPP: no proof is possible here; -EPERM: this process, not the file, is the reason; otherwise as
 * spill_prove_sealed. */
int spill_prove(int fd, dev_t device);

/* Map `size` bytes, private and writable: changes stay the reader's own and cost a copy of each touched page.
 * -EBADMSG: not a regular file, or another size; otherwise as mmap(2). Unmap with munmap(2). */
int spill_map(int fd, uint64_t size, void **ret_base);

/* Check that reading from the mapping needs no new pages. In memory, a page that was never written is allocated
 * when it is read, with SIGBUS if there is no room. Takes time with the size; call after spill_map. -EBADMSG:
 * the file has such holes; or an error of this process. */
int spill_check_whole(int fd, uint64_t size);

/* As spill_map, for a file without a proof: read it into private memory instead. Unmap with munmap(2). */
int spill_copy(int fd, uint64_t size, void **ret_base);

#endif
