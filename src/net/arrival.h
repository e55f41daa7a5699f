// Arrivals: connections whose request head has not come in whole. Reads the head, and not a byte
// more, parses it, and hands socket and request on. A connection that takes too long is dropped.
#pragma once
#include "core/fence.h"
#include "core/http_request.h"
#include "net/address.h"
#include "net/admission.h"
#include "net/fd.h"
#include "net/uv_handle.h"

#include <functional>
#include <list>
#include <optional>
#include <string>

namespace rtd::net {

class Arrivals {
  public:
    // A connection, and its place.
    struct Guest {
        Fd fd;
        Address address;
        Admission::Ticket ticket;
    };
    using OnRequest = std::function<void(Guest, const Result<HttpRequest> &)>;

    Arrivals(uv_loop_t *loop, OnRequest on_request);

    void add(Guest guest);
    // The one that had the most time for its request; none if all have come.
    std::optional<Guest> take_oldest();
    void clear();

  private:
    struct Arrival {
        Arrivals *owner;
        std::list<Arrival>::iterator self;
        // The handle goes before the descriptor: libuv forgets it before it is closed.
        Guest guest;
        UvHandle<uv_poll_t> poll;
        std::string head;
        uint64_t deadline_ms = 0;
    };

    void read(Arrival &arrival);
    void finish(Arrival &arrival, const Result<HttpRequest> &request);
    void drop(Arrival &arrival);
    void drop_late();

    uv_loop_t *loop_;
    OnRequest on_request_;
    std::list<Arrival> arrivals_;   // oldest first
    UvHandle<uv_timer_t> deadline_; // runs for the oldest, and only while there is one
};

} // namespace rtd::net
