#include "core/names.h"

#include <algorithm>

namespace rtd {

namespace {

bool is_name_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_kebab_case(std::string_view name) {
    bool after_letter = false; // a dash needs a letter or digit on both sides
    for (char c : name) {
        if (!is_name_letter(c) && !(c == '-' && after_letter))
            return false;
        after_letter = c != '-';
    }
    return after_letter;
}

} // namespace

Result<std::string> check_topic_name(std::string_view name) {
    if (name.empty())
        return Problem{"a topic name must not be empty"};
    if (name.size() > kMaxTopicNameBytes)
        return Problem{"a topic name must not be longer than " +
                       std::to_string(kMaxTopicNameBytes) + " bytes"};
    if (!is_kebab_case(name))
        return Problem{
            "a topic name consists of lower-case letters, digits and single dashes between them"};
    return std::string(name);
}

std::string default_message_type(std::string_view topic) {
    std::string type(topic);
    std::replace(type.begin(), type.end(), '-', '_');
    return type + "_update";
}

bool is_message_id(std::string_view text) {
    constexpr size_t kMostDigits = 20; // of a 64-bit number
    auto is_number = [](std::string_view part) {
        return !part.empty() && part.size() <= kMostDigits &&
               std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    };
    size_t dash = text.find('-');
    return dash != std::string_view::npos && is_number(text.substr(0, dash)) &&
           is_number(text.substr(dash + 1));
}

} // namespace rtd
