// The rules for names: what a topic may be called, and the message type that follows from it.
#pragma once
#include "core/fence.h"
#include "core/result.h"

#include <string>
#include <string_view>

namespace rtd {

inline constexpr size_t kMaxTopicNameBytes = 63; // as PostgreSQL's identifiers

// The name itself if it is kebab-case, `[a-z0-9]+(-[a-z0-9]+)*`, and short enough.
Result<std::string> check_topic_name(std::string_view name);

// `planned-features` has messages of the type `planned_features_update`.
std::string default_message_type(std::string_view topic);

// Whether `text` has the form of a message's id, <epoch>-<sequence>.
bool is_message_id(std::string_view text);
inline constexpr std::string_view kBadSince =
    "since must be the id of a message, <epoch>-<sequence>";

} // namespace rtd
