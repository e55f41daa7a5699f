// Subscription: a session's interest in one instance, and its place in that instance's roster.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "core/request_path.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace rtd::net {

class Session;

struct Subscription {
    Session &session;
    TopicPath topic; // as its messages have it, once the hub has answered
    uint64_t id;     // what the hub knows it by
    std::string ref; // of the request that made it, as JSON; empty: none

    std::vector<std::string> asked = {}; // parameters as the client wrote them, if it is not so
    bool is_accepted = false;            // the client has been told
    bool has_lapsed =
        false; // the hub does not know it for now, see gateway/session/subscriptions.h
    std::optional<uint64_t> instance = {}; // once the hub has answered
    link::TopicKind kind = link::TopicKind::event;
    link::Audience audience = link::Audience::live;
    size_t roster_index = 0;
};

} // namespace rtd::net
