#include "gateway/session/refusal_log.h"

#include "core/link.h"

#include <utility>

namespace rtd::net {

RefusalLog::RefusalLog(uv_loop_t *loop, Hub &hub) : hub_(hub) {
    uv_timer_init(loop, due_.get());
    due_->data = this;
}

void RefusalLog::count(const std::string &reason, const Address &address) {
    begin_period(refusals_.count(reason, address));
}

void RefusalLog::count(RefusalReason reason, std::string_view sentence, const Address &address) {
    count(Refusals::Thing::connection, reason, sentence, Subnet(address));
}

void RefusalLog::count(Refusals::Thing thing, CloseCode code, std::string_view sentence,
                       const Subnet &from) {
    begin_period(refusals_.count(thing, word_of(code), sentence, from));
}

void RefusalLog::count(Refusals::Thing thing, RefusalReason reason, std::string_view sentence,
                       const Subnet &from) {
    begin_period(refusals_.count(thing, word_of(reason), sentence, from));
}

void RefusalLog::begin_period(bool is_first) {
    if (is_first)
        uv_timer_start(
            due_.get(), [](uv_timer_t *timer) { static_cast<RefusalLog *>(timer->data)->report(); },
            Refusals::kPeriodMs, 0);
}

void RefusalLog::report() {
    for (std::string &line : refusals_.report())
        hub_.send(link::Note{std::move(line)});
}

} // namespace rtd::net
