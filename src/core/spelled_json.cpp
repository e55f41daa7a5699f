#include "core/spelled_json.h"

#include "core/utf8.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace rtd {

namespace {

constexpr size_t kEscapeBytes = 6; // \u0000

bool is_of_number(char c) {
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

// The code unit of an escape \uXXXX at the beginning of `text`.
std::optional<unsigned> code_unit(std::string_view text) {
    if (text.size() < kEscapeBytes || text[0] != '\\' || text[1] != 'u')
        return std::nullopt;
    unsigned unit = 0;
    for (char c : text.substr(2, 4)) {
        if (c >= '0' && c <= '9')
            unit = unit * 16 + static_cast<unsigned>(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            unit = unit * 16 + static_cast<unsigned>((c | 0x20) - 'a' + 10);
        else
            return std::nullopt;
    }
    return unit;
}

bool is_high(std::optional<unsigned> unit) {
    return unit && *unit >= 0xd800 && *unit <= 0xdbff;
}
bool is_low(std::optional<unsigned> unit) {
    return unit && *unit >= 0xdc00 && *unit <= 0xdfff;
}

class Speller {
  public:
    Speller(std::string_view json, bool (*fits)(std::string_view)) : json_(json), fits_(fits) {}

    SpelledJson spell() {
        spelled_.text.reserve(json_.size() + 64);
        while (at_ < json_.size())
            take_token();
        return std::move(spelled_);
    }

  private:
    struct Level { // of nesting
        bool is_array;
        size_t index = 0;
        std::string_view key = {}; // of an object's current member, as it is written
        bool awaits_key = false;
    };

    void take_token() {
        char c = json_[at_];
        if (c == '"')
            return take_string();
        if (c == '-' || (c >= '0' && c <= '9'))
            return take_number();
        if (c == '[' || c == '{')
            levels_.push_back({c == '[', 0, {}, c == '{'});
        else if ((c == ']' || c == '}') && !levels_.empty())
            levels_.pop_back();
        else if (c == ',' && !levels_.empty()) {
            levels_.back().index++;
            levels_.back().awaits_key = !levels_.back().is_array;
        }
        copy(1);
    }

    void take_number() {
        size_t end = at_;
        while (end < json_.size() && is_of_number(json_[end]))
            end++;
        std::string_view number = json_.substr(at_, end - at_);
        if (fits_(number))
            return copy(number.size());
        note();
        spelled_.text += '"';
        copy(number.size());
        spelled_.text += '"';
    }

    void take_string() {
        size_t begin = at_ + 1;
        bool is_key = !levels_.empty() && levels_.back().awaits_key;
        bool is_altered = false;
        copy(1);
        while (at_ < json_.size() && json_[at_] != '"')
            is_altered |= take_piece();
        if (is_key) {
            levels_.back().key = json_.substr(begin, at_ - begin);
            levels_.back().awaits_key = false;
        }
        if (is_altered)
            note();
        copy(std::min<size_t>(1, json_.size() - at_));
    }

    // Of a string, up to the next escape or with it. True if it had to be spelled out.
    bool take_piece() {
        if (json_[at_] != '\\') {
            copy(std::min(json_.find_first_of("\"\\", at_), json_.size()) - at_);
            return false;
        }
        std::optional<unsigned> unit = code_unit(json_.substr(at_));
        if (!unit) { // another escape
            copy(std::min<size_t>(2, json_.size() - at_));
            return false;
        }
        if (is_high(unit) && is_low(code_unit(json_.substr(at_ + kEscapeBytes)))) {
            copy(2 * kEscapeBytes);
            return false;
        }
        bool is_refused = *unit == 0 || is_high(unit) || is_low(unit);
        if (is_refused)
            spelled_.text += '\\';
        copy(kEscapeBytes);
        return is_refused;
    }

    void copy(size_t size) {
        spelled_.text.append(json_.substr(at_, size));
        at_ += size;
    }

    void note() {
        if (spelled_.altered++ > 0)
            return;
        constexpr size_t kMaxWhereBytes = 200;
        spelled_.where = "$";
        for (const Level &level : levels_) {
            if (level.is_array)
                spelled_.where += "[" + std::to_string(level.index) + "]";
            else
                spelled_.where.append(".").append(level.key);
            if (spelled_.where.size() > kMaxWhereBytes) {
                spelled_.where = std::string(truncate_utf8(spelled_.where, kMaxWhereBytes)) + "...";
                return;
            }
        }
    }

    std::string_view json_;
    bool (*fits_)(std::string_view);
    size_t at_ = 0;
    std::vector<Level> levels_;
    SpelledJson spelled_;
};

} // namespace

SpelledJson spell_out(std::string_view json, bool (*fits)(std::string_view number)) {
    return Speller(json, fits).spell();
}

} // namespace rtd
