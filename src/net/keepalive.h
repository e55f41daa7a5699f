// Keepalive: pings sessions that were silent for an interval and gives up those silent for two.
// Not libwebsockets' own: its timers are one sorted list in which every pong is a walk past all
// other clients, and its unit is the second. Here every step is O(1): all waits are equally long,
// so each list is sorted by time as it is, and one timer runs for the first in line.
#pragma once
#include "core/fence.h"
#include "net/uv_handle.h"

#include <cstdint>
#include <functional>
#include <list>

namespace rtd::net {

class Session;

class Keepalive {
  public:
    struct Member {
        Session *session;
        uint64_t since_ms; // of the last sign of life, or of the ping
    };
    using Members = std::list<Member>;
    struct Entry { // kept in the session
        Members::iterator place;
        bool pinged = false;
    };
    using Action = std::function<void(Session &)>;

    Keepalive(uv_loop_t *loop, Action ping, Action give_up);

    void set_interval(uint64_t interval_ms); // 0: never ping
    void add(Session &session);
    void remove(Session &session);
    void saw_life(Session &session);

  private:
    void check();
    void arm();

    uv_loop_t *loop_;
    Action ping_;
    Action give_up_;
    uint64_t interval_ms_ = 0;
    Members quiet_;  // by their last sign of life
    Members pinged_; // by their ping
    UvHandle<uv_timer_t> timer_;
};

} // namespace rtd::net
