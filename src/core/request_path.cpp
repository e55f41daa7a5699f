#include "core/request_path.h"

#include "core/names.h"
#include "core/utf8.h"

#include <algorithm>
#include <cstddef>

namespace rtd {

namespace {

// -1 for what is no hexadecimal digit.
int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

Result<std::string> decode_percent(std::string_view raw) {
    std::string decoded;
    for (size_t i = 0; i < raw.size(); i++) {
        if (raw[i] != '%') {
            decoded.push_back(raw[i]);
            continue;
        }
        int high = i + 2 < raw.size() ? hex_digit(raw[i + 1]) : -1;
        int low = i + 2 < raw.size() ? hex_digit(raw[i + 2]) : -1;
        if (high < 0 || low < 0)
            return Problem{"the request has a percent sign without two hexadecimal digits"};
        decoded.push_back(static_cast<char>(high * 16 + low));
        i += 2;
    }
    return decoded;
}

Result<std::string> decode_segment(std::string_view raw) {
    if (raw.empty())
        return Problem{"the path has an empty segment"};
    Result<std::string> decoded = decode_percent(raw);
    if (!decoded)
        return decoded;
    if (decoded->find('\0') != std::string::npos)
        return Problem{"the path has a NUL character"};
    if (!is_valid_utf8(*decoded))
        return Problem{"the path is not UTF-8"};
    return decoded;
}

// A proxy may send "http://host/path"; only the path matters here.
std::string_view origin_form(std::string_view target) {
    for (std::string_view scheme : {"http://", "https://"}) {
        if (!target.starts_with(scheme))
            continue;
        size_t slash = target.find('/', scheme.size());
        return slash == std::string_view::npos ? "/" : target.substr(slash);
    }
    return target;
}

} // namespace

Result<RequestPath> parse_request_path(std::string_view target) {
    if (target.size() > kMaxTargetBytes)
        return Problem{"the path is longer than " + std::to_string(kMaxTargetBytes) + " bytes"};
    target = origin_form(target);
    if (target.empty() || target[0] != '/')
        return Problem{"the path must begin with a slash"};

    RequestPath path;
    size_t question = target.find('?');
    if (question != std::string_view::npos)
        path.query = target.substr(question + 1);
    std::string_view rest =
        target.substr(1, question == std::string_view::npos ? question : question - 1);
    while (!rest.empty()) {
        size_t slash = rest.find('/');
        Result<std::string> segment = decode_segment(rest.substr(0, slash));
        if (!segment)
            return Problem{segment.error()};
        path.segments.push_back(std::move(*segment));
        if (slash == std::string_view::npos)
            break;
        rest.remove_prefix(slash + 1);
        if (rest.empty())
            return Problem{"the path has an empty segment"};
    }
    return path;
}

Result<TopicPath> check_topic_path(TopicPath path) {
    Result<std::string> topic = check_topic_name(path.topic);
    if (!topic)
        return Problem{topic.error()};
    if (path.params.size() > kMaxParams)
        return Problem{"there are more than " + std::to_string(kMaxParams) + " parameters"};
    for (const std::string &param : path.params)
        if (param.size() > kMaxParamBytes)
            return Problem{"a parameter is longer than " + std::to_string(kMaxParamBytes) +
                           " bytes"};
    return path;
}

Result<TopicPath> parse_topic_path(const std::vector<std::string> &segments, size_t first) {
    if (segments.size() <= first)
        return Problem{"the path names no topic"};
    auto name = segments.begin() + static_cast<ptrdiff_t>(first);
    return check_topic_path({*name, {name + 1, segments.end()}});
}

Result<std::string> query_value(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        std::string_view field = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(field.size() + 1, query.size()));
        if (field.substr(0, field.find('=')) == name && field.size() > name.size())
            return decode_percent(field.substr(name.size() + 1));
    }
    return std::string();
}

} // namespace rtd
