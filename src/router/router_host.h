// RouterHost: what the router and its instances ask of the process they run in. The hub is one; a
// unit test is another.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "core/result.h"
#include "router/identity.h"
#include "router/message_log.h"
#include "router/subscribers.h"
#include "router/topic.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rtd {

// Why an instance must hear of its events: somebody subscribes, or it is kept for those who may
// come back.
enum class Interest : uint8_t { subscriber, lingering };

class RouterHost {
  public:
    virtual ~RouterHost() = default;
    // To the gateway whose subscription or client the frame names.
    virtual void send(link::HubFrame frame) = 0;
    // To every gateway that has one of the subscribers.
    virtual void send(const link::HubFrame &frame, const Subscribers &subscribers) = 0;
    // Why this identity may not subscribe to the topic; nullopt if it may. Without a topic (the
    // name is unknown): only whether it may ask at all.
    virtual std::optional<link::Ended> refuse(const Identity &identity, const Topic *topic) = 0;
    // The parameters of an instance in canonical form, or why they are none of the topic's, as a
    // sentence. There are as many as the topic has.
    virtual Result<InstanceParams> canonical(const Topic &,
                                             const std::vector<std::string> &params) {
        return InstanceParams{params};
    }
    // Counts the interest in instance and topic where backends see it. False: no room. There is
    // always room for another one in an instance that is counted already.
    virtual bool add_interest(Interest interest, uint64_t instance_key, uint64_t topic_key) = 0;
    virtual void remove_interest(Interest interest, uint64_t instance_key, uint64_t topic_key) = 0;
    // Changes from here on are news again: a query of the instance is about to start, or every
    // change matters.
    virtual void clear_changed(uint64_t instance_key, uint64_t topic_key) = 0;
    // False: none runs, and none can be started now.
    virtual bool has_query_workers() const { return true; }
    // Per-event lines (R6) are only composed if they are wanted.
    virtual bool logs_events() const = 0;
    virtual void log_event(const std::string &line) = 0;
    virtual void log_warning(const std::string &line) = 0;
};

// What an administrator sets for all topics.
struct RouterSettings {
    int64_t resync_interval_ms = 0;   // states are queried again after so long without an event
    int64_t linger_ms = 0;            // an instance is kept so long after its last subscriber left
    size_t history_bytes = 1 << 20;   // of the messages that an instance keeps
    int64_t message_retention_ms = 0; // durable messages are kept at least so long
    size_t max_message_bytes = SIZE_MAX;  // largest data of a message
    size_t max_retained = SIZE_MAX;       // messages of one topic that are retained
    size_t instance_bytes = SIZE_MAX / 2; // of all instances and subscriptions together
};

} // namespace rtd
