#include "net/readiness.h"

#include <algorithm>

namespace rtd::net {

namespace {

constexpr uint64_t kProbeDeadlineMs = 5000;

} // namespace

Readiness::Readiness(uv_loop_t *loop, Hub &hub) : hub_(hub) {
    uv_timer_init(loop, deadline_.get());
    deadline_->data = this;
}

void Readiness::ask(Connection &connection) {
    waiting_.push_back(&connection);
    if (waiting_.size() > 1)
        return;
    hub_.send(link::Probe{++probe_});
    uv_timer_start(
        deadline_.get(),
        [](uv_timer_t *timer) {
            static_cast<Readiness *>(timer->data)->answer(false, "the hub does not answer");
        },
        kProbeDeadlineMs, 0);
}

void Readiness::answered(const link::Probed &probed) {
    if (probed.probe == probe_ && !waiting_.empty())
        answer(probed.ready, probed.detail);
}

void Readiness::answer(bool ready, const std::string &detail) {
    uv_timer_stop(deadline_.get());
    for (Connection *connection : waiting_) {
        connection->route = readiness_answer(ready, detail);
        lws_callback_on_writable(connection->wsi);
    }
    waiting_.clear();
}

void Readiness::forget(Connection &connection) {
    std::erase(waiting_, &connection);
    if (waiting_.empty())
        uv_timer_stop(deadline_.get());
}

} // namespace rtd::net
