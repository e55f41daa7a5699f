#include "gateway/websocket/websocket_extensions.h"

#include "core/header_text.h"
#include "gateway/websocket/deflate.h"

#include <optional>
#include <vector>

namespace rtd {

namespace {

struct Parameter {
    std::string_view name;
    std::optional<std::string> value;
};

struct Offer {
    std::string_view extension;
    std::vector<Parameter> parameters;
};

// A token, or one in quotes, where a backslash stands before a character taken as it is.
std::optional<std::string> parse_value(std::string_view text) {
    std::string value(text);
    if (text.starts_with('"')) {
        if (text.size() < 2 || !text.ends_with('"'))
            return std::nullopt;
        text = text.substr(1, text.size() - 2);
        value.clear();
        for (size_t i = 0; i < text.size(); i++) {
            if (text[i] == '\\' && ++i == text.size())
                return std::nullopt;
            value += text[i];
        }
    }
    return is_token(value) ? std::optional(value) : std::nullopt;
}

std::optional<Parameter> parse_parameter(std::string_view text) {
    bool has_value = text.find('=') != std::string_view::npos;
    Parameter parameter{trim(take_until(text, "=")), std::nullopt};
    if (has_value)
        parameter.value = parse_value(trim(text));
    if (!is_token(parameter.name) || has_value != parameter.value.has_value())
        return std::nullopt;
    return parameter;
}

// Splitting at every semicolon and comma, those in quotes too, is right: a value is a token, and so
// has neither.
std::optional<Offer> parse_offer(std::string_view text) {
    bool has_parameters = text.find(';') != std::string_view::npos;
    Offer offer{trim(take_until(text, ";")), {}};
    if (!is_token(offer.extension))
        return std::nullopt;
    while (has_parameters) {
        has_parameters = text.find(';') != std::string_view::npos;
        std::optional<Parameter> parameter = parse_parameter(take_until(text, ";"));
        if (!parameter)
            return std::nullopt;
        offer.parameters.push_back(std::move(*parameter));
    }
    return offer;
}

// 8 to 15, written in no other way. 0: it is something else.
int window_bits(const std::string &value) {
    constexpr std::string_view kSizes[] = {"8", "9", "10", "11", "12", "13", "14", "15"};
    for (int i = 0; i < 8; i++)
        if (value == kSizes[i])
            return 8 + i;
    return 0;
}

// The answer that accepts the offer; nullopt declines it, as RFC 7692 (section 7) demands for
// whatever is unknown, repeated, wrong or more than we do.
std::optional<std::string> accept_deflate(const Offer &offer) {
    std::string answer = "permessage-deflate; server_no_context_takeover; "
                         "client_no_context_takeover";
    std::vector<std::string_view> seen;
    for (const auto &[name, value] : offer.parameters) {
        for (std::string_view other : seen)
            if (name == other)
                return std::nullopt;
        seen.push_back(name);
        int bits = value ? window_bits(*value) : 0;
        if (name == "server_no_context_takeover" || name == "client_no_context_takeover") {
            if (value)
                return std::nullopt;
        } else if (name == "server_max_window_bits") {
            if (bits < kDeflateWindowBits)
                return std::nullopt;
            answer += "; server_max_window_bits=" + std::to_string(kDeflateWindowBits);
        } else if (name != "client_max_window_bits" || (value && bits == 0)) {
            return std::nullopt;
        }
    }
    return answer;
}

} // namespace

Result<std::string> negotiate_websocket_extensions(std::string_view offers) {
    std::string answer;
    while (!offers.empty()) {
        std::string_view text = trim(take_until(offers, ","));
        if (text.empty())
            continue; // allowed in a list
        std::optional<Offer> offer = parse_offer(text);
        if (!offer)
            return Problem{"Sec-WebSocket-Extensions is no list of extensions"};
        if (answer.empty() && offer->extension == "permessage-deflate")
            answer = accept_deflate(*offer).value_or("");
    }
    return answer;
}

} // namespace rtd
