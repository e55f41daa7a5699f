#include "pg/writer/durable_event.h"

#include "core/envelope.h"
#include "pg/store/message_slot.h"
#include "pg/writer/pending_events.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

Value time_value(TimestampTz time) {
    return {TIMESTAMPTZOID, TimestampTzGetDatum(time), false};
}

// Its text is JSON already: made by us, or checked as jsonb.
Value json_value(const std::string &text) {
    Value value = text_value(text);
    value.type = JSONOID;
    return value;
}

StoredRow insert(const Registry &registry, const Event &event) {
    TimestampTz now = GetCurrentTimestamp();
    std::optional<std::string> type;
    if (event.kind == EventKind::lost)
        type = kGapType;
    else if (!event.type.empty())
        type = event.type;
    Rows inserted = registry.append(
        "INSERT INTO @.rtd_message (slot, topic, params, type, source, data, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        {integer_value(message_slot(now)), text_value(event.topic), texts_value(event.params),
         text_value(type), text_value(event.source.empty() ? "event" : event.source),
         json_value(event.payload), time_value(now)});
    StoredRow row;
    row.id = std::stoull(inserted.rows.at(0).at(0).text.value());
    row.bytes = event.payload.size();
    row.for_many = is_for_many(event);
    return row;
}

} // namespace

void add_durable(const Registry &registry, const Event &event) {
    Event stored;
    stored.kind = EventKind::stored;
    stored.topic = event.topic;
    stored.origin = event.origin;
    stored.payload = stored_payload(insert(registry, event));
    hub_is_reachable(); // warns; the row waits for a hub
    add_pending(stored, Delivery::stored);
}

} // namespace rtd::pg
