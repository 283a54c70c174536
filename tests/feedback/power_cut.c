/* Writes down what a process does to the files of one folder, so that a test can say what would be
 * left of them had the power gone at any moment; and can take the disk's room away.
 *
 * Loaded with LD_PRELOAD. HEED_CUT_FOLDER: the folder; its files alone are watched. HEED_CUT_LOG:
 * where the record goes. Writes to stdout are recorded too: they are what was acknowledged, in order
 * with all the rest. While HEED_CUT_FULL names a file that exists, writes there fail: no space.
 *
 * A record is a header of four 64-bit numbers (kind, length of the path, offset, length of the
 * content), then both. A sync is recorded in the place of being done, at its beginning: what is
 * written from then on is not promised by it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPENED = 1, WROTE, CUT_TO, SYNCED, SAID };
#define MOST_FILES 1024

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static char *paths[MOST_FILES];
static int recording = -1;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static int (*real_cut)(int, off_t);

__attribute__((constructor)) static void begin(void) {
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_open = dlsym(RTLD_NEXT, "open64");
  real_close = dlsym(RTLD_NEXT, "close");
  real_cut = dlsym(RTLD_NEXT, "ftruncate64");
  const char *log = getenv("HEED_CUT_LOG");
  if (log) recording = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void all(const void *bytes, size_t count) {
  const char *at = bytes;
  while (count) {
    ssize_t done = real_write(recording, at, count);
    if (done <= 0) abort();
    at += done, count -= done;
  }
}

static void record(uint64_t kind, const char *path, uint64_t offset, const void *bytes,
                   uint64_t count) {
  uint64_t name = strlen(path), header[4] = {kind, name, offset, count};
  all(header, sizeof header), all(path, name), all(bytes, count);
}

static int watched(int file) {
  return recording >= 0 && file >= 0 && file < MOST_FILES && paths[file] != NULL;
}

static int no_room(void) {
  const char *full = getenv("HEED_CUT_FULL");
  return full && access(full, F_OK) == 0;
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = va_arg(more, int);
  va_end(more);
  const char *folder = getenv("HEED_CUT_FOLDER");
  if (!real_open) begin();
  pthread_mutex_lock(&one);
  int known = access(path, F_OK) == 0;
  int file = real_open(path, flags, mode);
  if (recording >= 0 && folder && file >= 0 && file < MOST_FILES &&
      strncmp(path, folder, strlen(folder)) == 0) {
    free(paths[file]);
    paths[file] = strdup(path);
    if (!known) record(OPENED, path, 0, "", 0);
  }
  pthread_mutex_unlock(&one);
  return file;
}
int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = va_arg(more, int);
  va_end(more);
  return open64(path, flags, mode);
}

int close(int file) {
  pthread_mutex_lock(&one);
  if (file >= 0 && file < MOST_FILES) free(paths[file]), paths[file] = NULL;
  int done = real_close(file);
  pthread_mutex_unlock(&one);
  return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t offset) {
  if (!watched(file)) return real_pwrite(file, bytes, count, offset);
  if (no_room()) return errno = ENOSPC, -1;
  pthread_mutex_lock(&one);
  ssize_t done = real_pwrite(file, bytes, count, offset);
  if (done > 0) record(WROTE, paths[file], offset, bytes, done);
  pthread_mutex_unlock(&one);
  return done;
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
  return pwrite64(file, bytes, count, offset);
}

ssize_t write(int file, const void *bytes, size_t count) {
  if (recording < 0 || (file != 1 && !watched(file))) return real_write(file, bytes, count);
  if (file != 1 && no_room()) return errno = ENOSPC, -1;
  pthread_mutex_lock(&one);
  off_t offset = file == 1 ? 0 : lseek(file, 0, SEEK_CUR);
  ssize_t done = real_write(file, bytes, count);
  if (done > 0) record(file == 1 ? SAID : WROTE, file == 1 ? "" : paths[file], offset, bytes, done);
  pthread_mutex_unlock(&one);
  return done;
}

int ftruncate64(int file, off_t length) {
  if (!watched(file)) return real_cut(file, length);
  pthread_mutex_lock(&one);
  int done = real_cut(file, length);
  if (done == 0) record(CUT_TO, paths[file], length, "", 0);
  pthread_mutex_unlock(&one);
  return done;
}
int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

static int sync_file(int file, int (*real)(int)) {
  if (!watched(file)) return real(file);
  pthread_mutex_lock(&one);
  record(SYNCED, paths[file], 0, "", 0);
  pthread_mutex_unlock(&one);
  return 0;
}
int fsync(int file) { return sync_file(file, dlsym(RTLD_NEXT, "fsync")); }
int fdatasync(int file) { return sync_file(file, dlsym(RTLD_NEXT, "fdatasync")); }
