// Connection: a client's socket and what waits to be written to it. What the bytes mean is for its
// kinds: a request that is still coming (gateway/session/arrival.h), a request that is answered at
// once (gateway/session/reply.h), a client of topics (gateway/session/session.h).
//
// It never goes away by itself: vanish() marks it, and Connections frees it at the end of the turn.
#pragma once
#include "core/fence.h"
#include "gateway/session/admitted_socket.h"
#include "gateway/session/environment.h"
#include "gateway/session/send_queue.h"

#include <string>
#include <string_view>

namespace rtd::net {

class Connection : Poller::Watcher {
  public:
    Connection(Environment &environment, AdmittedSocket socket);
    Connection(const Connection &) = delete;
    virtual ~Connection() = default;

    // What the client has sent: from the socket, or what was read of it before.
    void receive(std::string_view bytes);
    // Drops the connection without a word.
    virtual void vanish(std::string_view reason);
    bool is_gone() const { return is_gone_; }

    // Called by others who look after connections.
    void write_waiting();
    void time_is_over();
    virtual void on_gone() {}

  protected:
    virtual void on_data(std::string_view bytes) = 0;
    // The client has closed its side.
    virtual void on_end() { vanish("the client closed the connection"); }
    // At a port that speaks TLS the client does not; an answer would be in plain text.
    virtual void on_plain_http() { vanish("the client does not speak TLS"); }
    // `reason` is OpenSSL's.
    virtual void on_tls_failure(const std::string &reason) { vanish("TLS failed: " + reason); }
    // The client has read some of what waited; all of it.
    virtual void on_progress() {}
    virtual void on_caught_up() {}
    // The wait is over that was begun with wait().
    virtual void on_late() { vanish("the client took too long"); }
    // What the client sends is not read for now: so its silence says nothing.
    bool is_paused() const { return is_paused_; }
    // Something here threw.
    virtual void on_failure() { vanish("the server failed"); }

    // Takes the bytes over, whatever waits.
    void say(std::string bytes, WireMessage::Kind kind);
    // False if too much waits.
    bool queue(WireMessagePtr message, uint64_t subscription, QueuePolicy policy);
    void queue_control(std::string frame);
    // Drops what cannot be written at once, but for the end of what has begun.
    void cut_waiting();
    // What is queued waits for what comes next, to be written with it, until release() or until
    // something else has to be written.
    void hold() { is_held_ = true; }
    bool is_held() const { return is_held_; }
    void release();
    // What has been said is the last. The connection ends when the client closes it, or a while
    // later. With `closes_first` the client is told: by the end of what it reads.
    void leave(bool closes_first);
    // Reads what the client sends as long as the connection lives.
    void start_reading();
    // The same, for one that has probably sent something already: that saves a turn.
    void read_now();

    Environment &environment() const { return environment_; }
    Wait &wait() { return wait_; }
    AdmittedSocket &socket() { return socket_; }

    SendQueue queue_;

  private:
    friend class Connections;
    void on_ready(uint32_t events) override;
    void read();
    bool pauses();
    void want_write();
    bool is_all_written() const { return queue_.empty() && !socket_.holds_bytes(); }
    void watch();
    template <class Action> void guarded(Action action);

    Environment &environment_;
    AdmittedSocket socket_;
    Wait wait_;
    size_t index_ = 0; // in Connections
    bool reads_ = false;
    bool is_paused_ = false; // in Connections, at read_place_: what it sends waits for the hub
    uint64_t read_place_ = 0;
    bool is_stuck_ = false; // the socket takes no more for now
    bool is_held_ = false;
    bool is_listed_ = false; // in Connections, at place_: it is to be written
    uint64_t place_ = 0;
    bool is_leaving_ = false;
    bool closes_first_ = false;
    bool is_gone_ = false;
};

} // namespace rtd::net
