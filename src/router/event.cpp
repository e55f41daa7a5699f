#include "router/event.h"

#include "core/fields.h"

#include <algorithm>
#include <charconv>

namespace rtd {

namespace {

// The kind and the counts before strings and parameters.
constexpr size_t kFixedBytes = sizeof(EventKind) + sizeof(uint64_t) + 8 * sizeof(uint32_t);

} // namespace

template <class IO> void fields(IO &io, Event &event) {
    io.choice(event.kind, EventKind::probe);
    io(event.topic);
    io(event.params);
    io(event.shown);
    io(event.key);
    io(event.origin);
    io(event.type);
    io(event.source);
    io(event.payload);
    io(event.version);
}

std::string stored_payload(StoredRow row) {
    return std::to_string(row.id) + ' ' + std::to_string(row.bytes) + (row.for_many ? " *" : "");
}

StoredRow stored_row(const Event &event) {
    StoredRow row;
    const char *end = event.payload.data() + event.payload.size();
    auto id = std::from_chars(event.payload.data(), end, row.id);
    if (id.ptr != end)
        std::from_chars(id.ptr + 1, end, row.bytes);
    row.for_many = event.payload.ends_with('*');
    return row;
}

bool is_for_many(const Event &event) {
    return std::ranges::any_of(event.params, [](const auto &param) { return !param; });
}

std::string encode(const Event &event) {
    return encode_fields(event, kFixedBytes + event.topic.size() + event.origin.size() +
                                    event.type.size() + event.source.size() + event.payload.size());
}

Result<Event> decode_event(std::string_view bytes) {
    Event event;
    if (!decode_fields(bytes, event))
        return Problem{"malformed event in the event queue"};
    return event;
}

namespace {

// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
constexpr uint64_t kFnvOffset = 14695981039346656037ULL;
constexpr uint64_t kFnvPrime = 1099511628211ULL;

uint64_t hash_part(uint64_t hash, std::string_view part) {
    for (char c : part)
        hash = (hash ^ static_cast<uint8_t>(c)) * kFnvPrime;
    return (hash ^ 0xff) *
           kFnvPrime; // 0xff never occurs in UTF-8: ("a","bc") differs from ("ab","c")
}

uint64_t never_zero(uint64_t hash) {
    return hash == 0 ? 1 : hash;
} // 0 marks a free slot

} // namespace

uint64_t topic_key(std::string_view topic) {
    return never_zero(hash_part(kFnvOffset, topic) * kFnvPrime);
}

uint64_t instance_key(std::string_view topic, const std::vector<std::string> &params) {
    uint64_t hash = hash_part(kFnvOffset, topic);
    for (const std::string &param : params)
        hash = hash_part(hash, param);
    return never_zero(hash);
}

uint64_t interest_key(const Event &event) {
    if (event.params.empty())
        return topic_key(event.topic);
    uint64_t hash = hash_part(kFnvOffset, event.topic);
    for (const std::optional<std::string> &param : event.params) {
        if (!param)
            return topic_key(event.topic);
        hash = hash_part(hash, *param);
    }
    return never_zero(hash);
}

} // namespace rtd
