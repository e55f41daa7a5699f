#include "net/keepalive.h"

#include "net/session.h"

#include <algorithm>

namespace rtd::net {

namespace {

constexpr uint64_t kMinWaitMs = 10; // so that sessions due at nearly the same time share a wake-up

} // namespace

Keepalive::Keepalive(uv_loop_t *loop, Action ping, Action give_up)
    : loop_(loop), ping_(std::move(ping)), give_up_(std::move(give_up)) {
    uv_timer_init(loop_, timer_.get());
    timer_->data = this;
}

void Keepalive::set_interval(uint64_t interval_ms) {
    interval_ms_ = interval_ms;
    uv_timer_stop(timer_.get());
    arm();
}

void Keepalive::add(Session &session) {
    session.keepalive.place = quiet_.insert(quiet_.end(), {&session, uv_now(loop_)});
    session.keepalive.pinged = false;
    if (!uv_is_active(reinterpret_cast<uv_handle_t *>(timer_.get())))
        arm();
}

void Keepalive::remove(Session &session) {
    (session.keepalive.pinged ? pinged_ : quiet_).erase(session.keepalive.place);
}

void Keepalive::saw_life(Session &session) {
    Members &from = session.keepalive.pinged ? pinged_ : quiet_;
    session.keepalive.place->since_ms = uv_now(loop_);
    quiet_.splice(quiet_.end(), from, session.keepalive.place);
    session.keepalive.pinged = false;
}

void Keepalive::check() {
    uint64_t now = uv_now(loop_);
    while (!pinged_.empty() && pinged_.front().since_ms + interval_ms_ <= now) {
        // To the end of the line: it is told to go, and goes soon.
        pinged_.front().since_ms = now;
        Session &session = *pinged_.front().session;
        pinged_.splice(pinged_.end(), pinged_, pinged_.begin());
        give_up_(session);
    }
    while (!quiet_.empty() && quiet_.front().since_ms + interval_ms_ <= now) {
        quiet_.front().since_ms = now;
        Session &session = *quiet_.front().session;
        pinged_.splice(pinged_.end(), quiet_, quiet_.begin());
        session.keepalive.pinged = true;
        ping_(session);
    }
    arm();
}

void Keepalive::arm() {
    if (interval_ms_ == 0 || (quiet_.empty() && pinged_.empty()))
        return;
    uint64_t first = UINT64_MAX;
    for (const Members *members : {&quiet_, &pinged_})
        if (!members->empty())
            first = std::min(first, members->front().since_ms);
    uint64_t now = uv_now(loop_);
    uint64_t due = first + interval_ms_;
    uv_timer_start(
        timer_.get(), [](uv_timer_t *timer) { static_cast<Keepalive *>(timer->data)->check(); },
        due > now + kMinWaitMs ? due - now : kMinWaitMs, 0);
}

} // namespace rtd::net
