// The envelope: the JSON object every message is. See docs/PROTOCOL.md.
#pragma once
#include "core/fence.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rtd {

struct Envelope {
    std::string_view type = {};
    std::string_view data = {}; // JSON text, spliced in as it is
    int64_t timestamp_us = 0;
    std::string_view source = {};
    std::string_view topic = {};
    const std::vector<std::string> *params = nullptr;
    std::string_view id = {};
    std::string_view kind = {};
};

std::string to_json(const Envelope &envelope);

std::string message_id(uint64_t epoch, uint64_t sequence);

// 2026-11-21T05:14:40.123456+00:00
std::string iso_timestamp(int64_t wall_us);
// The value of the named member of a JSON object as text; "" if there is
// none. For log lines only.
std::string json_member(std::string_view object, const char *name);
// The same for the value of the second member, which in a change's payload is the key.
std::string json_second_member(std::string_view object);

// The elements of a JSON array of strings.
std::vector<std::string> json_strings(std::string_view array);

} // namespace rtd
