#include "core/utf8.h"

#include <cstdint>

namespace rtd {

namespace {

bool is_continuation(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

// The length of the character that `text` begins with, 0 if it does not begin with one.
size_t character_bytes(std::string_view text) {
    auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    uint8_t lead = at(0);
    if (lead < 0x80)
        return 1;
    size_t size = lead >= 0xc2 && lead <= 0xdf   ? 2
                  : lead >= 0xe0 && lead <= 0xef ? 3
                  : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                 : 0;
    if (size == 0 || size > text.size())
        return 0;
    for (size_t i = 1; i < size; i++)
        if (!is_continuation(at(i)))
            return 0;
    bool overlong = (lead == 0xe0 && at(1) < 0xa0) || (lead == 0xf0 && at(1) < 0x90);
    bool surrogate = lead == 0xed && at(1) > 0x9f;
    bool too_high = lead == 0xf4 && at(1) > 0x8f;
    return overlong || surrogate || too_high ? 0 : size;
}

} // namespace

bool is_valid_utf8(std::string_view text) {
    while (!text.empty()) {
        size_t size = character_bytes(text);
        if (size == 0)
            return false;
        text.remove_prefix(size);
    }
    return true;
}

std::string_view truncate_utf8(std::string_view text, size_t max_bytes) {
    if (text.size() <= max_bytes)
        return text;
    size_t size = max_bytes;
    while (size > 0 && is_continuation(static_cast<uint8_t>(text[size])))
        size--;
    return text.substr(0, size);
}

} // namespace rtd
