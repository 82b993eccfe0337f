/* What POSIX has beyond C, and 64 bits for sizes of files. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "file.h"

#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_BYTES_OF_A_READ = 1 << 30, ALIGNMENT = 64 };

static fmc_status unreadable(int error, char *message)
{
    char reason[128] = "";
    if (error == ENOENT || error == ENOTDIR || error == ELOOP) return fmc_fail(FMC_UNREADABLE, message, "no such file");
    if (error == ENXIO) return fmc_fail(FMC_UNREADABLE, message, "is not a file");
    if (strerror_r(error, reason, sizeof reason) != 0) strcpy(reason, "the system does not say why");
    return fmc_fail(FMC_UNREADABLE, message, "cannot be read: %s", reason);
}

static fmc_status no_memory(char *message)
{
    return fmc_fail(FMC_NO_MEMORY, message, "cannot be opened: no memory is left");
}

static uint8_t *allocate(size_t size)
{
    if (size > SIZE_MAX - FMC_SPARE_BYTES - ALIGNMENT) return NULL;
    uint8_t *bytes = aligned_alloc(ALIGNMENT, (size + FMC_SPARE_BYTES + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    if (bytes != NULL) memset(bytes + size, 0, FMC_SPARE_BYTES);
    return bytes;
}

/* Reads what there is: of a file that has been cut meanwhile less than was asked for. */
static fmc_status read_all(fmc_model *model, int file, size_t size, char *message)
{
    uint8_t *bytes = allocate(size);
    if (bytes == NULL) return no_memory(message);
    model->bytes = bytes;
    while (model->byte_count < size) {
        size_t wanted = size - model->byte_count;
        ssize_t count = read(file, bytes + model->byte_count,
                             wanted < MOST_BYTES_OF_A_READ ? wanted : MOST_BYTES_OF_A_READ);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return unreadable(errno, message);
        if (count == 0) break;
        model->byte_count += (size_t)count;
    }
    memset(bytes + model->byte_count, 0, FMC_SPARE_BYTES);
    return FMC_OK;
}

static fmc_status map_all(fmc_model *model, int file, size_t size, char *message)
{
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED) return unreadable(errno, message);
    model->bytes = bytes;
    model->byte_count = size;
    model->mapped = true;
    return FMC_OK;
}

static fmc_status take_opened(fmc_model *model, int file, bool map, char *message)
{
    struct stat about;
    if (fstat(file, &about) != 0) return unreadable(errno, message);
    if (!S_ISREG(about.st_mode)) return fmc_fail(FMC_UNREADABLE, message, "is not a file");
    if (about.st_size == 0) return fmc_fail(FMC_UNREADABLE, message, "cannot be read: it is empty");
    if ((uint64_t)about.st_size > SIZE_MAX) return no_memory(message);
    return (map ? map_all : read_all)(model, file, (size_t)about.st_size, message);
}

fmc_status fmc_take_file(fmc_model *model, const char *path, bool map, char *message)
{
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) return unreadable(errno, message);
    fmc_status status = take_opened(model, file, map, message);
    close(file);
    return status;
}

fmc_status fmc_take_copy(fmc_model *model, const void *bytes, size_t size, char *message)
{
    model->bytes = allocate(size);
    if (model->bytes == NULL) return no_memory(message);
    if (size > 0) memcpy(model->bytes, bytes, size);
    model->byte_count = size;
    return FMC_OK;
}

void fmc_shorten(fmc_model *model, size_t size)
{
    void *bytes = realloc(model->bytes, size + FMC_SPARE_BYTES);
    if (bytes == NULL) return;
    model->bytes = bytes;
    model->byte_count = size;
}

void fmc_drop_bytes(fmc_model *model)
{
    if (model->mapped)
        munmap(model->bytes, model->byte_count);
    else
        free(model->bytes);
    model->bytes = NULL;
    model->byte_count = 0;
    model->mapped = false;
}
