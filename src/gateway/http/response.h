// HTTP responses as bytes: heads, whole answers, and what answers an upgrade to a WebSocket.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/refusal_reason.h"

#include <optional>
#include <string>
#include <string_view>

namespace rtd::net {

// Header lines.
inline constexpr std::string_view kNoStore = "Cache-Control: no-store\r\n";
inline constexpr std::string_view kComeBack = "Retry-After: 1\r\n";

struct Answer {
    int status = 200;
    std::string content_type = "application/json";
    std::string body = {};
    std::string headers = {};                 // further header lines, each with its end of line
    std::string sentence = {};                // of an error
    std::optional<RefusalReason> reason = {}; // why it refuses, for the log
};

// The whole response. The connection is closed after it: a request head is read by us only once.
std::string render(const Answer &answer, bool with_body);
// The head alone, for a body of that many bytes that is written by itself.
std::string render_head(const Answer &answer, size_t body_bytes);

// What a WebSocket begins with.
struct Upgrade {
    std::string key;        // the client's Sec-WebSocket-Key
    std::string extensions; // what is accepted of its Sec-WebSocket-Extensions; empty: nothing
    std::string protocol;   // of its Sec-WebSocket-Protocol; empty: none was offered
};
std::string upgrade_head(const Upgrade &upgrade);

Answer error_answer(int status, std::optional<RefusalReason> reason, std::string_view sentence,
                    std::string headers = "");
// What a WebSocket would be closed with, before an answer has begun.
Answer refusal_answer(CloseCode code, std::string_view sentence, std::string headers);
Answer readiness_answer(bool ready, std::string_view detail);

} // namespace rtd::net
