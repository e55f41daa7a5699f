#include "gateway/websocket/json_object.h"

#include <algorithm>
#include <cstdint>

namespace rtd {

namespace {

constexpr int kMaxDepth = 512; // PostgreSQL's own limit is its stack, and depends on the machine

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// -1 for what is no hexadecimal digit.
int hex_value(char c) {
    if (is_digit(c))
        return c - '0';
    char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Walks over JSON text, by the grammar of RFC 8259. Each skip function is false where the text does
// not go on as it should.
class Scanner {
  public:
    explicit Scanner(std::string_view text) : text_(text) {}

    size_t position() const { return at_; }
    bool at_end() const { return at_ == text_.size(); }
    std::string_view since(size_t start) const { return text_.substr(start, at_ - start); }

    void skip_space() {
        while (!at_end() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos)
            at_++;
    }
    bool skip(char c) {
        if (at_end() || text_[at_] != c)
            return false;
        at_++;
        return true;
    }
    bool skip_value(int depth = 0) {
        if (at_end() || depth > kMaxDepth)
            return false;
        switch (text_[at_]) {
        case '"':
            return skip_string();
        case '{':
            return skip_list('{', '}', [&] { return skip_member(depth); });
        case '[':
            return skip_list('[', ']', [&] { return skip_value(depth + 1); });
        case 't':
            return skip_word("true");
        case 'f':
            return skip_word("false");
        case 'n':
            return skip_word("null");
        }
        return skip_number();
    }
    // `skip_item` walks over one item; between them are commas.
    template <class SkipItem> bool skip_list(char open, char close, SkipItem skip_item) {
        if (!skip(open))
            return false;
        skip_space();
        if (skip(close))
            return true;
        while (true) {
            skip_space();
            if (!skip_item())
                return false;
            skip_space();
            if (skip(close))
                return true;
            if (!skip(','))
                return false;
        }
    }
    bool skip_string() {
        if (!skip('"'))
            return false;
        while (!at_end()) {
            char c = text_[at_++];
            if (c == '"')
                return true;
            if (static_cast<unsigned char>(c) < 0x20 || (c == '\\' && !skip_escape()))
                return false;
        }
        return false;
    }

  private:
    bool skip_member(int depth) {
        if (!skip_string())
            return false;
        skip_space();
        if (!skip(':'))
            return false;
        skip_space();
        return skip_value(depth + 1);
    }
    bool skip_escape() {
        if (at_end())
            return false;
        char c = text_[at_++];
        if (c != 'u')
            return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
        for (int i = 0; i < 4; i++, at_++)
            if (at_end() || hex_value(text_[at_]) < 0)
                return false;
        return true;
    }
    bool skip_word(std::string_view word) {
        if (!text_.substr(at_).starts_with(word))
            return false;
        at_ += word.size();
        return true;
    }
    bool skip_digits() {
        size_t start = at_;
        while (!at_end() && is_digit(text_[at_]))
            at_++;
        return at_ > start;
    }
    bool skip_number() {
        skip('-');
        if (!skip('0') && !skip_digits())
            return false;
        if (skip('.') && !skip_digits())
            return false;
        if (skip('e') || skip('E')) {
            if (!skip('+'))
                skip('-');
            return skip_digits();
        }
        return true;
    }

    std::string_view text_;
    size_t at_ = 0;
};

void append_utf8(std::string &out, uint32_t c) {
    auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | c >> 6);
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3f));
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

// The four digits at `at`, which are there.
uint32_t hex4(std::string_view text, size_t at) {
    uint32_t value = 0;
    for (size_t i = at; i < at + 4; i++)
        value = value * 16 + static_cast<uint32_t>(hex_value(text[i]));
    return value;
}

bool is_high_surrogate(uint32_t c) {
    return c >= 0xd800 && c < 0xdc00;
}
bool is_low_surrogate(uint32_t c) {
    return c >= 0xdc00 && c < 0xe000;
}

// The character of the escape whose `u` is at `at`, which is moved to its last digit; 0 for what is
// no character.
uint32_t take_unicode_escape(std::string_view text, size_t &at) {
    uint32_t c = hex4(text, at + 1);
    at += 4;
    if (is_low_surrogate(c))
        return 0;
    if (!is_high_surrogate(c))
        return c;
    if (text.substr(at + 1, 2) != "\\u" || !is_low_surrogate(hex4(text, at + 3)))
        return 0;
    uint32_t low = hex4(text, at + 3);
    at += 6;
    return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

} // namespace

Result<std::vector<JsonMember>> split_json_object(std::string_view text) {
    Scanner scanner(text);
    std::vector<JsonMember> members;
    auto take_member = [&] {
        size_t start = scanner.position();
        if (!scanner.skip_string())
            return false;
        std::optional<std::string> name = json_string(scanner.since(start));
        scanner.skip_space();
        if (!name || !scanner.skip(':'))
            return false;
        scanner.skip_space();
        start = scanner.position();
        if (!scanner.skip_value())
            return false;
        members.push_back({std::move(*name), scanner.since(start)});
        return true;
    };
    scanner.skip_space();
    bool is_object = scanner.skip_list('{', '}', take_member);
    scanner.skip_space();
    if (!is_object || !scanner.at_end())
        return Problem{"the message is not a JSON object"};
    return members;
}

std::optional<std::vector<std::string_view>> split_json_array(std::string_view value) {
    Scanner scanner(value);
    std::vector<std::string_view> elements;
    bool is_array = scanner.skip_list('[', ']', [&] {
        size_t start = scanner.position();
        bool is_value = scanner.skip_value();
        elements.push_back(scanner.since(start));
        return is_value;
    });
    if (!is_array)
        return std::nullopt;
    return elements;
}

std::optional<std::string> json_string(std::string_view value) {
    if (!is_json_string(value))
        return std::nullopt;
    std::string text;
    value = value.substr(1, value.size() - 2);
    for (size_t at = 0; at < value.size(); at++) {
        if (value[at] != '\\') {
            text.push_back(value[at]);
            continue;
        }
        constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
        if (value[++at] == 'u') {
            uint32_t c = take_unicode_escape(value, at);
            if (c == 0)
                return std::nullopt;
            append_utf8(text, c);
        } else {
            text.push_back(kMeanings[kEscapes.find(value[at])]);
        }
    }
    return text;
}

bool is_json_string(std::string_view value) {
    return value.starts_with('"');
}

bool is_json_integer(std::string_view value) {
    if (value.starts_with('-'))
        value.remove_prefix(1);
    return !value.empty() && std::all_of(value.begin(), value.end(), is_digit);
}

} // namespace rtd
