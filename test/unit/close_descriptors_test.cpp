// A gateway inherits nothing but its link, also on kernels without close_range() and in containers
// whose filter refuses it. Without the call nothing was closed, and the process that parses bytes
// of strangers had the server's files open. Each case runs in a process of its own, under a filter
// of its own.
#include "core/close_descriptors.h"

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace rtd {
namespace {

constexpr int kFirst = 64;
constexpr int kLast = 900;

struct Refusal {
    unsigned number;
    int error;
};

// From here on the calls fail as on a machine that has none, or forbids them.
bool refuse(const std::vector<Refusal> &refusals) {
    std::vector<sock_filter> program = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (const Refusal &refusal : refusals) {
        program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusal.number, 0, 1));
        program.push_back(
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(refusal.error)));
    }
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

bool is_open(int descriptor) {
    return fcntl(descriptor, F_GETFD) >= 0;
}

enum Outcome { all_closed, some_open, closed_too_many, said_no, not_set_up };

Outcome close_under(const std::vector<Refusal> &refusals) {
    rlimit limit{1024, 1024};
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return not_set_up;
    int null = open("/dev/null", O_RDONLY);
    for (int descriptor = kFirst - 1; descriptor <= kLast; descriptor++)
        if (dup2(null, descriptor) != descriptor) // one that is kept, then those to close
            return not_set_up;
    if (!refuse(refusals))
        return not_set_up;
    if (!close_descriptors_from(kFirst))
        return said_no;
    if (!is_open(kFirst - 1) || !is_open(null))
        return closed_too_many;
    for (int descriptor = kFirst; descriptor < 1024; descriptor++)
        if (is_open(descriptor))
            return some_open;
    return all_closed;
}

Outcome in_child(const std::vector<Refusal> &refusals) {
    pid_t child = fork();
    if (child == 0)
        _exit(close_under(refusals));
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    return static_cast<Outcome>(WEXITSTATUS(status));
}

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
constexpr Refusal kOldKernel = {SYS_close_range, ENOSYS};
constexpr Refusal kFilter = {SYS_close_range, EPERM};
constexpr Refusal kNoProc = {SYS_openat, ENOENT};

TEST(CloseDescriptors, closes_all_from_the_first_on) {
    EXPECT_EQ(in_child({}), all_closed);
}

TEST(CloseDescriptors, closes_them_on_a_kernel_without_close_range) {
    EXPECT_EQ(in_child({kOldKernel}), all_closed);
}

TEST(CloseDescriptors, closes_them_where_a_filter_refuses_close_range) {
    EXPECT_EQ(in_child({kFilter}), all_closed);
}

TEST(CloseDescriptors, closes_them_without_proc) {
    EXPECT_EQ(in_child({kOldKernel, kNoProc}), all_closed);
}

TEST(CloseDescriptors, closes_them_where_the_folder_cannot_be_read) {
    EXPECT_EQ(in_child({kOldKernel, {SYS_getdents64, EPERM}}), all_closed);
}

TEST(CloseDescriptors, says_so_if_it_cannot_know) {
    EXPECT_EQ(in_child({kOldKernel, kNoProc, {SYS_prlimit64, EPERM}}), said_no);
}

} // namespace
} // namespace rtd
