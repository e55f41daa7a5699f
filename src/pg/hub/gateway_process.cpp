#include "pg/hub/gateway_process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "core/backoff.h"
#include "core/close_descriptors.h"
#include "pg/server/boundary.h"
#include "pg/server/settings.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

constexpr int kLinkDescriptor = 3; // the gateway finds the link there
constexpr int64_t kLongestWaitMs = 30'000;
constexpr int64_t kNonsenseBackoffMs = 1000;
constexpr int kLinkBufferBytes = 4 << 20;
// What is taken from one gateway in a turn, so that the hub looks after the others and after its
// own work in between.
constexpr size_t kBytesPerTurn = 256 << 10;
// As long as more waits for a gateway, nothing is taken from it: a frame that asks for a long
// history takes a hundred bytes, and its answer a megabyte.
constexpr size_t kBackedUpBytes = 4 << 20;

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void exec_gateway(const char *path, int socket, pid_t hub) {
    prctl(PR_SET_PDEATHSIG, SIGTERM); // besides the end of the link: belt and braces
    if (getppid() != hub)
        _exit(1);
    if (socket == kLinkDescriptor)
        fcntl(socket, F_SETFD, 0);
    else if (dup2(socket, kLinkDescriptor) < 0)
        _exit(126);
    if (!close_descriptors_from(kLinkDescriptor + 1)) // it must not inherit the server's files
        _exit(125);
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
    if (code == 125)
        return "the server's open files could not be closed in it";
    return "exited with code " + std::to_string(code);
}

} // namespace

void GatewayProcess::start(GatewayNumber number, Now now) {
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
    number_ = number;
    outgoing_.clear();
    has_rest_ = was_blocked_ = took_some_ = false;
    liveness_.heard(now.steady_ms);
    given_up_.clear();
    reader_ = {};
}

void GatewayProcess::start_no_sooner(int64_t at_ms) {
    start_at_ms_ = std::max(start_at_ms_, at_ms);
}

void GatewayProcess::send(std::string_view frame) {
    if (!is_running() || !given_up_.empty())
        return;
    outgoing_.append(frame);
    // Any message has room, whatever the setting.
    size_t most_kilobytes =
        std::max<size_t>(gateway_buffer_kilobytes, size_t{2} * max_message_kilobytes);
    if (outgoing_.size() > most_kilobytes * 1024)
        give_up("did not read what it was sent, more than rtd.gateway_buffer");
}

void GatewayProcess::give_up(std::string why) {
    given_up_ = std::move(why);
    outgoing_.clear();
    kill(pid_, SIGKILL);
}

Liveness::Verdict GatewayProcess::look(Now now, int64_t patience_ms) {
    if (!given_up_.empty())
        return Liveness::Verdict::alive; // not for long
    if (std::exchange(took_some_, false))
        liveness_.heard(now.steady_ms);
    return liveness_.look(now.steady_ms, patience_ms);
}

pid_t GatewayProcess::tracer() const {
    std::string path = "/proc/" + std::to_string(pid_) + "/status";
    std::unique_ptr<FILE, int (*)(FILE *)> file(std::fopen(path.c_str(), "re"), std::fclose);
    char line[256];
    int tracer = 0;
    while (file && std::fgets(line, sizeof line, file.get()) != nullptr)
        if (std::sscanf(line, "TracerPid: %d", &tracer) == 1)
            break;
    return tracer;
}

bool GatewayProcess::is_backed_up() const {
    return outgoing_.size() > kBackedUpBytes;
}

bool GatewayProcess::write() {
    while (wants_write()) {
        std::string_view front = outgoing_.front();
        ssize_t written = ::send(socket_, front.data(), front.size(), MSG_NOSIGNAL);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            was_blocked_ = errno == EAGAIN || errno == EWOULDBLOCK;
            return was_blocked_;
        }
        outgoing_.consume(static_cast<size_t>(written));
        took_some_ = took_some_ || std::exchange(was_blocked_, false);
    }
    return true;
}

void GatewayProcess::flush() {
    if (is_running())
        (void)write();
}

// Hands the frames on. A gateway that talks nonsense is to be replaced: says what it was.
std::optional<std::string> GatewayProcess::take_frames(const OnFrame &on_frame) {
    while (is_running()) {
        has_rest_ = is_backed_up();
        if (has_rest_)
            break;
        Result<std::optional<link::GatewayFrame>> frame = reader_.next();
        if (!frame)
            return frame.error();
        if (!*frame)
            break;
        if (!to_hub_ids(**frame, number_))
            return "sent an id that is too large";
        on_frame(**frame);
    }
    return std::nullopt;
}

std::string GatewayProcess::replace_for(const std::string &nonsense, Now now) {
    kill_and_reap();
    start_at_ms_ = now.steady_ms + kNonsenseBackoffMs;
    return nonsense;
}

std::optional<std::string> GatewayProcess::transfer(const OnFrame &on_frame, Now now) {
    bool alive = write();
    if (auto nonsense = take_frames(on_frame))
        return replace_for(*nonsense, now);
    for (size_t taken = 0; is_running() && !is_backed_up() && taken < kBytesPerTurn;) {
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
        taken += static_cast<size_t>(got);
        liveness_.heard(now.steady_ms);
        reader_.append({bytes, static_cast<size_t>(got)});
        if (auto nonsense = take_frames(on_frame))
            return replace_for(*nonsense, now);
    }
    if (alive || !is_running())
        return std::nullopt;
    // Its end of the socket is closed, so it is dead or dying; do not wait for a dying one.
    kill(pid_, SIGKILL);
    std::string why = reap();
    if (!given_up_.empty())
        why = given_up_ + ", and was ended";
    // A crash after a healthy life is repaired at once; failures in a row wait 1 s, 2 s, ... 30 s.
    start_at_ms_ = now.steady_ms + backoff_ms(failures_++, kFirstBackoffMs, kLongestWaitMs);
    return why;
}

std::string GatewayProcess::reap() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR)
        ;
    pid_ = 0;
    close(socket_);
    socket_ = -1;
    return how_it_ended(status);
}

void GatewayProcess::kill_and_reap() {
    if (!is_running())
        return;
    kill(pid_, SIGKILL);
    reap();
}

// One look at a time: the caller has a deadline, and a gateway may have much to say.
bool GatewayProcess::drain() {
    char bytes[64 * 1024];
    ssize_t got = recv(socket_, bytes, sizeof bytes, 0);
    bool is_open =
        got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK));
    return is_open && write();
}

} // namespace rtd::pg
