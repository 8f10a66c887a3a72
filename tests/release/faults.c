/* Makes the n-th system call on a file below a folder fail, fall short, or end the process. Loaded with LD_PRELOAD.
 *
 * faults_arm(folder, part, calls, nth, effect, from_then_on): only paths below the folder that contain the part count.
 * `calls` is a set of the bits below. A positive effect is the errno that the call returns; the others are FALLS_SHORT
 * and the three KILLED_; with CLOCK_BACK and CLOCK_AHEAD the call goes through, and the clock jumps by a day. nth = 0
 * only counts.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, TRUNCATE = 16, UNLINK = 32, MKDIR = 64, READ = 128, LOCK = 256 };
enum { FALLS_SHORT = -1, KILLED_BEFORE = -2, KILLED_HALF = -3, KILLED_AFTER = -4, CLOCK_BACK = -5, CLOCK_AHEAD = -6 };
enum { DAY = 86400 };

static char below[4096], containing[256];
static size_t length;
static int armed, sticky, effect;
static unsigned wanted;
static long nth;
static _Atomic long counted, counted_of[9]; /* those that are wanted; of each kind, all */
static _Atomic long jumped;

void faults_arm(const char *folder, const char *part, unsigned calls, long number, int what, int from_then_on) {
    strncpy(below, folder, sizeof below - 1);
    length = strlen(below);
    strncpy(containing, part, sizeof containing - 1);
    wanted = calls, nth = number, effect = what, sticky = from_then_on, counted = 0;
    for (int kind = 0; kind < 9; kind++) counted_of[kind] = 0;
    armed = 1;
}

void faults_disarm(void) { armed = 0; }

long faults_counted(void) { return counted; }

long faults_counted_of(unsigned call) { return counted_of[__builtin_ctz(call)]; }

static int named(const char *path) {
    return path != NULL && strncmp(path, below, length) == 0 && strstr(path + length, containing) != NULL;
}

static int opened(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return named(path);
}

static int placed(int folder, const char *path) {
    if (path == NULL) return 0;
    if (path[0] == '/') return named(path);
    char here[4096];
    if (folder == AT_FDCWD) return getcwd(here, sizeof here) != NULL && named(here);
    return opened(folder);
}

static int is_hit(unsigned call) {
    if (!armed) return 0;
    counted_of[__builtin_ctz(call)]++;
    if (!(wanted & call)) return 0;
    long number = ++counted;
    int hit = nth > 0 && (number == nth || (sticky && number > nth));
    if (!hit || (effect != CLOCK_BACK && effect != CLOCK_AHEAD)) return hit;
    jumped = effect == CLOCK_AHEAD ? DAY : -DAY;
    return 0;
}

static void end(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

/* The call as it is, unless it is hit; what falls short on other calls than writes and reads goes through. */
#define AS_IT_IS(call)                                   \
    do {                                                 \
        if (effect == KILLED_BEFORE || effect == KILLED_HALF) end(); \
        if (effect == KILLED_AFTER) { (void)!(call); end(); } \
        if (effect > 0) { errno = effect; return -1; }   \
    } while (0)

#define REAL(name, result, ...) \
    static result (*real)(__VA_ARGS__); \
    if (real == NULL) real = dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *bytes, size_t size) {
    REAL(write, ssize_t, int, const void *, size_t);
    if (armed && opened(file) && is_hit(WRITE)) {
        size_t half = size > 1 ? size / 2 : size;
        if (effect == FALLS_SHORT) return real(file, bytes, half);
        if (effect == KILLED_HALF) { (void)!real(file, bytes, half); end(); }
        AS_IT_IS(real(file, bytes, size));
    }
    return real(file, bytes, size);
}

#define PWRITE(name)                                                            \
    ssize_t name(int file, const void *bytes, size_t size, off_t place) {       \
        REAL(name, ssize_t, int, const void *, size_t, off_t);                  \
        if (armed && opened(file) && is_hit(WRITE)) {                           \
            size_t half = size > 1 ? size / 2 : size;                           \
            if (effect == FALLS_SHORT) return real(file, bytes, half, place);   \
            if (effect == KILLED_HALF) { (void)!real(file, bytes, half, place); end(); } \
            AS_IT_IS(real(file, bytes, size, place));                           \
        }                                                                       \
        return real(file, bytes, size, place);                                  \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev, ssize_t, int, const struct iovec *, int);
    if (armed && opened(file) && is_hit(WRITE)) {
        if (effect == FALLS_SHORT) return real(file, parts, 1);
        AS_IT_IS(real(file, parts, count));
    }
    return real(file, parts, count);
}

ssize_t read(int file, void *bytes, size_t size) {
    REAL(read, ssize_t, int, void *, size_t);
    if (armed && opened(file) && is_hit(READ)) {
        if (effect == FALLS_SHORT) return real(file, bytes, size > 1 ? size / 2 : size);
        AS_IT_IS(real(file, bytes, size));
    }
    return real(file, bytes, size);
}

#define SYNCS(name)                                  \
    int name(int file) {                             \
        REAL(name, int, int);                        \
        if (armed && opened(file) && is_hit(SYNC)) AS_IT_IS(real(file)); \
        return real(file);                           \
    }
SYNCS(fsync)
SYNCS(fdatasync)

int rename(const char *from, const char *to) {
    REAL(rename, int, const char *, const char *);
    if (armed && named(to) && is_hit(RENAME)) AS_IT_IS(real(from, to));
    return real(from, to);
}

int unlink(const char *path) {
    REAL(unlink, int, const char *);
    if (armed && named(path) && is_hit(UNLINK)) AS_IT_IS(real(path));
    return real(path);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat, int, int, const char *, int);
    if (armed && placed(folder, path) && is_hit(UNLINK)) AS_IT_IS(real(folder, path, flags));
    return real(folder, path, flags);
}

int rmdir(const char *path) {
    REAL(rmdir, int, const char *);
    if (armed && named(path) && is_hit(UNLINK)) AS_IT_IS(real(path));
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir, int, const char *, mode_t);
    if (armed && named(path) && is_hit(MKDIR)) AS_IT_IS(real(path, mode));
    return real(path, mode);
}

#define TRUNCATES(name)                              \
    int name(int file, off_t size) {                 \
        REAL(name, int, int, off_t);                 \
        if (armed && opened(file) && is_hit(TRUNCATE)) AS_IT_IS(real(file, size)); \
        return real(file, size);                     \
    }
TRUNCATES(ftruncate)
TRUNCATES(ftruncate64)

#define OPENS(name)                                  \
    int name(const char *path, int flags, ...) {     \
        REAL(name, int, const char *, int, ...);     \
        va_list rest;                                \
        va_start(rest, flags);                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                \
        if (armed && placed(AT_FDCWD, path) && is_hit(OPEN)) AS_IT_IS(real(path, flags, mode)); \
        return real(path, flags, mode);              \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                               \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name, int, int, const char *, int, ...); \
        va_list rest;                                \
        va_start(rest, flags);                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                \
        if (armed && placed(folder, path) && is_hit(OPEN)) AS_IT_IS(real(folder, path, flags, mode)); \
        return real(folder, path, flags, mode);      \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

int flock(int file, int operation) {
    REAL(flock, int, int, int);
    if (armed && opened(file) && is_hit(LOCK)) AS_IT_IS(real(file, operation));
    return real(file, operation);
}

#define CONTROLS(name)                               \
    int name(int file, int command, ...) {           \
        REAL(name, int, int, int, ...);              \
        va_list rest;                                \
        va_start(rest, command);                     \
        void *given = va_arg(rest, void *);          \
        va_end(rest);                                \
        int locks = command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK; \
        if (armed && locks && opened(file) && is_hit(LOCK)) AS_IT_IS(real(file, command, given)); \
        return real(file, command, given);           \
    }
CONTROLS(fcntl)
CONTROLS(fcntl64)

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime, int, clockid_t, struct timespec *);
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += jumped;
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    REAL(gettimeofday, int, struct timeval *, void *);
    int failed = real(now, zone);
    if (!failed) now->tv_sec += jumped;
    return failed;
}

time_t time(time_t *place) {
    REAL(time, time_t, time_t *);
    time_t now = real(NULL) + jumped;
    if (place != NULL) *place = now;
    return now;
}
