// The events of a topic without parameters; see repeated_event.h.
#include "router/repeated_event.h"

#include "core/bytes.h"

#include <algorithm>
#include <utility>

namespace rtd {

namespace {

// What a large payload leaves behind is given back.
constexpr size_t kKeptBytes = 1 << 14;

std::string counted(std::string_view payload) {
    ByteWriter writer;
    writer.put(payload);
    return writer.take();
}

} // namespace

// Where the payload is, another one tells: up to there two encodings are equal.
RepeatedEvent::RepeatedEvent(Event event) {
    event.payload = "a";
    prepared_ = prepare(event);
    event.payload = "b";
    std::string other = encode(event);
    auto differs = std::ranges::mismatch(prepared_.bytes, other).in1 - prepared_.bytes.begin();
    before_ = static_cast<size_t>(differs) + 1 - counted("a").size();
    after_ = prepared_.bytes.substr(static_cast<size_t>(differs) + 1);
}

const PreparedEvent &RepeatedEvent::with(std::string_view payload) {
    std::string &bytes = prepared_.bytes;
    bytes.resize(before_);
    if (bytes.capacity() > kKeptBytes && payload.size() < kKeptBytes)
        bytes.shrink_to_fit();
    auto size = static_cast<uint32_t>(payload.size());
    for (size_t i = 0; i < sizeof size; i++)
        bytes += static_cast<char>(size >> (8 * i));
    bytes += payload;
    bytes += after_;
    return prepared_;
}

} // namespace rtd
