/* dir.c - the inbox's directory: the way there, and temporary names */
#include "dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "simlane/crypto.h"

#define LIVE_TRIES 16

/* ---- the way there ---- */

static int sync_dir(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = fsync(fd);
	int saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

/* Makes one directory, with our mode whatever the umask, and its name durable. */
static int make_step(int parent, const char *name)
{
	if (mkdirat(parent, name, DIR_MODE) != 0)
		return errno == EEXIST ? 0 : -1;
	return fchmodat(parent, name, DIR_MODE, 0) == 0 ? sync_dir(parent) : -1;
}

/* From one directory into the next, which is made when it is missing. Closes
 * parent. */
static int enter(int parent, const char *name)
{
	int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	int fd = openat(parent, name, flags);
	if (fd < 0 && errno == ENOENT && make_step(parent, name) == 0)
		fd = openat(parent, name, flags);
	int saved = errno;
	close(parent);
	errno = saved;
	return fd;
}

static int open_path(const char *path)
{
	char name[256];
	int fd = open(path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && *path) {
		size_t len = strcspn(path, "/");
		if (len >= sizeof(name)) {
			close(fd);
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, path, len);
		name[len] = '\0';
		path += len + strspn(path + len, "/");
		if (len)
			fd = enter(fd, name);
	}
	if (fd < 0)
		return -1;
	int dir_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int saved = errno;
	close(fd);
	errno = saved;
	return dir_fd;
}

/* ---- locks' files, and our own life's ---- */

int dir_open_lock(const struct inbox_dir *d, const char *name, struct fault *fault)
{
	struct stat st;
	int fd = d->sys->openat(d->sys, d->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, FILE_MODE);
	if (fd < 0)
		return fault_set(fault, "DREAM_INBOX_DIR: %s: %s", name, strerrordesc_np(errno));
	if (d->sys->fstat(d->sys, fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink <= 1) {
		if ((st.st_mode & 07777) == FILE_MODE || d->sys->fchmod(d->sys, fd, FILE_MODE) == 0)
			return fd;
		fault_set(fault, "DREAM_INBOX_DIR: %s: %s", name, strerrordesc_np(errno));
	} else {
		fault_set(fault, "DREAM_INBOX_DIR: %s is not a regular file of one name", name);
	}
	d->sys->close(d->sys, fd);
	return -1;
}

/* Says to everybody that we live. */
static int take_id(struct inbox_dir *d, struct fault *fault)
{
	for (int i = 0; i < LIVE_TRIES; i++) {
		crypto_random(&d->id, sizeof(d->id));
		d->id &= DIR_OFFSET_MASK;
		if (d->sys->lock(d->sys, d->live_fd, true, (off_t)d->id, 1) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			break;
	}
	return fault_set(fault, "DREAM_INBOX_DIR: .lock.live cannot be locked: %s", strerrordesc_np(errno));
}

/* ---- what a crash left ---- */

/* Ours by its form: .tmp.<16 hex>.<hex>. */
static bool temp_parse(const char *name, uint64_t *id)
{
	static const char hex[] = "0123456789abcdef";

	if (strncmp(name, ".tmp.", 5) != 0 || strspn(name + 5, hex) != 16 || name[21] != '.')
		return false;
	size_t rest = strspn(name + 22, hex);
	if (rest == 0 || name[22 + rest] != '\0')
		return false;
	*id = 0;
	for (const char *p = name + 5; *p != '.'; p++)
		*id = *id << 4 | (uint64_t)(strchr(hex, *p) - hex);
	return *id <= DIR_OFFSET_MASK;
}

/* Who gets the maker's byte knows that the maker is dead, and keeps it while
 * the file goes. */
static void purge_one(struct inbox_dir *d, const char *name, uint64_t id)
{
	if (id == d->id || d->sys->lock(d->sys, d->live_fd, true, (off_t)id, 1) != 0)
		return;
	d->sys->unlink(d->sys, d->fd, name);
	d->sys->lock(d->sys, d->live_fd, false, (off_t)id, 1);
}

static int purge(struct inbox_dir *d)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t id;

	if (!dir) {
		int saved = errno;
		if (fd >= 0)
			close(fd);
		errno = saved;
		return -1;
	}
	while (errno = 0, (entry = readdir(dir)) != NULL)
		if (temp_parse(entry->d_name, &id))
			purge_one(d, entry->d_name, id);
	int saved = errno;
	closedir(dir);
	errno = saved;
	return saved ? -1 : 0;
}

/* ---- open and close ---- */

int dir_open(struct inbox_dir *d, const char *path, const struct inbox_sys *sys, struct fault *fault)
{
	memset(d, 0, sizeof(*d));
	d->sys = sys;
	d->live_fd = -1;
	d->fd = open_path(path);
	if (d->fd < 0)
		return fault_set(fault, "DREAM_INBOX_DIR: %s: %s", path, strerrordesc_np(errno));
	d->live_fd = dir_open_lock(d, ".lock.live", fault);
	if (d->live_fd < 0 || take_id(d, fault) != 0)
		goto failed;
	if (purge(d) != 0) {
		fault_set(fault, "DREAM_INBOX_DIR: %s: %s", path, strerrordesc_np(errno));
		goto failed;
	}
	return 0;
failed:
	dir_close(d);
	return -1;
}

static void close_fd(struct inbox_dir *d, int *fd)
{
	if (*fd >= 0)
		d->sys->close(d->sys, *fd);
	*fd = -1;
}

void dir_close(struct inbox_dir *d)
{
	close_fd(d, &d->live_fd);
	close_fd(d, &d->fd);
}

void dir_temp_name(struct inbox_dir *d, char out[DIR_TEMP_SIZE])
{
	snprintf(out, DIR_TEMP_SIZE, ".tmp.%016" PRIx64 ".%llx", d->id, atomic_fetch_add(&d->next_temp, 1));
}
