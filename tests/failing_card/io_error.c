/* A card that does not give some of its files: whoever looks one of them up, or opens it, gets EIO. Preloaded into real
   programs; KF_IO_ERROR holds the paths, separated by colons. Renaming over such a file works: the worst a card can do. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int lost(const char *path) {
  const char *names = getenv("KF_IO_ERROR");
  size_t length = path ? strlen(path) : 0;
  while (names && *names) {
    size_t size = strcspn(names, ":");
    if (size == length && !strncmp(names, path, size)) {
      errno = EIO;
      return 1;
    }
    names += size + (names[size] == ':');
  }
  return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define LOOKING(name) \
  int name(const char *path, struct stat *found) { return lost(path) ? -1 : REAL(name)(path, found); }
#define LOOKING64(name) \
  int name(const char *path, struct stat64 *found) { return lost(path) ? -1 : REAL(name)(path, found); }
LOOKING(stat)
LOOKING(lstat)
LOOKING64(stat64)
LOOKING64(lstat64)

int fstatat(int at, const char *path, struct stat *found, int flags) {
  return lost(path) ? -1 : REAL(fstatat)(at, path, found, flags);
}
int fstatat64(int at, const char *path, struct stat64 *found, int flags) {
  return lost(path) ? -1 : REAL(fstatat64)(at, path, found, flags);
}
int statx(int at, const char *restrict path, int flags, unsigned mask, struct statx *restrict found) {
  return lost(path) ? -1 : REAL(statx)(at, path, flags, mask, found);
}
int access(const char *path, int mode) { return lost(path) ? -1 : REAL(access)(path, mode); }
int faccessat(int at, const char *path, int mode, int flags) {
  return lost(path) ? -1 : REAL(faccessat)(at, path, mode, flags);
}

static int mode_of(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; }

#define OPENING(name) \
  int name(const char *path, int flags, ...) { \
    va_list rest; \
    va_start(rest, flags); \
    int mode = mode_of(flags, rest); \
    va_end(rest); \
    return lost(path) ? -1 : REAL(name)(path, flags, mode); \
  }
#define OPENING_AT(name) \
  int name(int at, const char *path, int flags, ...) { \
    va_list rest; \
    va_start(rest, flags); \
    int mode = mode_of(flags, rest); \
    va_end(rest); \
    return lost(path) ? -1 : REAL(name)(at, path, flags, mode); \
  }
OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)

FILE *fopen(const char *path, const char *mode) { return lost(path) ? NULL : REAL(fopen)(path, mode); }
FILE *fopen64(const char *path, const char *mode) { return lost(path) ? NULL : REAL(fopen64)(path, mode); }
DIR *opendir(const char *path) { return lost(path) ? NULL : REAL(opendir)(path); }
