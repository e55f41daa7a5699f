// WaitList: connections that may wait for the same length of time, each for something of its own.
// All waits are equally long, so the list is sorted by time as it is: every step is O(1), and one
// timer runs for the first in line. A connection waits in one list at a time.
#pragma once
#include "core/fence.h"
#include "gateway/transport/uv_handle.h"

#include <cstdint>
#include <functional>

namespace rtd::net {

class Connection;
class WaitList;

struct WaitListNode {
    WaitListNode *next = this;
    WaitListNode *previous = this;

    void unlink() {
        next->previous = previous;
        previous->next = next;
        next = previous = this;
    }
};

// A connection's place in line.
class Wait : WaitListNode {
  public:
    explicit Wait(Connection &connection) : connection_(connection) {}
    Wait(const Wait &) = delete;
    ~Wait() { end(); }
    void end() { unlink(); }

  private:
    friend class WaitList;
    Connection &connection_;
    uint64_t since_ms_ = 0;
};

class WaitList {
  public:
    using OnDue = std::function<void(Connection &)>;

    // `on_due` is called for one whose time is over; it waits no longer, or in another list, or
    // here again.
    WaitList(uv_loop_t *loop, uint64_t wait_ms, OnDue on_due);

    void set_wait(uint64_t wait_ms); // 0: for ever
    void begin(Wait &wait);          // or again from now on
    bool empty() const { return line_.next == &line_; }
    Connection &first() const { return static_cast<Wait *>(line_.next)->connection_; }

  private:
    void check();
    void arm();

    uv_loop_t *loop_;
    uint64_t wait_ms_;
    OnDue on_due_;
    WaitListNode line_; // by the beginning of the wait
    UvHandle<uv_timer_t> timer_;
};

} // namespace rtd::net
