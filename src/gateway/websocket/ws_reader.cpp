#include "gateway/websocket/ws_reader.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace rtd {

namespace {

// Of a frame from a client. wslay takes none but the shortest form.
size_t header_bytes(uint64_t payload_bytes) {
    constexpr size_t kMaskBytes = 4;
    size_t length_bytes = payload_bytes < 126 ? 0 : payload_bytes <= UINT16_MAX ? 2 : 8;
    return 2 + length_bytes + kMaskBytes;
}

WsViolation protocol_error(std::string_view reason) {
    return {CloseCode::protocol_error, std::string(reason)};
}

} // namespace

WsReader::WsReader(Limits limits) : limits_(limits) {
    const wslay_frame_callbacks callbacks{nullptr, take_input, nullptr};
    wslay_frame_context *context = nullptr;
    if (wslay_frame_context_init(&context, &callbacks, this) != 0)
        throw std::bad_alloc();
    wslay_.reset(context);
}

ssize_t WsReader::take_input(uint8_t *buffer, size_t size, int, void *reader) {
    auto *self = static_cast<WsReader *>(reader);
    size = std::min(size, self->input_.size());
    if (size == 0)
        return -1; // for wslay: nothing more for now
    std::memcpy(buffer, self->input_.data(), size);
    self->input_.remove_prefix(size);
    self->unread_ += size;
    return static_cast<ssize_t>(size);
}

// What is wrong with a frame's header; empty: nothing.
std::string_view WsReader::violation(const wslay_frame_iocb &frame, bool is_control) const {
    if (!frame.mask)
        return "a client's frame must be masked";
    bool starts_data = !is_control && frame.opcode != WSLAY_CONTINUATION_FRAME;
    uint8_t allowed = limits_.allows_compressed && starts_data ? WSLAY_RSV1_BIT : WSLAY_RSV_NONE;
    if (frame.rsv & ~allowed)
        return "a reserved bit is set";
    switch (frame.opcode) {
    case WSLAY_CONTINUATION_FRAME:
        return is_in_message_ ? "" : "a fragment continues no message";
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
        return is_in_message_ ? "a message begins within another" : "";
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        return "";
    }
    return "the opcode is reserved";
}

void WsReader::begin_frame(const wslay_frame_iocb &frame) {
    is_in_frame_ = true;
    remaining_ = frame.payload_length;
    unread_ -= header_bytes(frame.payload_length);
    if (wslay_is_ctrl_frame(frame.opcode)) {
        control_.clear();
    } else if (!is_in_message_) {
        is_in_message_ = true;
        message_ = {static_cast<WsOpcode>(frame.opcode), frame.rsv != 0, {}};
    }
}

std::variant<WsIncoming, WsNeedsMore, WsViolation> WsReader::next() {
    while (true) {
        wslay_frame_iocb frame{};
        ssize_t size = wslay_frame_recv(wslay_.get(), &frame);
        if (size == WSLAY_ERR_WANT_READ)
            return WsNeedsMore{};
        if (size < 0)
            return protocol_error("a frame's header is malformed");

        bool is_control = wslay_is_ctrl_frame(frame.opcode);
        if (!is_in_frame_) {
            if (std::string_view reason = violation(frame, is_control); !reason.empty())
                return protocol_error(reason);
            begin_frame(frame);
        }
        std::string &payload = is_control ? control_ : message_.payload;
        if (!is_control && payload.size() + remaining_ > limits_.max_message_bytes)
            return WsViolation{CloseCode::too_big, "a message may have at most " +
                                                       std::to_string(limits_.max_message_bytes) +
                                                       " bytes"};
        payload.append(reinterpret_cast<const char *>(frame.data), frame.data_length);
        remaining_ -= frame.data_length;
        unread_ -= frame.data_length;
        is_in_frame_ = remaining_ > 0;
        if (is_in_frame_)
            continue;
        if (is_control)
            return WsIncoming{static_cast<WsOpcode>(frame.opcode), false, std::move(control_)};
        if (frame.fin) {
            is_in_message_ = false;
            return std::exchange(message_, {WsOpcode::text, false, {}});
        }
    }
}

} // namespace rtd
