// What a request's target asks for: the path, split at '/' before anything is percent-decoded (so
// that %2F stays inside a parameter), and the topic with its parameters that a path names.
// Strict on purpose: what is not plainly well-formed is refused with a sentence.
#pragma once
#include "core/fence.h"
#include "core/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace rtd {

inline constexpr size_t kMaxTargetBytes = 8192; // path and query as sent
inline constexpr size_t kMaxParams = 64;
inline constexpr size_t kMaxParamBytes = 1024; // decoded

struct RequestPath {
    std::vector<std::string> segments; // decoded; none for "/"
    std::string query;                 // as sent, without the '?'
};

// `target` in origin form ("/ws/queue?since=1") or absolute form ("http://host/ws/queue").
Result<RequestPath> parse_request_path(std::string_view target);

struct TopicPath {
    std::string topic;
    std::vector<std::string> params;

    bool operator==(const TopicPath &) const = default;
};

// Checks name and parameters, wherever they came from.
Result<TopicPath> check_topic_path(TopicPath path);

// From the segments after the endpoint's own: `/ws/context-analysis/42` without `ws`.
Result<TopicPath> parse_topic_path(const std::vector<std::string> &segments, size_t first);

// The decoded value of the first `name=value` of a query; "" if there is none.
Result<std::string> query_value(std::string_view query, std::string_view name);

} // namespace rtd
