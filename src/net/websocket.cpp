#include "net/websocket.h"

#include "core/utf8.h"

#include <algorithm>

namespace rtd::net {

namespace {

constexpr int kCloseTimeoutSeconds = 5;

// What a client says goes to the server's log, where it must not make lines of its own.
std::string printable(std::string_view text) {
    std::string line(is_valid_utf8(text) ? text : "");
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    return line;
}

} // namespace

bool WebSocket::can_write() const {
    // lws has a close of its own in hand once a close length is set; nothing may follow it.
    return !is_closing() && lws_get_close_length(wsi()) == 0;
}

Session::Delivery WebSocket::deliver(const Subscription &subscription, Outgoing &message,
                                     QueuePolicy policy) {
    return send(message.frame(), subscription.id, policy) ? Delivery::taken : Delivery::overflow;
}

void WebSocket::on_ended(Subscription &, CloseCode code, const std::string &reason) {
    close(code, reason);
}

bool WebSocket::ping() {
    // With something half sent the client's reading is watched anyway, and a ping would only wait.
    if (can_write() && !lws_partial_buffered(wsi()))
        write(ws_ping_frame("rtd")); // with a payload: lws does not report the pong of an empty one
    return true;
}

void WebSocket::close(CloseCode code, std::string_view reason) {
    if (!can_write())
        return;
    queue_.clear(); // a message half sent ends at a whole frame, so a close may follow
    auto number = static_cast<uint16_t>(code);
    if (!write(ws_close_frame(number, reason)))
        return;
    set_close(number, truncate_utf8(reason, kMaxCloseReasonBytes));
    give_up_after(kCloseTimeoutSeconds);
}

void WebSocket::on_peer_close(uint16_t code, std::string_view reason) {
    set_close(code, printable(reason));
    queue_.clear();
}

void WebSocket::on_closed() {
    constexpr int kCodeBytes = 2;
    int length = lws_get_close_length(wsi());
    if (is_closing() || length < kCodeBytes)
        return;
    const unsigned char *payload = lws_get_close_payload(wsi());
    set_close(static_cast<uint16_t>(payload[0] << 8 | payload[1]),
              {reinterpret_cast<const char *>(payload) + kCodeBytes,
               static_cast<size_t>(length - kCodeBytes)});
}

bool WebSocket::accept_data(size_t bytes) {
    message_bytes_ += bytes;
    if (message_bytes_ + lws_remaining_packet_payload(wsi()) > settings().max_client_message_bytes)
        return false;
    if (lws_is_final_fragment(wsi()))
        message_bytes_ = 0;
    return true;
}

} // namespace rtd::net
