// What the router asks of the process it runs in: see router/router_host.h. Runs in the hub.
#include "pg/hub/hub_loop.h"

#include "pg/hub/hub_params.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/server/worker_transaction.h"
#include "pg/shared/interest.h"
#include "pg/store/message_store.h"
#include "pg/store/retained.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

std::optional<link::Ended> HubLoop::refuse(const Identity &identity, const Topic *topic) {
    return access_.refuse(catalog_, identity, topic);
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

Result<std::optional<std::string>> HubLoop::load_retained(const std::string &topic,
                                                          const std::vector<std::string> &params) {
    std::optional<std::string> message;
    try {
        in_transaction([&] { message = pg::load_retained(catalog_.schema, topic, params); });
    } catch (const Error &error) {
        report(WARNING, "rtd hub could not read a retained message: " + error.message());
        return Problem{error.message()};
    }
    return message;
}

std::optional<ReadOutcome> HubLoop::read_messages(const ReadJob &job) {
    std::optional<ReadOutcome> outcome;
    try {
        in_transaction([&] { outcome = pg::read_messages(catalog_.schema, job); });
    } catch (const Error &error) {
        report(WARNING, "rtd hub could not read durable messages: " + error.message());
        return std::nullopt;
    }
    return outcome;
}

bool HubLoop::logs_events() const {
    return message_level_is_interesting(event_log_level);
}

void HubLoop::log_event(const std::string &line) {
    report(event_log_level, line);
}

void HubLoop::log_warning(const std::string &line) {
    report(WARNING, line);
}

} // namespace rtd::pg
