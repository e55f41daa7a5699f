#include "gateway/session/wait_list.h"

#include <algorithm>
#include <utility>

namespace rtd::net {

namespace {

constexpr uint64_t kMinTimerMs = 10; // so that those due at nearly the same time share a wake-up

} // namespace

WaitList::WaitList(uv_loop_t *loop, uint64_t wait_ms, OnDue on_due)
    : loop_(loop), wait_ms_(wait_ms), on_due_(std::move(on_due)) {
    uv_timer_init(loop_, timer_.get());
    timer_->data = this;
}

void WaitList::set_wait(uint64_t wait_ms) {
    wait_ms_ = wait_ms;
    uv_timer_stop(timer_.get());
    arm();
}

void WaitList::begin(Wait &wait) {
    wait.end();
    wait.since_ms_ = uv_now(loop_);
    wait.previous = line_.previous;
    wait.next = &line_;
    line_.previous->next = &wait;
    line_.previous = &wait;
    if (!uv_is_active(reinterpret_cast<uv_handle_t *>(timer_.get())))
        arm();
}

void WaitList::check() {
    uint64_t now = uv_now(loop_);
    while (!empty()) {
        auto &wait = *static_cast<Wait *>(line_.next);
        if (wait.since_ms_ + wait_ms_ > now)
            break;
        wait.end();
        on_due_(wait.connection_);
    }
    arm();
}

void WaitList::arm() {
    if (wait_ms_ == 0 || empty())
        return;
    uint64_t now = uv_now(loop_);
    uint64_t due = static_cast<Wait *>(line_.next)->since_ms_ + wait_ms_;
    uv_timer_start(
        timer_.get(), [](uv_timer_t *timer) { static_cast<WaitList *>(timer->data)->check(); },
        due > now ? std::max(due - now, kMinTimerMs) : kMinTimerMs, 0);
}

} // namespace rtd::net
