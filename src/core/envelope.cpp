#include "core/envelope.h"

#include "core/json_text.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>

#include <jansson.h>

namespace rtd {

namespace {

struct JsonRelease {
    void operator()(json_t *value) const { json_decref(value); }
};
using Json = std::unique_ptr<json_t, JsonRelease>;

struct TextRelease {
    void operator()(char *text) const { free(text); }
};
using Text = std::unique_ptr<char, TextRelease>;

std::optional<uint64_t> whole_number(std::string_view digits) {
    uint64_t number = 0;
    const char *end = digits.data() + digits.size();
    auto [rest, error] = std::from_chars(digits.data(), end, number);
    if (error != std::errc() || rest != end)
        return std::nullopt;
    return number;
}

constexpr std::string_view kTypeFirst = "{\"type\":";

std::string quoted_or_null(std::string_view text) {
    return text.empty() ? "null" : json_quote(text);
}

std::string as_text(const json_t *value) {
    if (json_is_string(value))
        return std::string(json_string_value(value), json_string_length(value));
    Text text(json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT));
    return text ? text.get() : "";
}

Json load(std::string_view text) {
    return Json(json_loadb(text.data(), text.size(), JSON_DECODE_ANY, nullptr));
}

} // namespace

// Digits by hand: every message has a timestamp, and snprintf() with gmtime_r() was a sixth of what
// the hub does for one.
std::string iso_timestamp(int64_t wall_us) {
    using namespace std::chrono;
    sys_time<microseconds> time{microseconds{wall_us}};
    sys_days day = floor<days>(time);
    year_month_day date{day};
    hh_mm_ss clock{time - day};
    std::string text = "0000-00-00T00:00:00.000000+00:00";
    auto put = [&](size_t end, int64_t number) {
        for (; number > 0; number /= 10)
            text[end--] = static_cast<char>('0' + number % 10);
    };
    put(3, static_cast<int>(date.year()));
    put(6, static_cast<unsigned>(date.month()));
    put(9, static_cast<unsigned>(date.day()));
    put(12, clock.hours().count());
    put(15, clock.minutes().count());
    put(18, clock.seconds().count());
    put(25, clock.subseconds().count());
    return text;
}

std::string to_json(const Envelope &envelope) {
    std::string out;
    out.reserve(envelope.data.size() + 256);
    out += kTypeFirst;
    out += json_quote(envelope.type);
    out += ",\"data\":";
    out += envelope.data.empty() ? std::string_view("null") : envelope.data;
    out += ",\"timestamp\":\"";
    out += iso_timestamp(envelope.timestamp_us);
    out += "\",\"source\":";
    out += json_quote(envelope.source);
    out += ",\"topic\":";
    out += quoted_or_null(envelope.topic);
    out += ",\"params\":";
    out += envelope.params ? json_array(*envelope.params) : "[]";
    out += ",\"id\":";
    out += quoted_or_null(envelope.id);
    out += ",\"kind\":";
    out += json_quote(envelope.kind);
    out += '}';
    return out;
}

std::string_view type_of(std::string_view body) {
    std::string_view rest = body.substr(std::min(body.size(), kTypeFirst.size() + 1));
    return rest.substr(0, rest.find('"'));
}

namespace {

// The members behind the data, as an object; null if there are none.
Json load_tail(std::string_view body) {
    constexpr std::string_view kAfterData = ",\"timestamp\":";
    size_t place = body.rfind(kAfterData); // data may have such a member, what follows it has not
    if (place == std::string_view::npos)
        return nullptr;
    return load("{" + std::string(body.substr(place + 1)));
}

} // namespace

std::string tail_member(std::string_view body, const char *name) {
    Json tail = load_tail(body);
    const json_t *member = json_object_get(tail.get(), name);
    return member != nullptr ? as_text(member) : "";
}

bool is_message_of(std::string_view body, std::string_view topic) {
    Json tail = load_tail(body);
    auto text = [&](const char *name) {
        const json_t *member = json_object_get(tail.get(), name);
        return json_is_string(member)
                   ? std::string_view(json_string_value(member), json_string_length(member))
                   : std::string_view();
    };
    // type_of() goes by the form in which to_json() writes.
    return body.starts_with(kTypeFirst) && !type_of(body).empty() && text("topic") == topic &&
           !text("kind").empty() && text("timestamp").size() == iso_timestamp(0).size() &&
           parse_message_id(text("id")) && json_is_array(json_object_get(tail.get(), "params"));
}

std::string message_id(uint64_t epoch, uint64_t sequence) {
    return std::to_string(epoch) + '-' + std::to_string(sequence);
}

std::optional<MessageId> parse_message_id(std::string_view text) {
    size_t hyphen = text.find('-');
    if (hyphen == std::string_view::npos)
        return std::nullopt;
    std::optional<uint64_t> epoch = whole_number(text.substr(0, hyphen));
    std::optional<uint64_t> sequence = whole_number(text.substr(hyphen + 1));
    if (!epoch || !sequence)
        return std::nullopt;
    return MessageId{*epoch, *sequence};
}

std::string with_id(std::string message, std::string_view old_id, std::string_view id) {
    constexpr std::string_view kName = "\"id\":\"";
    // The last one: data and parameters come before it.
    size_t place = message.rfind(std::string(kName).append(old_id) + '"');
    if (place != std::string::npos)
        message.replace(place + kName.size(), old_id.size(), id);
    return message;
}

std::string with_params(std::string message, const std::vector<std::string> &params) {
    // The last one: data comes before it, and in a string there is no bare quotation mark.
    constexpr std::string_view kName = ",\"params\":";
    size_t start = message.rfind(kName);
    size_t end = start == std::string::npos ? start : message.find("],\"id\":", start);
    if (end == std::string::npos)
        return message;
    start += kName.size();
    return message.replace(start, end + 1 - start, json_array(params));
}

std::string json_member(std::string_view object, const char *name) {
    Json value = load(object);
    const json_t *member = value ? json_object_get(value.get(), name) : nullptr;
    return member != nullptr ? as_text(member) : "";
}

std::string json_second_member(std::string_view object) {
    Json value = load(object);
    if (!json_is_object(value.get()))
        return "";
    void *member = json_object_iter(value.get()); // in the order of the text
    member = member != nullptr ? json_object_iter_next(value.get(), member) : nullptr;
    return member != nullptr ? as_text(json_object_iter_value(member)) : "";
}

std::vector<std::string> json_strings(std::string_view array) {
    std::vector<std::string> strings;
    Json value = load(array);
    for (size_t i = 0; i < json_array_size(value.get()); i++)
        strings.push_back(as_text(json_array_get(value.get(), i)));
    return strings;
}

} // namespace rtd
