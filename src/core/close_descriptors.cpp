#include "core/close_descriptors.h"

#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 // on every architecture
#endif

namespace rtd {

namespace {

// As the kernel writes it; the C library's readdir() allocates.
struct Entry {
    uint64_t inode;
    int64_t offset;
    unsigned short bytes;
    unsigned char type;
    char name[1];
};
constexpr size_t kNameOffset = offsetof(Entry, name);

// -1 for "." and "..".
int number_of(const char *name) {
    int number = 0;
    for (; *name != '\0'; name++) {
        if (*name < '0' || *name > '9' || number > INT_MAX / 10 - 1)
            return -1;
        number = number * 10 + (*name - '0');
    }
    return number;
}

// The entries of /proc/self/fd are in the order of the numbers, so closing one moves no other.
bool close_those_in_proc(int first) {
    int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return false;
    alignas(Entry) char block[4096];
    long got = 0;
    while ((got = syscall(SYS_getdents64, directory, block, sizeof block)) > 0)
        for (long at = 0; at < got;) {
            unsigned short bytes = 0;
            memcpy(&bytes, block + at + offsetof(Entry, bytes), sizeof bytes);
            int descriptor = number_of(block + at + kNameOffset);
            if (descriptor >= first && descriptor != directory)
                close(descriptor);
            at += bytes;
        }
    close(directory);
    return got == 0;
}

bool close_all_below_limit(int first) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max > INT_MAX)
        return false;
    for (int descriptor = first; descriptor < static_cast<int>(limit.rlim_max); descriptor++)
        close(descriptor);
    return true;
}

} // namespace

bool close_descriptors_from(int first) {
    return syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0U) == 0 ||
           close_those_in_proc(first) || close_all_below_limit(first);
}

} // namespace rtd
