// The envelope: the JSON object every message is. See docs/PROTOCOL.md.
#pragma once
#include "core/fence.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtd {

struct Envelope {
    std::string_view type = {};
    std::string_view data = {}; // JSON text, spliced in as it is
    int64_t timestamp_us = 0;
    std::string_view source = {};
    std::string_view topic = {};                      // empty: null, of no topic
    const std::vector<std::string> *params = nullptr; // nullptr: []
    std::string_view id = {};                         // empty: null, cannot be resumed from
    std::string_view kind = {};
};

std::string to_json(const Envelope &envelope);

// Type of a message that tells of a gap.
inline constexpr std::string_view kGapType = "rtd_gap";

// The type in what to_json() made.
std::string_view type_of(std::string_view body);

// A message's id is <epoch>-<sequence>.
struct MessageId {
    uint64_t epoch = 0;
    uint64_t sequence = 0;
};
std::string message_id(uint64_t epoch, uint64_t sequence);
std::optional<MessageId> parse_message_id(std::string_view text);
// An id that no message ever has: resuming from it is a fresh start that begins with a gap, where
// messages may have been missed. ("0-0" is that of a gap before the first message.)
inline constexpr std::string_view kForeignId = "0-1";
inline constexpr std::string_view kBadSince =
    "since must be the id of a message, <epoch>-<sequence>";

// A member behind the data of what to_json() made, as text; "" if there is none. The data is not
// read: it may hold what JSON allows and a parser does not, such as integers of any length.
std::string tail_member(std::string_view body, const char *name);
// Whether valid JSON is what to_json() made of a message of this topic, as far as its form tells.
bool is_message_of(std::string_view body, std::string_view topic);

// The message with another id. `message` is what to_json() made.
std::string with_id(std::string message, std::string_view old_id, std::string_view id);
// The message with other parameters.
std::string with_params(std::string message, const std::vector<std::string> &params);

// 2026-11-21T05:14:40.123456+00:00
std::string iso_timestamp(int64_t wall_us);
// The value of the named member of a JSON object as text; "" if there is
// none. It reads the whole object: not for every message.
std::string json_member(std::string_view object, const char *name);
// The same for the value of the second member, which in a change's payload is the key.
std::string json_second_member(std::string_view object);

// The elements of a JSON array of strings.
std::vector<std::string> json_strings(std::string_view array);

} // namespace rtd
