#include "gateway/session/sse_format.h"

#include <algorithm>

namespace rtd {

std::string event_stream_event(std::string_view body, std::string_view id, std::string_view event) {
    std::string text;
    text.reserve(body.size() + id.size() + event.size() + 32);
    if (!id.empty())
        text.append("id: ").append(id).append("\n");
    if (!event.empty())
        text.append("event: ").append(event).append("\n");
    text.append("data: ");
    size_t start = text.size();
    text.append(body);
    // A line end would end the event; in JSON it can only be space between tokens.
    std::replace_if(
        text.begin() + static_cast<ptrdiff_t>(start), text.end(),
        [](char c) { return c == '\n' || c == '\r'; }, ' ');
    text.append("\n\n");
    return text;
}

} // namespace rtd
