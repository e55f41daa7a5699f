#include "net/arrival.h"

#include <cerrno>

namespace rtd::net {

namespace {

constexpr uint64_t kHeadDeadlineMs = 5000;

} // namespace

Arrivals::Arrivals(uv_loop_t *loop, OnRequest on_request)
    : loop_(loop), on_request_(std::move(on_request)) {
    uv_timer_init(loop_, deadline_.get());
    deadline_->data = this;
}

void Arrivals::add(Guest guest) {
    Arrival &arrival = arrivals_.emplace_back();
    arrival.owner = this;
    arrival.self = std::prev(arrivals_.end());
    arrival.guest = std::move(guest);
    arrival.deadline_ms = uv_now(loop_) + kHeadDeadlineMs;
    uv_poll_init(loop_, arrival.poll.get(), arrival.guest.fd.get());
    arrival.poll->data = &arrival;
    uv_poll_start(arrival.poll.get(), UV_READABLE, [](uv_poll_t *poll, int, int) {
        auto *arrival = static_cast<Arrival *>(poll->data);
        arrival->owner->read(*arrival);
    });
    if (arrivals_.size() == 1)
        drop_late(); // starts the timer
}

std::optional<Arrivals::Guest> Arrivals::take_oldest() {
    if (arrivals_.empty())
        return std::nullopt;
    Guest guest = std::move(arrivals_.front().guest);
    drop(arrivals_.front());
    return guest;
}

void Arrivals::clear() {
    arrivals_.clear();
}

void Arrivals::read(Arrival &arrival) {
    char chunk[4096];
    ssize_t peeked = recv(arrival.guest.fd.get(), chunk, sizeof chunk, MSG_PEEK);
    if (peeked < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (peeked <= 0)
        return drop(arrival);

    // Looked at first and taken after, so that what follows the head stays in the socket for lws.
    size_t before = arrival.head.size();
    arrival.head.append(chunk, static_cast<size_t>(peeked));
    size_t overlap = std::min(before, kHeadEnd.size() - 1);
    size_t end = arrival.head.find(kHeadEnd, before - overlap);
    if (end != std::string::npos)
        arrival.head.resize(end + kHeadEnd.size());
    recv(arrival.guest.fd.get(), chunk, arrival.head.size() - before, 0);

    if (arrival.head.size() > kMaxHeadBytes)
        return finish(arrival, Problem{"the request's head is longer than " +
                                       std::to_string(kMaxHeadBytes) + " bytes"});
    if (end != std::string::npos)
        return finish(arrival, parse_http_request(arrival.head));
}

void Arrivals::finish(Arrival &arrival, const Result<HttpRequest> &request) {
    Guest guest = std::move(arrival.guest);
    drop(arrival); // libuv allows one handle per descriptor, and lws brings its own
    on_request_(std::move(guest), request);
}

void Arrivals::drop(Arrival &arrival) {
    arrivals_.erase(arrival.self);
}

void Arrivals::drop_late() {
    uint64_t now = uv_now(loop_);
    while (!arrivals_.empty() && arrivals_.front().deadline_ms <= now)
        drop(arrivals_.front());
    if (arrivals_.empty())
        return;
    uv_timer_start(
        deadline_.get(),
        [](uv_timer_t *timer) { static_cast<Arrivals *>(timer->data)->drop_late(); },
        arrivals_.front().deadline_ms - now, 0);
}

} // namespace rtd::net
