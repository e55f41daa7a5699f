// GatewayProcess: a running rtd-gateway with the test in the role of its hub. Every wait has a
// deadline; a gateway that does not exit by itself is killed at the end.
#pragma once
#include "core/link.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace rtd::test {

using Clock = std::chrono::steady_clock;
inline constexpr std::chrono::milliseconds kPatience(10000);

inline int left_ms(Clock::time_point deadline) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

// Polls `condition` until it holds.
template <class Condition> bool eventually(Condition condition) {
    for (auto deadline = Clock::now() + kPatience; Clock::now() < deadline; poll(nullptr, 0, 5))
        if (condition())
            return true;
    return condition();
}

inline bool wait_readable(int fd, Clock::time_point deadline) {
    pollfd waiting{fd, POLLIN, 0};
    return poll(&waiting, 1, left_ms(deadline)) == 1;
}

inline link::Settings local_settings() {
    link::Settings settings;
    settings.listen_addresses = "127.0.0.1";
    settings.port = 0;
    settings.max_clients = 1000;
    settings.max_client_message_bytes = 65536;
    settings.client_message_rate = 50;
    settings.max_subscriptions_per_client = 100;
    settings.client_buffer_bytes = 1 << 20;
    settings.ping_interval_ms = 0;
    settings.compression = true;
    return settings;
}

class GatewayProcess {
  public:
    // Started, but not told anything yet.
    GatewayProcess() {
        int ends[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        hub_ = ends[0];
        start(ends[1]);
        close(ends[1]);
    }
    // Told its settings, and listening.
    explicit GatewayProcess(const link::Settings &settings) : GatewayProcess() {
        send(settings);
        std::optional<link::GatewayFrame> frame;
        do // an old kernel makes it note what it could not give up
            frame = next();
        while (frame && std::holds_alternative<link::Note>(*frame));
        if (frame && std::holds_alternative<link::Listening>(*frame))
            listening = std::get<link::Listening>(*frame).addresses;
        EXPECT_FALSE(listening.empty()) << "the gateway does not listen";
        if (!listening.empty())
            port =
                static_cast<uint16_t>(std::stoi(listening[0].substr(listening[0].rfind(':') + 1)));
    }
    // With something else than a socket as its link.
    explicit GatewayProcess(const char *file) {
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        start(fd);
        close(fd);
    }
    GatewayProcess(const GatewayProcess &) = delete;
    ~GatewayProcess() {
        hang_up();
        if (pid_ > 0 && !wait_exit()) {
            ADD_FAILURE() << "the gateway does not exit";
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        close(stderr_);
    }

    std::vector<std::string> listening;
    uint16_t port = 0;

    void send(const link::HubFrame &frame) { send_raw(link::encode(frame)); }
    void send_raw(std::string_view bytes) {
        while (!bytes.empty()) {
            ssize_t sent = ::send(hub_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            ASSERT_GT(sent, 0);
            bytes.remove_prefix(static_cast<size_t>(sent));
        }
    }

    // The next frame; nullopt at the end of the link.
    std::optional<link::GatewayFrame> next() {
        auto deadline = Clock::now() + kPatience;
        while (true) {
            auto frame = reader_.next();
            if (!frame) {
                ADD_FAILURE() << frame.error();
                return std::nullopt;
            }
            if (*frame)
                return std::move(**frame);
            char chunk[4096];
            ssize_t size = 0;
            if (wait_readable(hub_, deadline))
                size = recv(hub_, chunk, sizeof chunk, 0);
            else
                ADD_FAILURE() << "the gateway sends nothing";
            if (size <= 0)
                return std::nullopt;
            reader_.append({chunk, static_cast<size_t>(size)});
        }
    }
    // The next frame if there is one already.
    std::optional<link::GatewayFrame> poll_frame() {
        while (true) {
            auto frame = reader_.next();
            EXPECT_TRUE(frame);
            if (!frame || *frame)
                return frame ? std::move(*frame) : std::nullopt;
            char chunk[4096];
            ssize_t size = recv(hub_, chunk, sizeof chunk, MSG_DONTWAIT);
            if (size <= 0)
                return std::nullopt;
            reader_.append({chunk, static_cast<size_t>(size)});
        }
    }
    // The next frame; lines for the log that are due meanwhile are passed over.
    template <class Frame> Frame expect() {
        auto frame = next();
        while (!std::is_same_v<Frame, link::Note> && frame &&
               std::holds_alternative<link::Note>(*frame))
            frame = next();
        if (frame && std::holds_alternative<Frame>(*frame))
            return std::get<Frame>(std::move(*frame));
        ADD_FAILURE() << "got " << (frame ? "another frame than expected, number " : "no frame")
                      << (frame ? std::to_string(frame->index()) : "");
        return {};
    }

    void hang_up() {
        if (hub_ >= 0)
            close(hub_);
        hub_ = -1;
    }
    void signal(int number) { kill(pid_, number); }
    bool is_alive() {
        if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) {
            ADD_FAILURE() << "the gateway ended with wait status " << status_ << ": " << log();
            pid_ = 0;
        }
        return pid_ > 0;
    }
    pid_t pid() const { return pid_; }
    size_t resident_bytes() const {
        std::ifstream statm("/proc/" + std::to_string(pid_) + "/statm");
        size_t total = 0, resident = 0;
        statm >> total >> resident;
        return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
    }

    // The exit status, or nullopt if it does not exit.
    std::optional<int> wait_exit() {
        bool exited =
            pid_ <= 0 || eventually([&] { return waitpid(pid_, &status_, WNOHANG) == pid_; });
        if (!exited)
            return std::nullopt;
        pid_ = 0;
        return WIFEXITED(status_) ? WEXITSTATUS(status_) : 256 + WTERMSIG(status_);
    }
    // What it has written to its stderr, once it has exited.
    std::string log() {
        std::string text;
        char chunk[4096];
        for (ssize_t size; (size = read(stderr_, chunk, sizeof chunk)) > 0;)
            text.append(chunk, static_cast<size_t>(size));
        return text;
    }

  private:
    void start(int link_fd) {
        int log[2];
        ASSERT_EQ(pipe2(log, O_CLOEXEC), 0);
        stderr_ = log[0];
        pid_ = fork();
        ASSERT_GE(pid_, 0);
        if (pid_ == 0) {
            dup2(log[1], STDERR_FILENO);
            if (link_fd == 3)
                fcntl(3, F_SETFD, 0);
            else
                dup2(link_fd, 3);
            const char *gateway = getenv("RTD_GATEWAY");
            execl(gateway ? gateway : "build/rtd-gateway", "rtd-gateway", nullptr);
            _exit(127);
        }
        close(log[1]);
    }

    int hub_ = -1;
    int stderr_ = -1;
    pid_t pid_ = 0;
    int status_ = 0;
    link::FrameReader<link::GatewayFrame> reader_;
};

} // namespace rtd::test
