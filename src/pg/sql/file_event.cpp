// rtd_file_event(): a program that watches files says that one changed. Runs in backends.
#include <algorithm>
#include <iterator>

#include "pg/registry/topic_cache.h"
#include "pg/value/json_time.h"
#include "pg/writer/durable_event.h"
#include "pg/writer/pending_events.h"
#include "router/event.h"

#include "pg/server/prelude.h"

extern "C" {
#include "lib/stringinfo.h"
#include "utils/json.h"
}

namespace rtd::pg {

namespace {

const char *const kFileEvents[] = {"created", "modified", "deleted", "moved"};

const char *file_payload(const std::string &path, const std::string &what) {
    return call([&] {
        StringInfoData json;
        initStringInfo(&json);
        appendStringInfoString(&json, "{\"path\": ");
        escape_json(&json, path.c_str());
        appendStringInfo(&json, ", \"event\": \"%s\", \"timestamp\": ", what.c_str());
        append_json_timestamp(&json, GetCurrentTimestamp());
        appendStringInfoChar(&json, '}');
        return static_cast<const char *>(json.data);
    });
}

void file_event(const Arguments &arguments) {
    std::string path = arguments.needed_text(0, "the path");
    std::string what = arguments.text(1).value_or("modified");
    std::optional<std::string> name = arguments.text(2);
    if (path.empty())
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "the path must not be empty");
    bool known = std::any_of(std::begin(kFileEvents), std::end(kFileEvents),
                             [&](const char *event) { return what == event; });
    if (!known)
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "\"" + what + "\" is not a file event",
                    "File events are created, modified, deleted and moved.");
    if (!name)
        throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "a file event needs a topic",
                    "No directory is watched from which the topic could follow.",
                    "Name it: rtd_file_event(path, topic => 'workflows').");
    std::shared_ptr<const Topic> topic = topic_to_publish_to(arguments.function(), *name);
    if (!topic->is_durable && !hub_is_reachable())
        return;
    Event event;
    event.kind = EventKind::change;
    event.topic = *name;
    event.origin = to_utf8(path);
    event.source = "event";
    event.payload = to_utf8(file_payload(path, what));
    if (topic->is_durable) {
        event.params.resize(topic->parameters.size()); // all instances
        return add_durable(Registry(arguments.function()), event);
    }
    // A query runs once, however many files changed.
    if (topic->has_query() && collapse_pending(instance_key(*name, {"file"}), topic_key(*name)))
        return;
    Delivery delivery = topic->is_keyed()                      ? Delivery::keyed_change
                        : !topic->has_query() && topic->retain ? Delivery::always
                                                               : Delivery::if_subscribed;
    add_pending(event, delivery);
}

} // namespace

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_file_event) {
    return enter([&]() -> Datum {
        file_event(Arguments(fcinfo));
        return 0;
    });
}
