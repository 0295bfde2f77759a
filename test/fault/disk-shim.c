/*
 * A disk that fails, for one process (LD_PRELOAD). It acts on files whose path holds the text of
 * CAUSEWAY_DISK_MATCH.
 *
 * - Each successful fsync or fdatasync copies the file into the folder CAUSEWAY_DISK_SYNCED, under its base
 *   name: what a power cut would leave. A test that kills the process puts these copies in place.
 * - The first byte of the file CAUSEWAY_DISK_CONTROL says how the disk is:
 *     0 well · S fsync fails with EIO: what was written since the last one is lost with the page cache
 *     W writes fail with EIO · F writes fail with ENOSPC
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { copy_bytes = 1 << 16 };

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

static void find_real(void) {
  if (real_fdatasync != NULL) return;
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
}

/* The path behind a descriptor when it is a regular file that the shim acts on, else 0. */
static int acts_on(int fd, char *path, size_t size) {
  const char *match = getenv("CAUSEWAY_DISK_MATCH");
  char link[64];
  struct stat st;
  if (match == NULL || fd < 3) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  if (strstr(path, match) == NULL) return 0;
  return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static char mode(void) {
  const char *control = getenv("CAUSEWAY_DISK_CONTROL");
  char byte = '0';
  int fd = control == NULL ? -1 : open(control, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return byte;
  if (read(fd, &byte, 1) != 1) byte = '0';
  close(fd);
  return byte;
}

/* Whole or not at all: the process may be killed in the middle. */
static void copy_synced(const char *path) {
  const char *folder = getenv("CAUSEWAY_DISK_SYNCED");
  const char *name = strrchr(path, '/');
  char target[4096], staging[4110];
  off_t at = 0;
  ssize_t count;
  if (folder == NULL || name == NULL) return;
  snprintf(target, sizeof target, "%s%s", folder, name);
  snprintf(staging, sizeof staging, "%s.%d", target, (int)gettid());
  int out = open(staging, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (out < 0) abort();
  char *chunk = malloc(copy_bytes);
  int in = open(path, O_RDONLY | O_CLOEXEC);
  if (in < 0) abort();
  while ((count = pread(in, chunk, copy_bytes, at)) > 0) {
    if (real_pwrite(out, chunk, (size_t)count, at) != count) abort();
    at += count;
  }
  free(chunk);
  close(in);
  close(out);
  if (rename(staging, target) != 0) abort();
}

static int sync_file(int fd, int (*real)(int)) {
  char path[4096];
  if (!acts_on(fd, path, sizeof path)) return real(fd);
  if (mode() == 'S') {
    errno = EIO;
    return -1;
  }
  int result = real(fd);
  if (result == 0) copy_synced(path);
  return result;
}

/* 0 when the write may go on. */
static int refused(int fd) {
  char path[4096];
  if (!acts_on(fd, path, sizeof path)) return 0;
  switch (mode()) {
    case 'W':
      errno = EIO;
      return 1;
    case 'F':
      errno = ENOSPC;
      return 1;
    default:
      return 0;
  }
}

int fsync(int fd) {
  find_real();
  return sync_file(fd, real_fsync);
}

int fdatasync(int fd) {
  find_real();
  return sync_file(fd, real_fdatasync);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  find_real();
  return refused(fd) ? -1 : real_write(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  find_real();
  return refused(fd) ? -1 : real_pwrite(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
  find_real();
  return refused(fd) ? -1 : real_pwrite(fd, bytes, count, at);
}
