// Gateway process: the hub's side of rtd-gateway. Forks and execs it with one end of a socketpair
// as descriptor 3 and every other descriptor but the standard ones closed, moves frames, restarts
// it with a backoff when it dies, ends it when the hub ends.
//
// The gateway is not attached to shared memory and is no child of the postmaster, so whatever
// happens to it, the server does not notice.
#pragma once
#include "core/clock.h"
#include "core/link.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace rtd::pg {

class GatewayProcess {
  public:
    ~GatewayProcess() { kill_and_reap(); }

    bool is_running() const { return pid_ > 0; }
    int socket() const { return socket_; } // -1 while not running
    bool wants_write() const { return sent_ < outgoing_.size(); }
    // Rises with every start, so that the hub knows when `socket` is another one.
    uint64_t incarnation() const { return incarnation_; }

    // Starts the gateway if it is not running and its backoff is over. True if it was started:
    // the caller sends Settings first.
    bool start_if_due(Now now);
    std::optional<int64_t> next_start_ms() const;

    // Composes the frame; flush() writes what the socket takes, without waiting. A broken socket is
    // transfer()'s to notice.
    void send(const link::HubFrame &frame);
    void flush();
    // Moves bytes both ways without waiting. False: the gateway is gone; it has been reaped, and
    // `why` says how it ended.
    bool transfer(const std::function<void(const link::GatewayFrame &)> &on_frame, Now now,
                  std::string *why);
    // It reached the point where it serves: the backoff starts anew.
    void mark_healthy() { failures_ = 0; }
    // The next start waits, as it does after a failure.
    void count_failure() { failures_++; }
    // The next start does not wait.
    void forget_failures() {
        failures_ = 0;
        start_at_ms_ = 0;
    }

    // Asks it to close its clients, and waits until it is gone or `deadline_ms` have passed; then
    // kills it. For the hub's shutdown.
    void shut_down(CloseCode code, std::string_view reason, int deadline_ms);

  private:
    bool write();
    std::string reap();
    void kill_and_reap();
    void close_socket();

    pid_t pid_ = 0;
    int socket_ = -1;
    uint64_t incarnation_ = 0;
    int failures_ = 0;
    int64_t start_at_ms_ = 0;
    std::string outgoing_;
    size_t sent_ = 0;
    link::FrameReader<link::GatewayFrame> reader_;
};

} // namespace rtd::pg
