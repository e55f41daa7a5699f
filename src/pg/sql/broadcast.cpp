// rtd_broadcast() and rtd_refresh(): events that SQL makes itself. Runs in backends, and in query
// workers for what clients publish.
#include "pg/sql/broadcast.h"
#include "pg/sql/topic_declaration.h"

#include "pg/registry/topic_cache.h"
#include "pg/server/settings.h"
#include "pg/shared/interest.h"
#include "pg/writer/durable_event.h"
#include "pg/writer/pending_events.h"
#include "router/event.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/jsonb.h"
}

namespace rtd::pg {

namespace {

void check_size(const std::string &data) {
    size_t max_bytes = static_cast<size_t>(max_message_kilobytes) * 1024;
    if (data.size() > max_bytes)
        throw Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                    "message of " + std::to_string(data.size()) + " bytes is too large",
                    "rtd.max_message_size allows " + std::to_string(max_bytes) + " bytes.");
}

void check_source(const std::string &source) {
    if (source != "event" && source != "poll" && source != "sync")
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                    "source must be 'event', 'poll' or 'sync', not \"" + source + "\"");
}

void check_may_be_at_once(const Topic &topic, const Broadcast &message) {
    if (topic.is_durable && !message.transactional)
        throw Error(ERRCODE_FEATURE_NOT_SUPPORTED,
                    "a message of durable topic \"" + topic.name + "\" cannot be sent at once",
                    "The transaction writes it to rtd_message, and may be rolled back.",
                    "Leave out transactional => false, or use a topic that is not durable.");
}

int64 broadcast(const Arguments &arguments) {
    Broadcast message;
    message.topic = arguments.needed_text(0, "the topic");
    message.data = arguments.has(1) ? jsonb_text(arguments.datum(1)) : "null";
    message.params = arguments.texts(2).value_or(TextList{});
    message.type = arguments.text(3).value_or("");
    message.source = arguments.text(4).value_or("event");
    message.transactional = arguments.boolean(5, true);
    return broadcast(arguments.function(), message);
}

void refresh(const Arguments &arguments) {
    std::string name = arguments.needed_text(0, "the topic");
    std::shared_ptr<const Topic> topic = topic_to_publish_to(arguments.function(), name);
    if (!topic->has_query())
        throw Error(ERRCODE_WRONG_OBJECT_TYPE, "topic \"" + name + "\" has no query to refresh", {},
                    "Send an event topic's messages with rtd_broadcast().");
    Event event;
    event.kind = EventKind::refresh;
    event.topic = name;
    event.origin = "rtd_refresh";
    std::vector<std::string> marked = {"refresh"};
    if (std::optional<TextList> params = arguments.texts(1)) {
        std::vector<std::string> instance = checked_instance(*topic, *params).name();
        event.params.assign(instance.begin(), instance.end());
        marked.insert(marked.end(), instance.begin(), instance.end());
    }
    event.source = "event";
    if (hub_is_reachable() && !collapse_pending(instance_key(name, marked)))
        // Even if a change is known: it ends a backoff.
        add_pending(event, topic->is_keyed() ? Delivery::keyed_change : Delivery::if_subscribed);
}

} // namespace

std::string jsonb_text(Datum jsonb) {
    return to_utf8(call([&] {
        Jsonb *value = DatumGetJsonbP(jsonb);
        return static_cast<const char *>(
            JsonbToCString(nullptr, &value->root, static_cast<int>(VARSIZE(value))));
    }));
}

int64 broadcast(Oid function, const Broadcast &message) {
    std::shared_ptr<const Topic> topic = topic_to_publish_to(function, message.topic);
    InstanceParams params = checked_instance(*topic, message.params);
    const std::vector<std::string> &instance = params.name();
    if (!message.type.empty())
        check_message_type(message.type);
    check_source(message.source);
    check_size(message.data);
    check_may_be_at_once(*topic, message);
    if (!topic->is_durable && !hub_is_reachable())
        return 0;
    Event event;
    event.kind = EventKind::broadcast;
    event.topic = message.topic;
    event.origin = "rtd_broadcast";
    event.params.assign(instance.begin(), instance.end());
    if (!params.match.empty() && !topic->has_query())
        event.shown = params.texts;
    event.type = message.type;
    event.source = message.source;
    event.payload = message.data;
    Delivery delivery =
        !topic->has_query() && topic->retain ? Delivery::always : Delivery::if_subscribed;
    if (topic->is_durable)
        add_durable(Registry(function), event);
    else if (message.transactional)
        add_pending(event, delivery);
    else
        publish_now(event, delivery);
    return subscriber_count(instance_key(message.topic, instance));
}

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
