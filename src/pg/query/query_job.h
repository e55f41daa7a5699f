// What hub and query worker say to each other, encoded with core/bytes.h and carried by one shared
// memory message queue per direction.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "router/message_log.h"
#include "router/router.h"

#include <string>
#include <variant>
#include <vector>

namespace rtd::pg {

// The dynamic shared memory segment that the hub gives each query worker: two message queues.
inline constexpr uint64_t kWorkerMagic = 0x7274642071756572; // "rtd quer"
inline constexpr uint64_t kRequestKey = 0;
inline constexpr uint64_t kReplyKey = 1;

// What a client publishes.
struct RunPublish {
    std::string schema; // of the extension
    uint32_t role = 0;  // of the client
    link::Publish message;
};

struct PublishDone {
    link::Published answer;
};

struct RunQuery {
    uint64_t instance = 0;
    std::string topic;
    uint64_t topic_generation = 0;
    uint64_t topic_version = 0;
    uint32_t role = 0; // the query runs as: the topic's owner, or the subscribers' role
    bool is_invoker = false;
    bool gives_way_soon = false; // to a lock: kShortLockWaitMs
    std::string claims;          // request.jwt.claims; empty for a topic that runs as its owner
    std::string search_path;
    std::string query;
    ResultShape shape = ResultShape::rows;
    uint32_t parameter_count = 0;
    std::vector<std::string> params;
    std::string significant;      // the function to ask; empty: none
    std::string last_message;     // the last state sent, for it; empty: none
    std::vector<std::string> key; // of a keyed topic: its columns, and what is to be read
    KeySelection selection;
};

// After an open outcome: read this too, in the same snapshot.
struct ReadMore {
    KeySelection selection;
};

// After an open outcome: nothing more. There is no reply.
struct EndRead {};

struct StoreRetained {
    std::string schema;
    uint32_t most = 0; // of a topic; the oldest go
    std::vector<RetainedMessage> messages;
};

// The stored messages of instances whose first subscribers wait for them.
struct ReadRetained {
    std::string schema;
    std::vector<RetainedRead> reads;
};

// Writes what no backend's transaction can, notifications for durable topics: Events, encoded.
struct StoreNotifications {
    std::string schema;
    std::vector<std::string> events;
};

// A job about rtd_message.
struct RunLogJob {
    std::string schema;
    LogJob job;
};

struct QueryDone {
    uint64_t instance = 0;
    QueryOutcome outcome;
};

struct StoreDone {
    bool stored = false;
    std::string error;
    std::vector<std::string> bounded = {}; // topics of which messages went
    std::vector<std::string> locked = {};  // topics whose messages are to be stored another time
};

struct ReadRetainedDone {
    std::vector<RetainedAnswer> answers;
};

struct StoreNotificationsDone {
    std::string error;               // empty: they are stored
    std::vector<std::string> events; // that stand for them, encoded
};

struct LogJobDone {
    LogOutcome outcome;
};

using WorkerRequest = std::variant<RunQuery, StoreRetained, ReadRetained, StoreNotifications,
                                   RunLogJob, RunPublish, ReadMore, EndRead>;
using WorkerReply = std::variant<QueryDone, StoreDone, ReadRetainedDone, StoreNotificationsDone,
                                 LogJobDone, PublishDone>;

std::string encode(const WorkerRequest &request);
std::string encode(const WorkerReply &reply);
Result<WorkerRequest> decode_request(std::string_view bytes);
Result<WorkerReply> decode_reply(std::string_view bytes);

} // namespace rtd::pg
