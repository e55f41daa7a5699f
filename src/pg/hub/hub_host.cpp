// What the router asks of the process it runs in: see router/router_host.h. Runs in the hub.
#include "pg/hub/hub_loop.h"

#include "pg/hub/hub_params.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/shared/interest.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

std::optional<link::Ended> HubLoop::refuse(const Identity &identity, const Topic *topic) {
    std::optional<link::Ended> refusal = access_.refuse(catalog_, identity, topic);
    // A topic or a grant may be among what could not be read yet.
    if (is_outdated_ && (topic == nullptr || refusal))
        return link::Ended{0, CloseCode::unavailable,
                           "the server cannot read its topics now; try again"};
    return refusal;
}

Result<InstanceParams> HubLoop::canonical(const Topic &topic,
                                          const std::vector<std::string> &params) {
    return canonical_params(topic, params);
}

bool HubLoop::add_interest(Interest interest, uint64_t instance_key, uint64_t topic_key) {
    if (!pg::add_interest(interest, instance_key))
        return false;
    if (pg::add_interest(interest, topic_key))
        return true;
    pg::remove_interest(interest, instance_key);
    return false;
}

void HubLoop::remove_interest(Interest interest, uint64_t instance_key, uint64_t topic_key) {
    pg::remove_interest(interest, instance_key);
    pg::remove_interest(interest, topic_key);
}

void HubLoop::clear_changed(uint64_t instance_key, uint64_t topic_key) {
    pg::clear_changed(instance_key);
    pg::clear_changed(topic_key);
}

bool HubLoop::logs_events() const {
    return message_level_is_interesting(event_log_level);
}

void HubLoop::log_event(const std::string &line) {
    report(event_log_level, line);
}

// Lines that differ in numbers only are of one problem.
void HubLoop::log_warning(const std::string &line) {
    std::string problem = line;
    std::erase_if(problem, [](char c) { return c >= '0' && c <= '9'; });
    complain(problem, WARNING, line, {}, kMostLines);
}

bool HubLoop::complain(const std::string &problem, int level, const std::string &message,
                       const std::string &hint, uint64_t most) {
    std::optional<uint64_t> left_out = complaints_.admit(problem, read_clock().steady_ms, most);
    if (!left_out)
        return false;
    std::string count = std::to_string(*left_out);
    report(level,
           *left_out == 0 ? message : message + " (" + count + " lines like this were left out)",
           hint);
    return true;
}

} // namespace rtd::pg
