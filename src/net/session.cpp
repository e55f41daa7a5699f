#include "net/session.h"

namespace rtd::net {

namespace {

// Then the other sessions have their turn. In bytes: many small frames wait behind one read of the
// link, and a client that gets only a few of them each turn falls behind for good.
constexpr size_t kBytesPerWakeUp = 256 * 1024;

} // namespace

Session::Session(Client client) : client_(std::move(client)) {}

bool Session::send(const WireMessagePtr &message, uint64_t subscription, QueuePolicy policy) {
    if (closing_ || !can_write())
        return true;
    bool is_one_piece = message->piece_at(0).size() == message->size();
    if (is_one_piece && queue_.empty() && !lws_partial_buffered(wsi())) {
        write(message->piece_at(0));
        return true;
    }
    bool was_empty = queue_.empty();
    if (!queue_.push(message, subscription, policy, settings().client_buffer_bytes))
        return false;
    if (was_empty)
        lws_callback_on_writable(wsi());
    return true;
}

void Session::on_writable() {
    for (size_t written = 0; written < kBytesPerWakeUp && !queue_.empty();) {
        if (!can_write() || lws_partial_buffered(wsi()))
            break;
        written += queue_.front().size();
        if (!write(queue_.front()))
            return; // and the queue is gone
        queue_.pop();
    }
    bool is_drained = queue_.empty() && !lws_partial_buffered(wsi());
    if (is_drained)
        on_drained();
    else if (!queue_.empty() && can_write())
        lws_callback_on_writable(wsi());
}

bool Session::write(std::string_view bytes) {
    // lws does not write to the buffer: with LWS_WRITE_RAW it adds no header.
    auto *start = reinterpret_cast<unsigned char *>(const_cast<char *>(bytes.data()));
    if (lws_write(wsi(), start, bytes.size(), LWS_WRITE_RAW) < 0) {
        kill("the connection broke");
        return false;
    }
    if (lws_partial_buffered(wsi()))
        on_stuck();
    return true;
}

void Session::kill(std::string_view reason) {
    set_close(close_code_, reason);
    queue_.clear();
    give_up_after(LWS_TO_KILL_ASYNC);
}

void Session::set_close(uint16_t code, std::string_view reason) {
    if (closing_)
        return;
    closing_ = true;
    close_code_ = code;
    close_reason_ = reason;
}

void Session::give_up_after(int seconds) {
    lws_set_timeout(wsi(), PENDING_TIMEOUT_CLOSE_SEND, seconds);
    // lws looks at its timeouts only when it has served a socket; this makes it look.
    lws_cancel_service(lws_get_context(wsi()));
}

} // namespace rtd::net
