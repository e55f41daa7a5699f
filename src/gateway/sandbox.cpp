#include "gateway/sandbox.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <linux/landlock.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/transport/fd.h"

#if defined(__SANITIZE_ADDRESS__)
#define RTD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RTD_SANITIZER
#endif
#endif
#ifdef RTD_SANITIZER
#include <sanitizer/common_interface_defs.h>
#endif

namespace rtd::gateway {

namespace {

// landlock_ruleset_attr as it is today; the header this is built with may be older than the kernel
// it runs on. A kernel that is older takes zeros for what it lacks.
struct Ruleset {
    uint64_t files = 0;
    uint64_t network = 0;
    uint64_t scopes = 0;
};
constexpr uint64_t kBindTcp = 1 << 0, kConnectTcp = 1 << 1;
constexpr uint64_t kAbstractSockets = 1 << 0, kSignals = 1 << 1;

// All that this version of Landlock can forbid.
Ruleset everything(int version) {
    int file_rights = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    return {.files = (uint64_t{1} << file_rights) - 1,
            .network = version >= 4 ? kBindTcp | kConnectTcp : 0,
            .scopes = version >= 6 ? kAbstractSockets | kSignals : 0};
}

#ifdef RTD_SANITIZER
// Where its reports find the names of functions.
bool allow_reading_everything(int ruleset) {
    net::Fd root(open("/", O_PATH | O_CLOEXEC));
    landlock_path_beneath_attr rule{LANDLOCK_ACCESS_FS_READ_FILE, root.get()};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}
#endif

bool forbid_files() {
    Ruleset forbidden = everything(landlock_version());
    net::Fd ruleset(
        static_cast<int>(syscall(SYS_landlock_create_ruleset, &forbidden, sizeof forbidden, 0)));
    if (ruleset.get() < 0)
        return false;
#ifdef RTD_SANITIZER
    if (!allow_reading_everything(ruleset.get()))
        return false;
#endif
    return syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0;
}

bool forbid_processes() {
    rlimit none{0, 0};
    return setrlimit(RLIMIT_NPROC, &none) == 0;
}

} // namespace

int landlock_version() {
    long version =
        syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? 0 : static_cast<int>(version);
}

std::string enter_sandbox() {
    // TLS may be turned on later, by a reload.
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, nullptr);
#ifdef RTD_SANITIZER
    __sanitizer_sandbox_arguments arguments{};
    __sanitizer_sandbox_on_notify(&arguments); // reads what its reports need
#endif
    std::string missing;
    auto give_up = [&](bool is_done, const char *consequence) {
        if (!is_done)
            missing += (missing.empty() ? "" : "; ") + std::string(consequence) + " (" +
                       std::strerror(errno) + ")";
    };
    give_up(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "programs it starts may gain privileges");
    // Keys of TLS and messages stay out of core files and out of other processes' reach.
    give_up(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "its memory may be dumped");
    give_up(forbid_processes(), "it can start processes");
    give_up(forbid_files(), "it can open files, for want of Landlock");
    return missing.empty() ? "" : "the gateway is less confined than it could be: " + missing;
}

} // namespace rtd::gateway
