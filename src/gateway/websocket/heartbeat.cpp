#include "gateway/websocket/heartbeat.h"

#include "core/header_text.h"
#include "gateway/websocket/client_message.h"
#include "gateway/websocket/json_object.h"

#include <algorithm>
#include <vector>

namespace rtd {

namespace {

bool is_heartbeat_word(std::string_view text) {
    return equal_ignoring_case(text, "ping") || equal_ignoring_case(text, "heartbeat");
}

bool has_lower_case(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

std::string pong(std::string_view word) {
    return has_lower_case(word) ? "pong" : "PONG";
}

std::string_view without_line_ends(std::string_view text) {
    constexpr std::string_view kBlanks = " \t\r\n";
    size_t first = text.find_first_not_of(kBlanks);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// One member says what the message is; which one depends on the library.
bool is_heartbeat_member(const JsonMember &member) {
    constexpr std::string_view kNames[] = {"action", "type", "event", "op", "cmd", "method"};
    if (std::ranges::find(kNames, member.name) == std::end(kNames))
        return false;
    std::optional<std::string> value = json_string(member.value);
    return value && is_heartbeat_word(*value);
}

} // namespace

std::optional<Heartbeat> parse_heartbeat(std::string_view text) {
    if (text.size() > kMaxHeartbeatBytes)
        return std::nullopt;
    text = without_line_ends(text);
    if (is_heartbeat_word(text))
        return Heartbeat{pong(text), "", false};
    if (text.size() > 2 && text.starts_with('"') && text.ends_with('"')) {
        std::string_view word = text.substr(1, text.size() - 2);
        if (is_heartbeat_word(word))
            return Heartbeat{"\"" + pong(word) + "\"", "", false};
    }
    if (!text.starts_with('{'))
        return std::nullopt;
    Result<std::vector<JsonMember>> members = split_json_object(text);
    if (!members || std::ranges::none_of(*members, is_heartbeat_member))
        return std::nullopt;
    Heartbeat heartbeat;
    heartbeat.is_action =
        std::ranges::find(*members, "action", &JsonMember::name) != members->end();
    auto ref = std::ranges::find(*members, "ref", &JsonMember::name);
    if (ref != members->end() && is_client_ref(ref->value))
        heartbeat.ref = ref->value;
    return heartbeat;
}

} // namespace rtd
