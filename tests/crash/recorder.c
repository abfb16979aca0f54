/* Preloaded into a process: sees every change it makes to the files below one folder.

   Each change is counted. At the n-th the process can be killed (before it, or in the middle of a write), or
   told that the disk is full or broken; and all of them can be written to a trace, from which
   tests/crash/disk.py works out what a power cut would have left. SQLite's "-shm" file is not counted: it is
   memory that processes share, and SQLite makes it again after a crash. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 4096
#define NEXT(name) ((__typeof__(&name))next(#name))

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char folder[4096];
static unsigned char watched[MAX_FD];
static FILE *trace;
static long counted, kill_at, torn, fail_from, fail_count, fail_errno;
static char fail_kinds[32];

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

/* What the tests call ------------------------------------------------------------------------------- */

void crash_begin(const char *root, const char *trace_path, long kill_before, long tear) {
    pthread_mutex_lock(&lock);
    snprintf(folder, sizeof folder, "%s", root);
    memset(watched, 0, sizeof watched);
    counted = 0;
    fail_count = 0;
    kill_at = kill_before;
    torn = tear;
    trace = *trace_path ? fopen(trace_path, "wb") : NULL;
    pthread_mutex_unlock(&lock);
}

/* From the n-th operation of these kinds on, so many of them fail. */
void crash_fail(const char *kinds, long from, long count, long error) {
    pthread_mutex_lock(&lock);
    snprintf(fail_kinds, sizeof fail_kinds, "%s", kinds);
    fail_from = from;
    fail_count = count;
    fail_errno = error;
    pthread_mutex_unlock(&lock);
}

void crash_end(void) {
    pthread_mutex_lock(&lock);
    folder[0] = 0;
    if (trace) fclose(trace);
    trace = NULL;
    pthread_mutex_unlock(&lock);
}

/* Which operations are being watched ------------------------------------------------------------------ */

static int absolute(int dir, const char *path, char *out, size_t size) {
    char base[3000];
    if (path[0] == '/') return snprintf(out, size, "%s", path) < (int)size;
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
    }
    return snprintf(out, size, "%s/%s", base, path) < (int)size;
}

static int inside(const char *path) {
    size_t length = strlen(folder), all = strlen(path);
    if (!length || strncmp(path, folder, length) || (path[length] && path[length] != '/')) return 0;
    return all < 4 || strcmp(path + all - 4, "-shm");
}

static int known(int fd) { return fd >= 0 && fd < MAX_FD && watched[fd] && folder[0]; }

/* 1 if the operation must fail; kills the process if its time has come. */
static int refuse(char kind) {
    if (fail_count > 0 && strchr(fail_kinds, kind) && --fail_from <= 0) {
        fail_count--;
        errno = (int)fail_errno;
        return 1;
    }
    return 0;
}

static int dies_here(void) { return ++counted == kill_at; }

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void note(char kind, int fd, int64_t number, const char *path, const void *data, size_t size) {
    if (!trace) return;
    uint32_t lengths[2] = {(uint32_t)strlen(path), (uint32_t)size};
    int32_t fd32 = fd;
    fwrite(&kind, 1, 1, trace);
    fwrite(&fd32, 4, 1, trace);
    fwrite(&number, 8, 1, trace);
    fwrite(lengths, 4, 2, trace);
    fwrite(path, 1, lengths[0], trace);
    fwrite(data, 1, size, trace);
}

/* A remark of the program, in its place among the operations. */
void crash_note(const char *text) {
    pthread_mutex_lock(&lock);
    note('N', -1, 0, "", text, strlen(text));
    pthread_mutex_unlock(&lock);
}

/* Files ------------------------------------------------------------------------------------------------ */

static int opened(int dir, const char *path, int flags, mode_t mode) {
    char full[4096];
    int (*real)(int, const char *, int, ...) = next("openat64");
    if (!folder[0] || !absolute(dir, path, full, sizeof full) || !inside(full)) return real(dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat info;
    int changes = ((flags & O_CREAT) && stat(full, &info)) || (flags & O_TRUNC), fd = -1;
    if (!(changes && refuse('O'))) {
        if (changes && dies_here()) die();
        fd = real(dir, path, flags, mode);
        if (fd >= 0 && fd < MAX_FD) {
            watched[fd] = 1;
            note('O', fd, flags, full, "", 0);
        }
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name, head, dir)                                         \
    int name head {                                                   \
        mode_t mode = 0;                                              \
        if (flags & (O_CREAT | O_TMPFILE)) {                          \
            va_list rest;                                             \
            va_start(rest, flags);                                    \
            mode = va_arg(rest, mode_t);                              \
            va_end(rest);                                             \
        }                                                             \
        return opened(dir, path, flags, mode);                        \
    }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int at, const char *path, int flags, ...), at)
OPEN(openat64, (int at, const char *path, int flags, ...), at)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (known(fd)) {
        note('C', fd, 0, "", "", 0);
        watched[fd] = 0;
    }
    int result = NEXT(close)(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static ssize_t written(int fd, const void *data, size_t size, off_t offset, int moves) {
    ssize_t (*at)(int, const void *, size_t, off_t) = next("pwrite64");
    ssize_t (*on)(int, const void *, size_t) = next("write");
    ssize_t result = -1;
    pthread_mutex_lock(&lock);
    if (!refuse('W')) {
        if (dies_here()) {
            if (torn) (void)!at(fd, data, size / 2, offset);
            die();
        }
        result = moves ? on(fd, data, size) : at(fd, data, size, offset);
        if (result > 0) note('W', fd, offset, "", data, (size_t)result);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t write(int fd, const void *data, size_t size) {
    if (!known(fd)) return NEXT(write)(fd, data, size);
    return written(fd, data, size, lseek(fd, 0, SEEK_CUR), 1);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    if (!known(fd)) return NEXT(pwrite64)(fd, data, size, offset);
    return written(fd, data, size, offset, 0);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!known(fd)) return NEXT(writev)(fd, parts, count);
    return count ? write(fd, parts[0].iov_base, parts[0].iov_len) : 0; /* a short write, which is allowed */
}

ssize_t read(int fd, void *data, size_t size) {
    if (known(fd) && refuse('r')) return -1;
    return NEXT(read)(fd, data, size);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset) {
    if (known(fd) && refuse('r')) return -1;
    return NEXT(pread64)(fd, data, size, offset);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) { return pread64(fd, data, size, offset); }

/* An operation that changes something: refused, deadly, or done and noted. */
#define CHANGE(kind, watching, fd, number, path, data, size, call)    \
    if (!(watching)) return call;                                     \
    pthread_mutex_lock(&lock);                                        \
    int result = -1;                                                  \
    if (!refuse(kind)) {                                              \
        if (dies_here()) die();                                       \
        result = call;                                                \
        if (!result) note(kind, fd, number, path, data, size);        \
    }                                                                 \
    pthread_mutex_unlock(&lock);                                      \
    return result;

int ftruncate64(int fd, off64_t length) { CHANGE('T', known(fd), fd, length, "", "", 0, NEXT(ftruncate64)(fd, length)) }
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
int fsync(int fd) { CHANGE('S', known(fd), fd, 0, "", "", 0, NEXT(fsync)(fd)) }
int fdatasync(int fd) { CHANGE('S', known(fd), fd, 0, "", "", 0, NEXT(fdatasync)(fd)) }

/* Entries of folders ------------------------------------------------------------------------------------- */

#define FULL(dir, path) char full[4096]; int ours = folder[0] && absolute(dir, path, full, sizeof full) && inside(full)

int unlink(const char *path) { FULL(AT_FDCWD, path); CHANGE('U', ours, -1, 0, full, "", 0, NEXT(unlink)(path)) }
int unlinkat(int dir, const char *path, int flags) {
    FULL(dir, path);
    CHANGE('U', ours, -1, 0, full, "", 0, NEXT(unlinkat)(dir, path, flags))
}
int rmdir(const char *path) { FULL(AT_FDCWD, path); CHANGE('U', ours, -1, 0, full, "", 0, NEXT(rmdir)(path)) }
int mkdir(const char *path, mode_t mode) { FULL(AT_FDCWD, path); CHANGE('M', ours, -1, 0, full, "", 0, NEXT(mkdir)(path, mode)) }
int mkdirat(int dir, const char *path, mode_t mode) {
    FULL(dir, path);
    CHANGE('M', ours, -1, 0, full, "", 0, NEXT(mkdirat)(dir, path, mode))
}

static int renamed(int from_dir, const char *from, int to_dir, const char *to) {
    char target[4096];
    FULL(from_dir, from);
    ours = ours && absolute(to_dir, to, target, sizeof target);
    CHANGE('R', ours, -1, 0, full, target, strlen(target), NEXT(renameat)(from_dir, from, to_dir, to))
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renamed(from_dir, from, to_dir, to); }

static int linked(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char source[4096];
    FULL(to_dir, to);
    ours = ours && absolute(from_dir, from, source, sizeof source);
    CHANGE('L', ours, -1, 0, source, full, strlen(full), NEXT(linkat)(from_dir, from, to_dir, to, flags))
}
int link(const char *from, const char *to) { return linked(AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) { return linked(from_dir, from, to_dir, to, flags); }
