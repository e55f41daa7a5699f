#include "pg/gateway_process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg/boundary.h"

#include "pg/prelude.h"

namespace rtd::pg {

namespace {

constexpr int kLinkDescriptor = 3; // the gateway finds the link there
constexpr int64_t kLongestBackoffMs = 30'000;
constexpr int kLinkBufferBytes = 4 << 20;
// A gateway that lets this much pile up has stopped reading: it is replaced.
constexpr size_t kMaxOutgoingBytes = 512u << 20;

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void exec_gateway(const char *path, int socket, pid_t hub) {
    prctl(PR_SET_PDEATHSIG, SIGTERM); // besides the end of the link: belt and braces
    if (getppid() != hub)
        _exit(1);
    if (socket == kLinkDescriptor)
        fcntl(socket, F_SETFD, 0);
    else if (dup2(socket, kLinkDescriptor) < 0)
        _exit(126);
    close_range(kLinkDescriptor + 1, ~0U, 0);
    for (int signal = 1; signal < NSIG; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            ::signal(signal, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    char *const arguments[] = {const_cast<char *>("rtd-gateway"), nullptr};
    char *const environment[] = {nullptr}; // the server's environment may hold secrets
    execve(path, arguments, environment);
    _exit(127);
}

std::string how_it_ended(int status) {
    if (WIFSIGNALED(status))
        return "terminated by signal " + std::to_string(WTERMSIG(status));
    int code = WEXITSTATUS(status);
    if (code == 127)
        return "the program could not be executed";
    return "exited with code " + std::to_string(code);
}

} // namespace

bool GatewayProcess::start_if_due(Now now) {
    if (is_running() || now.steady_ms < start_at_ms_)
        return false;
    std::string path = std::string(pkglib_path) + "/rtd-gateway";
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        throw Error(ERRCODE_SYSTEM_ERROR,
                    std::string("could not create a socket pair: ") + std::strerror(errno));
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &kLinkBufferBytes, sizeof kLinkBufferBytes);
    pid_t hub = getpid();
    pid_t child = fork();
    if (child == 0)
        exec_gateway(path.c_str(), ends[1], hub);
    int fork_errno = errno;
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        throw Error(ERRCODE_SYSTEM_ERROR,
                    std::string("could not fork rtd-gateway: ") + std::strerror(fork_errno));
    }
    pid_ = child;
    socket_ = ends[0];
    incarnation_++;
    outgoing_.clear();
    sent_ = 0;
    reader_ = {};
    return true;
}

std::optional<int64_t> GatewayProcess::next_start_ms() const {
    if (is_running())
        return std::nullopt;
    return start_at_ms_;
}

void GatewayProcess::send(const link::HubFrame &frame) {
    if (!is_running())
        return;
    outgoing_ += link::encode(frame);
    if (outgoing_.size() - sent_ > kMaxOutgoingBytes)
        kill(pid_, SIGKILL); // transfer() reaps it
}

bool GatewayProcess::write() {
    while (wants_write()) {
        ssize_t written =
            ::send(socket_, outgoing_.data() + sent_, outgoing_.size() - sent_, MSG_NOSIGNAL);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN || errno == EWOULDBLOCK;
        }
        sent_ += static_cast<size_t>(written);
    }
    outgoing_.clear();
    sent_ = 0;
    return true;
}

void GatewayProcess::flush() {
    if (is_running())
        (void)write();
}

bool GatewayProcess::transfer(const std::function<void(const link::GatewayFrame &)> &on_frame,
                              Now now, std::string *why) {
    bool alive = write();
    while (true) {
        char bytes[64 * 1024];
        ssize_t got = recv(socket_, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (got <= 0) {
            alive = false;
            break;
        }
        reader_.append({bytes, static_cast<size_t>(got)});
        while (true) {
            Result<std::optional<link::GatewayFrame>> frame = reader_.next();
            if (!frame) { // a gateway that talks nonsense is replaced
                kill_and_reap();
                *why = frame.error();
                start_at_ms_ = now.steady_ms + 1000;
                return false;
            }
            if (!*frame)
                break;
            on_frame(**frame);
        }
    }
    if (alive)
        return true;
    // Its end of the socket is closed, so it is dead or dying; do not wait for a dying one.
    kill(pid_, SIGKILL);
    *why = reap();
    // A crash after a healthy life is repaired at once; failures in a row wait 1 s, 2 s, ... 30 s.
    int64_t backoff_ms =
        failures_ == 0 ? 0
                       : std::min<int64_t>(1000LL << std::min(failures_ - 1, 5), kLongestBackoffMs);
    failures_++;
    start_at_ms_ = now.steady_ms + backoff_ms;
    return false;
}

std::string GatewayProcess::reap() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR)
        ;
    pid_ = 0;
    close_socket();
    return how_it_ended(status);
}

void GatewayProcess::kill_and_reap() {
    if (!is_running())
        return;
    kill(pid_, SIGKILL);
    reap();
}

void GatewayProcess::close_socket() {
    if (socket_ >= 0)
        close(socket_);
    socket_ = -1;
}

void GatewayProcess::shut_down(CloseCode code, std::string_view reason, int deadline_ms) {
    if (!is_running())
        return;
    send(link::Shutdown{code, std::string(reason)});
    // The gateway's exit ends the stream; until then its frames are of no interest any more.
    for (int waited_ms = 0; waited_ms < deadline_ms;) {
        if (!write())
            break;
        pollfd link{socket_, static_cast<short>(POLLIN | (wants_write() ? POLLOUT : 0)), 0};
        constexpr int kStepMs = 50;
        int ready = poll(&link, 1, kStepMs);
        if (ready == 0)
            waited_ms += kStepMs;
        char bytes[4096];
        if (ready > 0 && (link.revents & (POLLIN | POLLHUP)) != 0 &&
            recv(socket_, bytes, sizeof bytes, 0) == 0)
            break;
    }
    kill_and_reap();
}

} // namespace rtd::pg
