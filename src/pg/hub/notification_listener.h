// Listener: LISTEN inside the hub, without a client connection.
//
// SQL's LISTEN is refused in a background worker, but Async_Listen() inside a transaction works.
// Notifications are meant for a client's socket, so collect() lends the server a private set of
// "socket" functions for just the call that delivers them, and reads the messages off it.
#pragma once
#include "router/event.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rtd::pg {

struct Notification {
    std::string channel;
    std::string payload;
};

// A row of rtd_channel: notifications of `channel` are events of `topic`.
struct Channel {
    std::string name;
    std::string topic;
    std::vector<std::string> parameters; // members of the JSON payload, one per topic parameter
};

// What one costs the hub besides its text.
inline constexpr size_t kNotificationBytes = 256;

class Listener {
  public:
    // LISTENs to exactly these channels.
    void listen(const std::set<std::string> &channels);

    // Whether the server has signalled something new. Cheap.
    static bool is_pending();
    // Everything that came in; waits for nothing.
    std::vector<Notification> collect();
    // The last collect() left some out: more had come than the hub should hold at a time.
    bool lost_some() const { return lost_some_; }

    // A warning, once, if more of the server's notification queue is in use than
    // rtd.notification_queue_warning: a session that LISTENs and stays in a transaction keeps it
    // from being emptied, and a full one fails everybody's NOTIFY. To be called when notifications
    // come, not on a timer: without them the queue does not grow.
    std::optional<std::string> check_queue(int64_t now_ms);

  private:
    std::set<std::string> channels_;
    int64_t next_check_ms_ = 0;
    bool warned_ = false; // and it is still as full
    bool lost_some_ = false;
};

// What a notification means for its topic. An empty payload is null; one that is not JSON is a
// Problem.
Result<Event> to_event(const Notification &notification, const Channel &channel);

} // namespace rtd::pg
