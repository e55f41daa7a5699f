#include "net/session.h"

#include "core/utf8.h"

#include <algorithm>

namespace rtd::net {

namespace {

// Then the other sessions have their turn. In bytes: many small frames wait behind one read of the
// link, and a client that gets only a few of them each turn falls behind for good.
constexpr size_t kBytesPerWakeUp = 256 * 1024;
constexpr int kCloseTimeoutSeconds = 5;

// What a client says goes to the server's log, where it must not make lines of its own.
std::string printable(std::string_view text) {
    std::string line(is_valid_utf8(text) ? text : "");
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    return line;
}

} // namespace

Session::Session(lws *wsi, uint64_t client, std::string address, TopicPath topic)
    : client(client), address(std::move(address)), topic(std::move(topic)), wsi_(wsi) {}

bool Session::can_write() const {
    // lws has a close of its own in hand once a close length is set; nothing may follow it.
    return !closing_ && lws_get_close_length(wsi_) == 0;
}

bool Session::deliver(const SendQueue::MessagePtr &message, uint64_t max_waiting_bytes) {
    if (!can_write())
        return true;
    bool is_one_frame = message->frame_at(0).size() == message->size();
    if (is_one_frame && queue_.empty() && !lws_partial_buffered(wsi_)) {
        write(message->frame_at(0));
        return true;
    }
    bool was_empty = queue_.empty();
    if (!queue_.push(message, kind, max_waiting_bytes))
        return false;
    if (was_empty)
        lws_callback_on_writable(wsi_);
    return true;
}

void Session::on_writable() {
    for (size_t written = 0; written < kBytesPerWakeUp && !queue_.empty();) {
        if (!can_write() || lws_partial_buffered(wsi_))
            break;
        written += queue_.front().size();
        if (!write(queue_.front()))
            return; // and the queue is gone
        queue_.pop();
    }
    if (!queue_.empty() && can_write())
        lws_callback_on_writable(wsi_);
}

void Session::ping() {
    // With something half sent the client's reading is watched anyway, and a ping would only wait.
    if (can_write() && !lws_partial_buffered(wsi_))
        write(ws_ping_frame("rtd")); // with a payload: lws does not report the pong of an empty one
}

bool Session::write(std::string_view frame) {
    // lws does not write to the buffer: with LWS_WRITE_RAW it adds no header.
    auto *bytes = reinterpret_cast<unsigned char *>(const_cast<char *>(frame.data()));
    if (lws_write(wsi_, bytes, frame.size(), LWS_WRITE_RAW) >= 0)
        return true;
    kill("the connection broke");
    return false;
}

void Session::close(uint16_t code, std::string_view reason) {
    if (!can_write())
        return;
    queue_.clear(); // a message half sent ends at a whole frame, so a close may follow
    if (!write(ws_close_frame(code, reason)))
        return;
    closing_ = true;
    close_code_ = code;
    close_reason_ = truncate_utf8(reason, kMaxCloseReasonBytes);
    give_up_after(kCloseTimeoutSeconds);
}

void Session::kill(std::string_view reason) {
    if (!closing_)
        close_reason_ = reason;
    closing_ = true;
    queue_.clear();
    give_up_after(LWS_TO_KILL_ASYNC);
}

void Session::give_up_after(int seconds) {
    lws_set_timeout(wsi_, PENDING_TIMEOUT_CLOSE_SEND, seconds);
    // lws looks at its timeouts only when it has served a socket; this makes it look.
    lws_cancel_service(lws_get_context(wsi_));
}

void Session::on_peer_close(uint16_t code, std::string_view reason) {
    close_code_ = code;
    close_reason_ = printable(reason);
    closing_ = true;
    queue_.clear();
}

void Session::on_closed() {
    constexpr int kCodeBytes = 2;
    int length = lws_get_close_length(wsi_);
    if (closing_ || length < kCodeBytes)
        return;
    const unsigned char *payload = lws_get_close_payload(wsi_);
    close_code_ = static_cast<uint16_t>(payload[0] << 8 | payload[1]);
    close_reason_.assign(payload + kCodeBytes, payload + length);
}

bool Session::accept_data(size_t bytes, size_t max_message_bytes) {
    message_bytes_ += bytes;
    if (message_bytes_ + lws_remaining_packet_payload(wsi_) > max_message_bytes)
        return false;
    if (lws_is_final_fragment(wsi_))
        message_bytes_ = 0;
    return true;
}

} // namespace rtd::net
