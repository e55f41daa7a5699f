// Server-Sent Events, as browsers read them with EventSource (HTML standard, "text/event-stream").
#pragma once
#include "core/fence.h"
#include "gateway/session/wire_message.h"

#include <string>
#include <string_view>

namespace rtd {

// One event. `id` is what the client resumes with (Last-Event-ID); empty: the one before stays.
// `event` is its name; empty: browsers call it "message". `body` is JSON.
std::string event_stream_event(std::string_view body, std::string_view id, std::string_view event);

// Ignored by clients; keeps the connection from looking idle.
inline constexpr std::string_view kEventStreamComment = ":\n\n";

} // namespace rtd
