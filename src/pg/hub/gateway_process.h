// Gateway process: the hub's side of one rtd-gateway. Forks and execs it with one end of a
// socketpair as descriptor 3 and every other descriptor but the standard ones closed, moves frames,
// restarts it with a backoff when it dies, ends it when the hub ends. Outside of this file all ids
// in frames of gateways are the hub's: see router/gateway_id.h.
//
// The gateway is not attached to shared memory and is no child of the postmaster, so whatever
// happens to it, the server does not notice.
#pragma once
#include "core/byte_queue.h"
#include "core/link.h"
#include "router/clock.h"
#include "router/gateway_id.h"
#include "router/liveness.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace rtd::pg {

class GatewayProcess {
  public:
    using OnFrame = std::function<void(link::GatewayFrame &)>;

    GatewayProcess() = default;
    GatewayProcess(const GatewayProcess &) = delete;
    GatewayProcess &operator=(const GatewayProcess &) = delete;
    ~GatewayProcess() { kill_and_reap(); }

    bool is_running() const { return pid_ > 0; }
    int socket() const { return socket_; } // -1 while not running
    bool wants_write() const { return !outgoing_.empty(); }
    // It does not read what it is sent: until it does, nothing is taken from it, so that whoever
    // asks for more than they read is not answered.
    bool is_backed_up() const;
    // Frames of it are here that were left while it was backed up, and it is so no more.
    bool has_frames() const { return has_rest_ && !is_backed_up(); }
    size_t waiting_bytes() const { return outgoing_.size(); }
    // Of the process that runs, or ran last.
    GatewayNumber number() const { return number_; }

    // Starts the gateway, which must not run. The caller sends Settings first.
    void start(GatewayNumber number, Now now);
    // When it may be started; it must not run.
    int64_t next_start_ms() const { return start_at_ms_; }
    void start_no_sooner(int64_t at_ms);

    // Takes an encoded frame; flush() writes what the socket takes, without waiting. A broken
    // socket is transfer()'s to notice.
    void send(std::string_view frame);
    void flush();
    // Moves bytes both ways without waiting, but takes only a portion: then the next turn goes on.
    // Says why the gateway is gone, once it is: it has been reaped. `on_frame` may end it.
    std::optional<std::string> transfer(const OnFrame &on_frame, Now now);
    // Whether it still does something; `ask` is the caller's to do. Its own death is transfer()'s
    // to notice.
    Liveness::Verdict look(Now now, int64_t patience_ms);
    std::optional<int64_t> next_look_ms(int64_t patience_ms) const {
        return given_up_.empty() ? liveness_.next_look_ms(patience_ms) : std::nullopt;
    }
    // The process that traces it, a debugger say; 0: none.
    pid_t tracer() const;
    // It begins anew to be silent.
    void bear_with(Now now) { liveness_.heard(now.steady_ms); }
    // It is to be replaced: transfer() reaps it, and says why.
    void give_up(std::string why);
    // It reached the point where it serves: the backoff starts anew.
    void mark_healthy() { failures_ = 0; }
    // The next start waits, as it does after a failure.
    void count_failure() { failures_++; }
    // The next start does not wait.
    void forget_failures() {
        failures_ = 0;
        start_at_ms_ = 0;
    }

    // Writes what waits, and what comes in is of no interest any more. False: it has closed its
    // end, which is what it does last.
    bool drain();
    void kill_and_reap();

  private:
    bool write();
    std::string reap();
    std::optional<std::string> take_frames(const OnFrame &on_frame);
    std::string replace_for(const std::string &nonsense, Now now);

    pid_t pid_ = 0;
    int socket_ = -1;
    GatewayNumber number_ = 0;
    int failures_ = 0;
    int64_t start_at_ms_ = 0;
    ByteQueue outgoing_;
    bool has_rest_ = false;    // reader_ was left before its last whole frame
    bool was_blocked_ = false; // its socket took no more
    bool took_some_ = false;   // and then did: it reads
    Liveness liveness_;
    std::string given_up_; // killed, and why; empty: not killed
    link::FrameReader<link::GatewayFrame> reader_;
};

} // namespace rtd::pg
