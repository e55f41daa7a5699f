#include "gateway/session/readiness.h"

#include <algorithm>
#include <utility>

namespace rtd::net {

namespace {

constexpr uint64_t kProbeDeadlineMs = 5000;

} // namespace

class Readiness::Question final : public Reply {
  public:
    Question(Readiness &readiness, Environment &environment, AdmittedSocket socket, bool with_body)
        : Reply(environment, std::move(socket), with_body), readiness_(readiness) {}

    void on_gone() override { std::erase(readiness_.waiting_, this); }

  private:
    Readiness &readiness_;
};

Readiness::Readiness(uv_loop_t *loop, Hub &hub) : hub_(hub) {
    uv_timer_init(loop, deadline_.get());
    deadline_->data = this;
}

void Readiness::ask(Environment &environment, AdmittedSocket socket, bool with_body) {
    auto question = std::make_unique<Question>(*this, environment, std::move(socket), with_body);
    waiting_.push_back(question.get());
    environment.connections.add(std::move(question));
    if (std::exchange(is_in_flight_, true))
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
    if (probed.probe == probe_ && is_in_flight_)
        answer(probed.ready, probed.detail);
}

void Readiness::answer(bool ready, const std::string &detail) {
    uv_timer_stop(deadline_.get());
    is_in_flight_ = false;
    for (Question *question : waiting_)
        question->answer(readiness_answer(ready, detail));
    waiting_.clear();
}

} // namespace rtd::net
