// rtd-gateway: the network side of rtd, a process of its own so that bytes from the network are
// never parsed where shared memory is attached. The hub starts it with one end of a socketpair as
// descriptor 3, tells it its settings, and restarts it should it die.
//
// Exit status: 0 after a shutdown or when the hub is gone, 1 if it cannot listen or must give up,
// 2 if it was not started by a hub of the same version.
#include "core/link.h"
#include "gateway/hub_link.h"
#include "gateway/sandbox.h"
#include "gateway/server.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <uv.h>

namespace rtd::gateway {

namespace {

constexpr int kHubFd = 3;
constexpr int kExitFailed = 1;
constexpr int kExitMisused = 2;
// For what is left to tell the hub; a hub that hangs must not keep the gateway from exiting.
constexpr uint64_t kLastWordsMs = 500;

template <class... F> struct Overloaded : F... { using F::operator()...; };
template <class... F> Overloaded(F...) -> Overloaded<F...>; // clang 14 cannot deduce it

class Gateway {
  public:
    int run() {
        if (!is_socket(kHubFd) || link_.open(uv_default_loop(), kHubFd) != 0) {
            std::fprintf(stderr,
                         "rtd-gateway is started by the rtd hub, which gives it a socket "
                         "as file descriptor %d\n",
                         kHubFd);
            return kExitMisused;
        }
        handle_signals();
        raise_descriptor_limit();
        link_.start([this](link::HubFrame &frame) { on_frame(frame); }, [this] { on_read(); },
                    [this] { on_room(); },
                    [this](const std::string &error) { on_link_end(error); });
        uv_run(uv_default_loop(), UV_RUN_DEFAULT);
        return exit_status_.value_or(kExitFailed);
    }

  private:
    static bool is_socket(int fd) {
        struct stat status;
        return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
    }

    // The hub decides when the gateway goes: a Ctrl-C in the terminal is for the server.
    void handle_signals() {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, nullptr);
        for (int number : {SIGINT, SIGHUP, SIGPIPE})
            std::signal(number, SIG_IGN);
        uv_signal_init(uv_default_loop(), &terminate_);
        terminate_.data = this;
        uv_signal_start(
            &terminate_,
            [](uv_signal_t *signal, int) {
                static_cast<Gateway *>(signal->data)
                    ->shut_down(CloseCode::going_away, meaning(CloseCode::going_away), 0);
            },
            SIGTERM);
    }

    // As many clients as possible: the soft limit is often 1024.
    void raise_descriptor_limit() {
        rlimit limit{};
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
            return;
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        max_descriptors_ = limit.rlim_cur;
    }

    void check_descriptors_for(uint32_t clients) {
        constexpr uint64_t kOtherDescriptors = 64; // listening, libuv's own, requests under way
        if (clients + kOtherDescriptors > max_descriptors_)
            link_.send(link::Note{"the limit of " + std::to_string(max_descriptors_) +
                                  " open files is too low for " + std::to_string(clients) +
                                  " clients; raise it for the server (ulimit -n)"});
    }

    void on_frame(link::HubFrame &frame) {
        if (is_stopping_)
            return;
        if (!server_ && !std::holds_alternative<link::Settings>(frame))
            return stop(kExitMisused, "the hub did not send its settings first");
        std::visit(
            Overloaded{
                [&](link::Settings &settings) { on_settings(settings); },
                [&](link::Ping &ping) { link_.send(link::Pong{ping.probe}); },
                [&](link::Shutdown &shutdown) { shut_down(shutdown.code, shutdown.reason, 0); },
                [&](auto &other) { server_->handle(other); },
            },
            frame);
    }

    void on_read() {
        if (server_ && !is_stopping_)
            server_->end_of_frames();
    }

    void on_room() {
        if (server_)
            server_->link_has_room();
    }

    void on_settings(link::Settings &settings) {
        if (settings.version != link::kVersion)
            return stop(kExitMisused, "the hub speaks version " + std::to_string(settings.version) +
                                          " of the link, this gateway version " +
                                          std::to_string(link::kVersion));
        if (server_)
            return server_->reload(std::move(settings));
        server_.emplace(uv_default_loop(), link_);
        if (auto problem = server_->load_tls(settings)) {
            link_.send(link::TlsFailed{*problem, false});
            return stop(kExitFailed, "");
        }
        if (auto failure = server_->start(settings)) {
            link_.send(link::ListenFailed{failure->address, failure->error});
            return stop(kExitFailed, "");
        }
        if (std::string missing = enter_sandbox(); !missing.empty())
            link_.send(link::Note{missing});
        link_.send(link::Listening{server_->addresses()});
        check_descriptors_for(settings.max_clients);
    }

    void on_link_end(const std::string &error) {
        if (!error.empty())
            std::fprintf(stderr, "rtd-gateway exits: the link to the hub broke: %s\n",
                         error.c_str());
        int status = error.empty() ? 0 : server_ ? kExitFailed : kExitMisused;
        shut_down(CloseCode::going_away, meaning(CloseCode::going_away), status);
    }

    // The first reason to go decides the exit status; later ones change nothing.
    void shut_down(CloseCode code, const std::string &reason, int status) {
        if (exit_status_)
            return;
        exit_status_ = status;
        if (!server_)
            return stop(status, "");
        server_->shut_down(code, reason, [this, status] { stop(status, ""); });
    }

    // Leaves the loop as soon as the hub has been told everything.
    void stop(int status, const std::string &sentence) {
        if (is_stopping_)
            return;
        is_stopping_ = true;
        exit_status_ = status;
        if (!sentence.empty())
            std::fprintf(stderr, "rtd-gateway exits: %s\n", sentence.c_str());
        uv_timer_init(uv_default_loop(), &last_words_);
        uv_timer_start(
            &last_words_, [](uv_timer_t *timer) { uv_stop(timer->loop); }, kLastWordsMs, 0);
        link_.when_written([] { uv_stop(uv_default_loop()); });
    }

    HubLink link_;
    std::optional<net::Server> server_;
    uint64_t max_descriptors_ = 0;
    uv_signal_t terminate_{};
    uv_timer_t last_words_{};
    std::optional<int> exit_status_; // set: on the way out
    bool is_stopping_ = false;       // the clients are gone too
};

} // namespace

} // namespace rtd::gateway

int main() {
    static rtd::gateway::Gateway gateway;
    // What is left is the kernel's to clean up; libuv would take turns of the loop.
    std::_Exit(gateway.run());
}
