#include "gateway/session/websocket.h"

#include "core/log_text.h"
#include "core/utf8.h"
#include "gateway/http/response.h"
#include "gateway/session/control.h"
#include "gateway/session/subscriptions.h"

#include <algorithm>
#include <uv.h>
#include <variant>

namespace rtd::net {

namespace {

constexpr size_t kMaxWaitingPongs = 16;

// Beyond it a client that asks whether the connection lives has something else to read.
constexpr uint64_t kMaxWaitingBeforePong = 4096;

uint64_t now_ms() {
    return uv_hrtime() / 1'000'000;
}

} // namespace

WebSocket::WebSocket(Environment &environment, AdmittedSocket socket, Client client,
                     const Upgrade &upgrade)
    : Session(environment, std::move(socket), std::move(client)),
      deflates_(!upgrade.extensions.empty()) {
    hold();
    say(upgrade_head(upgrade), WireMessage::Kind::http);
    environment.upgrades.begin(wait());
}

Session::Delivery WebSocket::deliver(const Subscription &subscription, Outgoing &messages,
                                     QueuePolicy policy) {
    bool deflated = deflates_ && settings().compression; // which may have been turned off since
    const WireMessagePtr &frames = deflated ? messages.deflated_frames() : messages.frames();
    return send(frames, subscription.id, policy) ? Delivery::taken : Delivery::overflow;
}

void WebSocket::open() {
    release();
    saw_life();
}

Session::Delivery WebSocket::on_subscribed(Subscription &, const link::Subscribed &) {
    open();
    return Delivery::taken;
}

void WebSocket::on_late() {
    if (is_held())
        open();
    else
        Session::on_late();
}

void WebSocket::on_ended(Subscription &subscription, CloseCode code, const std::string &reason) {
    if (!subscription.is_accepted || is_refusal(code))
        count_refusal(Refusals::Thing::subscription, code, reason);
    close(code, reason);
}

bool WebSocket::ping() {
    // With something half sent the client's reading is watched anyway, and a ping would only wait.
    if (!is_closing() && queue_.empty())
        queue_control(ws_control_frame(WsOpcode::ping, ""));
    return true;
}

// ---- what the client says ----

void WebSocket::on_data(std::string_view bytes) {
    saw_life();
    if (has_failed_)
        return;
    if (!reader_)
        reader_ = std::make_unique<WsReader>(
            WsReader::Limits{settings().max_client_message_bytes, deflates_});
    reader_->feed(bytes);
    while (!is_gone() && !has_failed_) {
        auto next = reader_->next();
        if (auto *incoming = std::get_if<WsIncoming>(&next))
            on_incoming(*incoming);
        else if (auto *violation = std::get_if<WsViolation>(&next))
            fail(violation->code, violation->reason);
        else
            break;
    }
    if (has_failed_ || reader_->is_idle())
        reader_.reset();
}

void WebSocket::on_incoming(WsIncoming &incoming) {
    if (incoming.is_compressed && !inflate(incoming))
        return;
    switch (incoming.opcode) {
    case WsOpcode::ping:
        return answer_ping(incoming.payload);
    case WsOpcode::close:
        return answer_close(incoming.payload);
    case WsOpcode::text:
        if (!is_valid_utf8(incoming.payload))
            return fail(CloseCode::bad_utf8, meaning(CloseCode::bad_utf8));
        [[fallthrough]];
    case WsOpcode::binary:
        if (!is_closing())
            on_message(incoming.opcode == WsOpcode::text, incoming.payload);
        return;
    case WsOpcode::pong:
    case WsOpcode::continuation: // part of a message
        return;
    }
}

// Of a client of one topic a message counts only if it is short. To inflate a longer one could take
// a thousand times the work that sending it does.
size_t WebSocket::max_text_bytes() const {
    size_t most = settings().max_client_message_bytes;
    return is_multiplexed() ? most : std::min(most, kMaxHeartbeatBytes);
}

// False: the message is not to be looked at.
bool WebSocket::inflate(WsIncoming &incoming) {
    size_t max_bytes = max_text_bytes();
    if (is_closing() || (!is_multiplexed() && incoming.payload.size() > max_bytes))
        return false;
    std::string text;
    switch (environment().inflater.inflate(incoming.payload, max_bytes, text)) {
    case Inflater::Outcome::whole:
        incoming.payload = std::move(text);
        return true;
    case Inflater::Outcome::too_big:
        if (!is_multiplexed())
            return false;
        fail(CloseCode::too_big, "a message may have at most " + std::to_string(max_bytes) +
                                     " bytes, once it is decompressed");
        return false;
    case Inflater::Outcome::broken:
        if (!is_multiplexed())
            return false;
        fail(CloseCode::protocol_error, "a compressed message cannot be decompressed");
        return false;
    }
    return false;
}

// A flood is not answered beyond rtd.client_message_rate, and nothing else happens to it: all other
// messages are ignored anyway.
void WebSocket::on_message(bool is_text, std::string_view text) {
    std::optional<Heartbeat> heartbeat = is_text ? parse_heartbeat(text) : std::nullopt;
    if (!heartbeat)
        return;
    if (!heartbeats_)
        heartbeats_ = std::make_unique<TokenBucket>();
    if (heartbeats_->take(settings().client_message_rate, now_ms()) == TokenBucket::Answer::granted)
        answer_heartbeat(*heartbeat);
}

void WebSocket::answer_heartbeat(const Heartbeat &heartbeat) {
    if (queue_.waiting_bytes() > kMaxWaitingBeforePong)
        return; // that it comes is answer enough
    std::string text = heartbeat.answer;
    if (text.empty())
        text = control_message("rtd_pong", nullptr, JsonFields().add("ref", heartbeat.ref).text());
    constexpr uint64_t kOfNoSubscription = 0;
    send(std::make_shared<const WireMessage>(ws_message(text)), kOfNoSubscription,
         QueuePolicy::keep);
}

// Who does not read gets no further pongs: the answer to the newest ping is enough, RFC 6455.
void WebSocket::answer_ping(std::string_view payload) {
    if (!is_closing() && queue_.waiting_controls() < kMaxWaitingPongs)
        queue_control(ws_control_frame(WsOpcode::pong, payload));
}

void WebSocket::answer_close(std::string_view payload) {
    if (is_closing())
        return vanish(""); // the answer to our close frame: done
    constexpr uint16_t kNoCode = 1005;
    uint16_t code = kNoCode;
    std::string_view reason;
    if (payload.size() >= 2) {
        code = static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                                     static_cast<uint8_t>(payload[1]));
        reason = payload.substr(2);
    }
    if (payload.size() == 1 || (payload.size() >= 2 && !is_sendable_close_code(code)))
        return fail(CloseCode::protocol_error, "a close frame must have a code that may be sent");
    if (!is_valid_utf8(reason))
        return fail(CloseCode::bad_utf8, "a close frame's reason must be UTF-8");
    set_close(code, printable(reason, kMaxCloseReasonBytes));
    cut_waiting();
    say(ws_control_frame(WsOpcode::close, payload), WireMessage::Kind::ws_frames);
    leave(true);
    registry().close_all(*this);
}

// ---- the end ----

void WebSocket::fail(CloseCode code, std::string_view reason) {
    has_failed_ = true;
    if (is_closing())
        return vanish("");
    count_refusal(Refusals::Thing::message, code, reason);
    end(code, reason);
}

// A message half sent ends at a whole frame, so a close frame may follow.
void WebSocket::close(CloseCode code, std::string_view reason) {
    if (is_closing())
        return;
    auto number = static_cast<uint16_t>(code);
    set_close(number, truncate_utf8(reason, kMaxCloseReasonBytes));
    cut_waiting();
    say(ws_close_frame(number, reason), WireMessage::Kind::ws_frames);
    leave(has_failed_);
}

} // namespace rtd::net
