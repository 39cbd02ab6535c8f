/* A disk that can fail, for a child process: preload this library with LD_PRELOAD (glibc, 64 bits).
 *
 * It watches the files below ACTIONS_DISK_DIR (an absolute path without links). With ACTIONS_DISK_LOG
 * it appends each change of them to that log, in the order in which the changes took effect: one
 * mutex in the process and one file lock between processes cover the call and its record. Files whose
 * names end in "-shm" are not recorded: SQLite rebuilds them.
 *
 * The program talks to it by trying to open a file in ACTIONS_DISK_DIR, which needs no other
 * interface in any language. `.mark:TEXT` fails with ENOENT and does one of:
 *
 *     .mark:TEXT                            records TEXT, for the order of answers and changes
 *     .mark:!fault CLASS NTH TIMES ERRNO    from the NTH call of a class on, fails TIMES calls (-1: all);
 *                                           errno 0 cuts a write short instead
 *     .mark:!die-at-sync NTH                the process ends before the NTH sync from now
 *     .mark:!calm                           no more faults; the counts start anew
 *
 * `.ask:calls CLASS` and `.ask:hits` fail with errno 1000 + the number asked for.
 *
 * Records: a line, and after that of a write its bytes.
 *
 *     O HANDLE CREATED TRUNCATED PATH    W HANDLE OFFSET LENGTH    T HANDLE SIZE    S HANDLE SUCCEEDED
 *     D SUCCEEDED PATH (directory synced)    U PATH    R FROM<TAB>TO    L FROM<TAB>TO    M TEXT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define MOST_FDS 65536

enum class { OPEN, OPEN_WRITE, READ, WRITE, SYNC, TRUNCATE, UNLINK, RENAME, SHM, SPACE, CLASSES };
static const char *const class_names[CLASSES] = {
    "open", "open_write", "read", "write", "sync", "truncate", "unlink", "rename", "shm", "space"};

enum kind { UNWATCHED, REGULAR, SHARED_MEMORY, DIRECTORY };
struct watched {
    enum kind kind;
    unsigned long handle;
    char *path;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct watched fds[MOST_FDS];
static unsigned long handles;
static char dir[PATH_BYTES];
static size_t dir_length;
static int log_fd = -1;

static long calls[CLASSES];
static long hits;
static int fault_class = -1, fault_errno;
static long fault_nth, fault_times, die_at_sync;

__attribute__((constructor)) static void begin(void) {
    const char *below = getenv("ACTIONS_DISK_DIR");
    const char *log = getenv("ACTIONS_DISK_LOG");
    if (!below || strlen(below) >= sizeof dir) return;
    strcpy(dir, below);
    dir_length = strlen(dir);
    if (log) log_fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The whole path; whether it is the directory or below it. */
static int is_watched(int at, const char *path, char *whole) {
    if (!dir_length || !path) return 0;
    if (path[0] == '/') {
        if (strlen(path) >= PATH_BYTES) return 0;
        strcpy(whole, path);
    } else {
        char link[64];
        if (at == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        long length = syscall(SYS_readlinkat, AT_FDCWD, link, whole, PATH_BYTES - 1);
        if (length < 0 || length + 1 + strlen(path) >= PATH_BYTES) return 0;
        whole[length] = '/';
        strcpy(whole + length + 1, path);
    }
    /* Paths of directories may end with a slash. */
    for (size_t end = strlen(whole); end > dir_length && whole[end - 1] == '/'; end--) whole[end - 1] = 0;
    return !strncmp(whole, dir, dir_length) && (whole[dir_length] == '/' || !whole[dir_length]);
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), ending = strlen(end);
    return length >= ending && !strcmp(text + length - ending, end);
}

static void lock(void) {
    pthread_mutex_lock(&mutex);
    if (log_fd >= 0) syscall(SYS_flock, log_fd, LOCK_EX);
}

static void unlock(void) {
    int error = errno;
    if (log_fd >= 0) syscall(SYS_flock, log_fd, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = error;
}

static void record_bytes(const char *line, size_t length, const struct iovec *bytes, int count) {
    if (log_fd < 0) return;
    int error = errno;
    struct iovec parts[65] = {{(void *)line, length}};
    if (count > 64) abort();
    for (int i = 0; i < count; i++) parts[i + 1] = bytes[i];
    size_t whole = length;
    for (int i = 0; i < count; i++) whole += bytes[i].iov_len;
    /* A recording with a hole proves nothing. */
    if (syscall(SYS_writev, log_fd, parts, count + 1) != (long)whole) abort();
    errno = error;
}

__attribute__((format(printf, 1, 2))) static void record(const char *format, ...) {
    char line[2 * PATH_BYTES + 128];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    record_bytes(line, (size_t)length, NULL, 0);
}

static int name_of_class(const char *name) {
    for (int class = 0; class < CLASSES; class++)
        if (!strcmp(name, class_names[class])) return class;
    abort();
}

/* Counts a call of a class; whether it is to fail, and then with errno set. */
static int fails(enum class class) {
    calls[class]++;
    if ((int)class != fault_class || fault_times == 0 || calls[class] < fault_nth) return 0;
    if (fault_times > 0) fault_times--;
    hits++;
    errno = fault_errno;
    return 1;
}

static int told(const char *text) {
    char name[32];
    if (!strcmp(text, "!calm")) {
        memset(calls, 0, sizeof calls);
        fault_class = -1;
        hits = die_at_sync = 0;
    } else if (!strncmp(text, "!fault ", 7)) {
        memset(calls, 0, sizeof calls);
        hits = 0;
        if (sscanf(text + 7, "%31s %ld %ld %d", name, &fault_nth, &fault_times, &fault_errno) != 4) abort();
        fault_class = name_of_class(name);
    } else if (!strncmp(text, "!die-at-sync ", 13)) {
        die_at_sync = calls[SYNC] + atol(text + 13);
    } else {
        record("M %s\n", text);
    }
    return ENOENT;
}

static int asked(const char *text) {
    if (!strcmp(text, "hits")) return 1000 + (int)hits;
    if (!strncmp(text, "calls ", 6)) return 1000 + (int)calls[name_of_class(text + 6)];
    abort();
}

static void forget(int fd) {
    if (fd < 0 || fd >= MOST_FDS) return;
    free(fds[fd].path);
    memset(&fds[fd], 0, sizeof fds[fd]);
}

static struct watched *watched(int fd) {
    return fd >= 0 && fd < MOST_FDS && fds[fd].kind != UNWATCHED ? &fds[fd] : NULL;
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
    char whole[PATH_BYTES];
    if (!is_watched(at, path, whole)) {
        int fd = syscall(SYS_openat, at, path, flags, mode);
        /* Its number may be one that was closed without our knowing. */
        if (dir_length && fd >= 0) {
            pthread_mutex_lock(&mutex);
            forget(fd);
            pthread_mutex_unlock(&mutex);
        }
        return fd;
    }
    const char *name = whole[dir_length] ? whole + dir_length + 1 : "";
    lock();
    if (!strncmp(name, ".mark:", 6) || !strncmp(name, ".ask:", 5)) {
        int answer = name[1] == 'm' ? told(name + 6) : asked(name + 5);
        unlock();
        errno = answer;
        return -1;
    }
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    int is_shm = ends_with(whole, "-shm");
    struct stat status;
    int there = !syscall(SYS_newfstatat, AT_FDCWD, whole, &status, 0);
    int fd = -1;
    if (fails(OPEN) || (writes && fails(OPEN_WRITE)) || (is_shm && fails(SHM)) ||
        (!there && (flags & O_CREAT) && fails(SPACE))) {
        unlock();
        return -1;
    }
    fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fd < MOST_FDS) {
        forget(fd);
        if (syscall(SYS_fstat, fd, &status)) abort();
        fds[fd].kind = S_ISDIR(status.st_mode) ? DIRECTORY : is_shm ? SHARED_MEMORY : REGULAR;
        fds[fd].handle = ((unsigned long)getpid() << 32) + ++handles;
        fds[fd].path = strdup(whole);
        if (fds[fd].kind == REGULAR)
            record("O %lx %d %d %s\n", fds[fd].handle, !there, writes && (flags & O_TRUNC) != 0, whole);
    }
    unlock();
    return fd;
}

#define MODE(flags, mode)                          \
    mode_t mode = 0;                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {         \
        va_list arguments;                         \
        va_start(arguments, flags);                \
        mode = (mode_t)va_arg(arguments, unsigned); \
        va_end(arguments);                         \
    }

int open(const char *path, int flags, ...) { MODE(flags, mode) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return open_at(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, mode) return open_at(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, mode) return open_at(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    if (!dir_length) return syscall(SYS_close, fd);
    pthread_mutex_lock(&mutex);
    forget(fd);
    pthread_mutex_unlock(&mutex);
    return syscall(SYS_close, fd);
}

static ssize_t read_in(int fd, const struct iovec *parts, int count, off_t offset, int has_offset) {
    if (watched(fd)) {
        lock();
        int failed = watched(fd) && watched(fd)->kind == REGULAR && fails(READ);
        unlock();
        if (failed) return -1;
    }
    return has_offset ? syscall(SYS_preadv, fd, parts, count, offset, 0L) : syscall(SYS_readv, fd, parts, count);
}

ssize_t read(int fd, void *to, size_t length) {
    struct iovec part = {to, length};
    return read_in(fd, &part, 1, 0, 0);
}
ssize_t pread(int fd, void *to, size_t length, off_t offset) {
    struct iovec part = {to, length};
    return read_in(fd, &part, 1, offset, 1);
}
ssize_t pread64(int fd, void *to, size_t length, off_t offset) { return pread(fd, to, length, offset); }

static ssize_t write_out(int fd, const struct iovec *parts, int count, off_t offset, int has_offset) {
    struct watched *file = watched(fd);
    if (!file || file->kind == DIRECTORY)
        return has_offset ? syscall(SYS_pwritev, fd, parts, count, offset, 0L) : syscall(SYS_writev, fd, parts, count);
    lock();
    struct iovec half = parts[0];
    size_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    off_t at = has_offset ? offset : syscall(SYS_lseek, fd, 0, SEEK_CUR);
    struct stat status;
    if (syscall(SYS_fstat, fd, &status)) abort();
    if (fails(file->kind == REGULAR ? WRITE : SHM)) {
        if (errno || half.iov_len < 2) {
            unlock();
            return -1;
        }
        half.iov_len /= 2;
        parts = &half;
        count = 1;
    } else if (at + (off_t)length > status.st_size && fails(SPACE)) {
        unlock();
        return -1;
    }
    ssize_t written =
        has_offset ? syscall(SYS_pwritev, fd, parts, count, offset, 0L) : syscall(SYS_writev, fd, parts, count);
    if (written > 0 && file->kind == REGULAR) {
        /* Also right for a file that is appended to. */
        if (!has_offset) at = syscall(SYS_lseek, fd, 0, SEEK_CUR) - written;
        char line[128];
        int bytes = snprintf(line, sizeof line, "W %lx %ld %ld\n", file->handle, (long)at, (long)written);
        struct iovec kept[64];
        int used = 0;
        size_t left = (size_t)written;
        for (int i = 0; i < count && left; i++) {
            if (i == 64) abort();
            kept[used] = parts[i];
            if (kept[used].iov_len > left) kept[used].iov_len = left;
            left -= kept[used++].iov_len;
        }
        record_bytes(line, (size_t)bytes, kept, used);
    }
    unlock();
    return written;
}

ssize_t write(int fd, const void *from, size_t length) {
    struct iovec part = {(void *)from, length};
    return write_out(fd, &part, 1, 0, 0);
}
ssize_t pwrite(int fd, const void *from, size_t length, off_t offset) {
    struct iovec part = {(void *)from, length};
    return write_out(fd, &part, 1, offset, 1);
}
ssize_t pwrite64(int fd, const void *from, size_t length, off_t offset) { return pwrite(fd, from, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_out(fd, parts, count, 0, 0); }

int ftruncate(int fd, off_t size) {
    struct watched *file = watched(fd);
    if (!file || file->kind == DIRECTORY) return syscall(SYS_ftruncate, fd, size);
    lock();
    int done = -1;
    if (!fails(file->kind == REGULAR ? TRUNCATE : SHM)) {
        done = syscall(SYS_ftruncate, fd, size);
        if (!done && file->kind == REGULAR) record("T %lx %ld\n", file->handle, (long)size);
    }
    unlock();
    return done;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

/* 0, or an error number: what posix_fallocate returns. Only growing a file changes what it holds. */
static int allocate(int fd, off_t offset, off_t length) {
    struct watched *file = watched(fd);
    struct stat status;
    if (!file) return syscall(SYS_fallocate, fd, 0, offset, length) ? errno : 0;
    lock();
    int error = fails(file->kind == REGULAR ? WRITE : SHM) || fails(SPACE) ? errno : 0;
    if (!error && syscall(SYS_fallocate, fd, 0, offset, length)) error = errno;
    if (!error && file->kind == REGULAR && !syscall(SYS_fstat, fd, &status))
        record("T %lx %ld\n", file->handle, (long)status.st_size);
    unlock();
    return error;
}
int posix_fallocate(int fd, off_t offset, off_t length) { return allocate(fd, offset, length); }
int posix_fallocate64(int fd, off_t offset, off_t length) { return allocate(fd, offset, length); }
int fallocate(int fd, int mode, off_t offset, off_t length) {
    /* Punching holes is not recorded, so it is not offered either. */
    int error = mode && watched(fd) ? EOPNOTSUPP : 0;
    if (!error && mode) return syscall(SYS_fallocate, fd, mode, offset, length);
    if (!error) error = allocate(fd, offset, length);
    errno = error;
    return error ? -1 : 0;
}
int fallocate64(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }

/* The real disk is left alone: only the record of a sync counts, and tests are quicker. */
static int sync_file(int fd, long call) {
    if (!watched(fd)) return syscall(call, fd);
    lock();
    struct watched *file = watched(fd);
    int failed = 0;
    if (file && file->kind != SHARED_MEMORY) {
        if (die_at_sync && calls[SYNC] + 1 >= die_at_sync) syscall(SYS_exit_group, 86);
        failed = fails(SYNC);
        if (file->kind == DIRECTORY) record("D %d %s\n", !failed, file->path);
        else record("S %lx %d\n", file->handle, !failed);
    }
    unlock();
    return failed ? -1 : 0;
}
int fsync(int fd) { return sync_file(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

static int unlink_at(int at, const char *path, int flags) {
    char whole[PATH_BYTES];
    if ((flags & AT_REMOVEDIR) || !is_watched(at, path, whole)) return syscall(SYS_unlinkat, at, path, flags);
    lock();
    int done = -1;
    if (!fails(UNLINK)) {
        done = syscall(SYS_unlinkat, at, path, flags);
        if (!done && !ends_with(whole, "-shm")) record("U %s\n", whole);
    }
    unlock();
    return done;
}
int unlink(const char *path) { return unlink_at(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return unlink_at(at, path, flags); }

static int move_or_link(char what, int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char old[PATH_BYTES], new[PATH_BYTES];
    long call = what == 'R' ? SYS_renameat2 : SYS_linkat;
    int old_watched = is_watched(from_at, from, old), new_watched = is_watched(to_at, to, new);
    if (!old_watched || !new_watched) {
        /* A file that comes in or goes out is no part of a recording. */
        if (log_fd >= 0 && old_watched != new_watched) abort();
        return syscall(call, from_at, from, to_at, to, flags);
    }
    lock();
    int done = -1;
    if (!fails(RENAME)) {
        done = syscall(call, from_at, from, to_at, to, flags);
        if (!done) record("%c %s\t%s\n", what, old, new);
    }
    unlock();
    return done;
}
int rename(const char *from, const char *to) { return move_or_link('R', AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return move_or_link('R', a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned f) { return move_or_link('R', a, from, b, to, f); }
int link(const char *from, const char *to) { return move_or_link('L', AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char *from, int b, const char *to, int f) { return move_or_link('L', a, from, b, to, (unsigned)f); }

static void *map(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    if (fd >= 0 && watched(fd)) {
        lock();
        struct watched *file = watched(fd);
        int failed = file && file->kind == SHARED_MEMORY && fails(SHM);
        /* What is written through a mapping cannot be recorded. */
        int unseen = file && file->kind == REGULAR && (flags & MAP_SHARED) && (protection & PROT_WRITE);
        if (unseen && log_fd >= 0) abort();
        unlock();
        if (failed) return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return map(at, length, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return map(at, length, protection, flags, fd, offset);
}
