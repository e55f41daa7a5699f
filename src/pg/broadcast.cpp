// rtd_broadcast() and rtd_refresh(): events that SQL makes itself. Runs in backends.
#include "core/event.h"
#include "pg/durable_event.h"
#include "pg/interest.h"
#include "pg/pending_events.h"
#include "pg/settings.h"
#include "pg/topic_cache.h"

#include "pg/prelude.h"

extern "C" {
#include "utils/jsonb.h"
}

namespace rtd::pg {

namespace {

std::string checked_data(const Arguments &arguments, int index) {
    if (!arguments.has(index))
        return "null";
    const char *json = call([&] {
        Jsonb *value = DatumGetJsonbP(arguments.datum(index));
        return static_cast<const char *>(
            JsonbToCString(nullptr, &value->root, static_cast<int>(VARSIZE(value))));
    });
    std::string data = to_utf8(json);
    size_t max_bytes = static_cast<size_t>(max_message_kilobytes) * 1024;
    if (data.size() > max_bytes)
        throw Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                    "message of " + std::to_string(data.size()) + " bytes is too large",
                    "rtd.max_message_size allows " + std::to_string(max_bytes) + " bytes.");
    return data;
}

std::string checked_source(const Arguments &arguments, int index) {
    std::string source = arguments.text(index).value_or("event");
    if (source != "event" && source != "poll" && source != "sync")
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                    "source must be 'event', 'poll' or 'sync', not \"" + source + "\"");
    return source;
}

int64 broadcast(const Arguments &arguments) {
    std::string name = arguments.needed_text(0, "the topic");
    std::shared_ptr<const Topic> topic = topic_to_publish_to(arguments.function(), name);
    std::vector<std::string> instance =
        checked_instance(*topic, arguments.texts(2).value_or(TextList{}));
    Event event;
    event.kind = EventKind::broadcast;
    event.topic = name;
    event.origin = "rtd_broadcast";
    event.params.assign(instance.begin(), instance.end());
    event.type = arguments.text(3).value_or("");
    if (!event.type.empty())
        check_message_type(event.type);
    event.source = checked_source(arguments, 4);
    event.payload = checked_data(arguments, 1);
    bool is_transactional = arguments.boolean(5, true);
    if (topic->is_durable && !is_transactional)
        throw Error(ERRCODE_FEATURE_NOT_SUPPORTED,
                    "a message of durable topic \"" + name + "\" cannot be sent at once",
                    "The transaction writes it to rtd_message, and may be rolled back.",
                    "Leave out transactional => false, or use a topic that is not durable.");
    if (topic->is_durable) {
        add_durable(Registry(arguments.function()), event);
        return subscriber_count(instance_key(name, instance));
    }
    if (!hub_is_reachable())
        return 0;
    Delivery delivery =
        !topic->is_state && topic->retain ? Delivery::always : Delivery::if_subscribed;
    if (is_transactional)
        add_pending(event, delivery);
    else
        publish_now(event, delivery);
    return subscriber_count(instance_key(name, instance));
}

void refresh(const Arguments &arguments) {
    std::string name = arguments.needed_text(0, "the topic");
    std::shared_ptr<const Topic> topic = topic_to_publish_to(arguments.function(), name);
    if (!topic->is_state)
        throw Error(ERRCODE_WRONG_OBJECT_TYPE, "topic \"" + name + "\" has no query to refresh", {},
                    "Send an event topic's messages with rtd_broadcast().");
    Event event;
    event.kind = EventKind::refresh;
    event.topic = name;
    event.origin = "rtd_refresh";
    std::vector<std::string> marked = {"refresh"};
    if (std::optional<TextList> params = arguments.texts(1)) {
        std::vector<std::string> instance = checked_instance(*topic, *params);
        event.params.assign(instance.begin(), instance.end());
        marked.insert(marked.end(), instance.begin(), instance.end());
    }
    event.source = "event";
    if (hub_is_reachable() && !collapse_pending(instance_key(name, marked)))
        add_pending(event, Delivery::if_subscribed); // even if a change is known: it ends a backoff
}

} // namespace

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_broadcast) {
    return enter([&]() -> Datum { return Int64GetDatum(broadcast(Arguments(fcinfo))); });
}

RTD_FUNCTION(rtd_refresh) {
    return enter([&]() -> Datum {
        refresh(Arguments(fcinfo));
        return 0;
    });
}
