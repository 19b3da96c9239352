/* A stand-in for /dev/dma_heap/linux,cma on kernels without DMA-BUF heaps, preloaded into the test's process only.
 *
 * Every "dma-buf" is a memfd: it can be mapped and passed on, which is all that libcamera's virtual camera and picamera2 do with
 * one. The ioctls of linux/dma-heap.h and linux/dma-buf.h that have no meaning for a memfd succeed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char HEAP[] = "/dev/dma_heap/linux,cma";

struct allocation {
	uint64_t length;
	uint32_t fd;
	uint32_t fd_flags;
	uint64_t heap_flags;
};

enum {
	DMA_HEAP_IOCTL_ALLOC = 0xc0184800u,
	DMA_BUF_IOCTL_SYNC = 0x40086200u,
	DMA_BUF_SET_NAME_A = 0x40046201u,
	DMA_BUF_SET_NAME_B = 0x40086201u,
};

static int allocate(struct allocation *wanted)
{
	int buffer = memfd_create("dma-buf", MFD_CLOEXEC);
	if (buffer < 0)
		return -1;
	if (ftruncate(buffer, (wanted->length + 4095) & ~4095ULL)) {
		close(buffer);
		return -1;
	}
	wanted->fd = buffer;
	return 0;
}

#define OPENER(name)                                                                                                                     \
	int name(const char *path, int flags, ...)                                                                                        \
	{                                                                                                                                \
		static int (*real)(const char *, int, ...);                                                                              \
		mode_t mode = 0;                                                                                                         \
		if (!real)                                                                                                               \
			real = dlsym(RTLD_NEXT, #name);                                                                                  \
		if (flags & (O_CREAT | O_TMPFILE)) {                                                                                     \
			va_list arguments;                                                                                               \
			va_start(arguments, flags);                                                                                      \
			mode = va_arg(arguments, mode_t);                                                                                \
			va_end(arguments);                                                                                               \
		}                                                                                                                        \
		return strcmp(path, HEAP) ? real(path, flags, mode) : memfd_create("dma-heap", MFD_CLOEXEC);                             \
	}
OPENER(open)
OPENER(open64)

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int, unsigned long, ...);
	va_list arguments;
	if (!real)
		real = dlsym(RTLD_NEXT, "ioctl");
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	uint32_t number = (uint32_t)request;
	if (number == DMA_HEAP_IOCTL_ALLOC)
		return allocate(argument);
	int result = real(fd, request, argument);
	int meaningless = number == DMA_BUF_IOCTL_SYNC || number == DMA_BUF_SET_NAME_A || number == DMA_BUF_SET_NAME_B;
	if (result < 0 && meaningless && (errno == ENOTTY || errno == EINVAL)) {
		errno = 0;
		return 0;
	}
	return result;
}
