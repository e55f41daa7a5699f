#include "core/log_text.h"

#include "core/utf8.h"

namespace rtd {

std::string printable(std::string_view text, size_t max_bytes) {
    bool is_utf8 = is_valid_utf8(text);
    text = is_utf8 ? truncate_utf8(text, max_bytes) : text.substr(0, max_bytes);
    std::string line(text);
    for (size_t i = 0; i < line.size(); i++) {
        auto c = static_cast<unsigned char>(line[i]);
        if (c < 0x20 || c == 0x7f || (c >= 0x80 && !is_utf8))
            line[i] = '?';
        // U+0080 to U+009F are control characters as well.
        bool is_c1 = is_utf8 && c == 0xc2 && static_cast<unsigned char>(line[i + 1]) < 0xa0;
        if (is_c1)
            line.replace(i, 2, "?");
    }
    return line;
}

} // namespace rtd
