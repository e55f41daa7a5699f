// An event says that something happened to a topic: a watched row changed, a message was broadcast,
// a notification or a file event came in, or somebody said "refresh". Backends make events, the
// event queue carries them encoded, the hub's router decides what each means for which instance.
#pragma once
#include "core/fence.h"
#include "core/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtd {

enum class EventKind : uint8_t {
    change,    // something a topic depends on changed; payload says what (a JSON object)
    broadcast, // payload is a message's data (any JSON)
    refresh,   // "it changed", without a payload
    lost,      // events of the topic were dropped; payload is an object with the reason
    stored,    // a message of a durable topic; payload says which row of rtd_message it is
    moved,     // what queries depend on was defined anew: all are asked again; of no topic
    probe,     // proves that the event queue is alive; origin carries the nonce
};

struct Event {
    EventKind kind = EventKind::change;
    std::string topic;
    // One element per parameter of the topic; nullopt matches every value, so an event of which a
    // parameter is unknown reaches all instances that agree in the others. Empty for a topic with
    // parameters means all its instances.
    std::vector<std::optional<std::string>> params;
    // For a keyed topic: the values of its key columns as text, which say the row that may have
    // changed. Empty: anything may have.
    std::vector<std::string> key;
    std::string origin;  // for the log: the table, channel or path the event came from
    std::string type;    // message type, or empty for the topic's own
    std::string source;  // "event", "poll" or "sync"; empty means "event"
    std::string payload; // JSON text, UTF-8, or empty (only `refresh`, `moved` and `probe`)
    // Of the topic when the key was taken from the row: under another definition it is another one.
    uint64_t version = 0;
    // Of a topic without a query: the texts of those parameters that are matched by something else.
    // Where one is empty or missing, the parameter is the text.
    std::vector<std::string> shown = {};
};

// A row of rtd_message, as the payload of an event says it.
struct StoredRow {
    uint64_t id = 0;
    uint64_t bytes = 0;    // of its data
    bool for_many = false; // a parameter is unknown: it is for every instance that matches
};
std::string stored_payload(StoredRow row);
StoredRow stored_row(const Event &event); // only of kind `stored`
// It has parameters that are not known.
bool is_for_many(const Event &event);

std::string encode(const Event &event);
Result<Event> decode_event(std::string_view bytes);

// Interest keys: what "does anyone care?" is asked with. A 64-bit FNV-1a hash of topic and
// parameters; an equal hash of two instances costs a needless event, never a lost one.
uint64_t topic_key(std::string_view topic);
uint64_t instance_key(std::string_view topic, const std::vector<std::string> &params);
// The key of the narrowest interest that covers the event: its instance, or its topic if a
// parameter is unknown.
uint64_t interest_key(const Event &event);

} // namespace rtd
