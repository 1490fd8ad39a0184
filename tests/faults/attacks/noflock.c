#include <errno.h>
#include <stdlib.h>
int flock(int fd, int op) { errno = atoi(getenv("FLOCK_ERRNO")); return -1; }
