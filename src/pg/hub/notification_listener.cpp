#include "pg/hub/notification_listener.h"

#include <sstream>
#include <utility>

#include "core/utf8.h"
#include "pg/server/boundary.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"
#include "pg/server/worker_transaction.h"

#include "pg/server/prelude.h"

extern "C" {
#include "commands/async.h"
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/fmgrprotos.h"
}

namespace rtd::pg {

namespace {

constexpr int64_t kCheckIntervalMs = 10'000; // between looks at the notification queue

// Where the server's messages go while collect() lends it a "client". What is more than the hub
// should hold at a time is dropped, and said to be.
constexpr size_t kMostReceivedBytes = 64 << 20;
StringInfoData received;
size_t received_bytes = 0; // as the hub needs them
bool dropped = false;

void comm_reset() {}
int comm_flush() {
    return 0;
}
bool comm_is_send_pending() {
    return false;
}

// Keeps NotificationResponse ('A') messages, each behind its length, and nothing else.
int comm_putmessage(char type, const char *body, size_t size) {
    if (type != 'A')
        return 0;
    received_bytes += size + kNotificationBytes;
    if (received_bytes > kMostReceivedBytes) {
        dropped = true;
        return 0;
    }
    uint32 length = static_cast<uint32>(size);
    appendBinaryStringInfo(&received, reinterpret_cast<const char *>(&length), sizeof length);
    appendBinaryStringInfo(&received, body, static_cast<int>(size));
    return 0;
}

void comm_putmessage_noblock(char type, const char *body, size_t size) {
    comm_putmessage(type, body, size);
}

const PQcommMethods kCollecting = {comm_reset,           comm_flush,      comm_flush,
                                   comm_is_send_pending, comm_putmessage, comm_putmessage_noblock};

// NotificationResponse: int32 pid, then channel and payload as C strings.
Notification parse(const char *body) {
    const char *channel = body + sizeof(int32);
    const char *payload = channel + strlen(channel) + 1;
    return {channel, payload};
}

} // namespace

void Listener::listen(const std::set<std::string> &channels) {
    if (channels == channels_)
        return;
    in_transaction([&] {
        for (const std::string &channel : channels_)
            if (!channels.contains(channel))
                call([&] { Async_Unlisten(channel.c_str()); });
        for (const std::string &channel : channels)
            if (!channels_.contains(channel))
                call([&] { Async_Listen(channel.c_str()); });
    });
    for (const std::string &channel : channels)
        if (!channels_.contains(channel))
            report(LOG, "[DB_LISTENER] Listening on channel: " + channel);
    channels_ = channels;
}

bool Listener::is_pending() {
    return notifyInterruptPending;
}

std::optional<std::string> Listener::check_queue(int64_t now_ms) {
    if (now_ms < next_check_ms_)
        return std::nullopt;
    next_check_ms_ = now_ms + kCheckIntervalMs;
    double usage =
        call([] { return DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage, 0)); });
    bool is_high = usage >= notification_queue_warning && notification_queue_warning < 1;
    if (std::exchange(warned_, is_high) || !is_high)
        return std::nullopt;
    std::ostringstream percent;
    percent.precision(2);
    percent << usage * 100;
    return "[DB_LISTENER] the server's notification queue is " + percent.str() + " % full";
}

std::vector<Notification> Listener::collect() {
    MemoryContext context = CurrentMemoryContext;
    const PQcommMethods *methods = PqCommMethods;
    CommandDest destination = whereToSendOutput;
    call([] { initStringInfo(&received); });
    dropped = false;
    received_bytes = 0;
    auto give_back = [&] {
        PqCommMethods = methods;
        whereToSendOutput = destination;
        MemoryContextSwitchTo(context);
    };
    try {
        call([] {
            PqCommMethods = &kCollecting;
            whereToSendOutput = DestRemote;
            ProcessNotifyInterrupt(false);
        });
    } catch (...) {
        give_back();
        throw;
    }
    give_back();

    std::vector<Notification> notifications;
    for (int at = 0; at < received.len;) {
        uint32 length = 0;
        memcpy(&length, received.data + at, sizeof length);
        at += static_cast<int>(sizeof length);
        notifications.push_back(parse(received.data + at));
        at += static_cast<int>(length);
    }
    pfree(received.data);
    lost_some_ = std::exchange(dropped, false);
    return notifications;
}

namespace {

// payload ->> name, or nullopt where there is no such member.
std::optional<std::string> json_field(const std::string &payload, const std::string &name) {
    const char *value = call([&]() -> const char * {
        LOCAL_FCINFO(fcinfo, 2);
        InitFunctionCallInfoData(*fcinfo, nullptr, 2, InvalidOid, nullptr, nullptr);
        fcinfo->args[0] = {CStringGetTextDatum(payload.c_str()), false};
        fcinfo->args[1] = {CStringGetTextDatum(name.c_str()), false};
        Datum result = json_object_field_text(fcinfo);
        return fcinfo->isnull ? nullptr : TextDatumGetCString(result);
    });
    return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}

} // namespace

Result<Event> to_event(const Notification &notification, const Channel &channel) {
    Event event;
    event.kind = EventKind::change;
    event.topic = channel.topic;
    event.origin = notification.channel;
    event.payload = notification.payload.empty() ? "null" : notification.payload;
    if (!is_valid_utf8(event.payload))
        return Problem{"payload on channel \"" + notification.channel + "\" is not UTF-8"};
    try {
        call([&] { DirectFunctionCall1(json_in, CStringGetDatum(event.payload.c_str())); });
        for (const std::string &name : channel.parameters)
            event.params.push_back(json_field(event.payload, name));
    } catch (const Error &error) {
        return Problem{"payload on channel \"" + notification.channel +
                       "\" is not JSON: " + error.message()};
    }
    return event;
}

} // namespace rtd::pg
