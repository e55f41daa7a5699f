#include "core/ws_frame.h"

#include "core/utf8.h"

#include <cassert>

namespace rtd {

namespace {

constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kDeflated = 0x40; // RSV1, which only the first frame of a message has
constexpr uint8_t kContinuation = 0x0;
constexpr uint8_t kText = 0x1;
constexpr uint8_t kClose = 0x8;
constexpr uint8_t kPing = 0x9;

static_assert(kFragmentBytes > 0xffff, "a full fragment has the long header, and so fills a piece");

void append_big_endian(std::string &out, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--)
        out.push_back(static_cast<char>(value >> (8 * i)));
}

void append_frame(std::string &out, uint8_t first_byte, std::string_view payload) {
    out.push_back(static_cast<char>(first_byte));
    if (payload.size() < 126) {
        out.push_back(static_cast<char>(payload.size()));
    } else if (payload.size() <= 0xffff) {
        out.push_back(126);
        append_big_endian(out, payload.size(), 2);
    } else {
        out.push_back(127);
        append_big_endian(out, payload.size(), 8);
    }
    out.append(payload);
}

WireMessage frames(uint8_t first_byte, std::string_view payload) {
    std::string bytes;
    bytes.reserve(payload.size() + (payload.size() / kFragmentBytes + 1) * kLongHeaderBytes);
    while (payload.size() > kFragmentBytes) {
        append_frame(bytes, first_byte, payload.substr(0, kFragmentBytes));
        payload.remove_prefix(kFragmentBytes);
        first_byte = kContinuation;
    }
    append_frame(bytes, kFinal | first_byte, payload);
    return WireMessage(std::move(bytes));
}

} // namespace

WireMessage ws_message(std::string_view body) {
    return frames(kText, body);
}

WireMessage ws_deflated_message(std::string_view payload) {
    return frames(kDeflated | kText, payload);
}

std::string ws_close_frame(uint16_t code, std::string_view reason) {
    std::string payload;
    append_big_endian(payload, code, 2);
    payload.append(truncate_utf8(reason, kMaxCloseReasonBytes));
    std::string frame;
    append_frame(frame, kFinal | kClose, payload);
    return frame;
}

std::string ws_ping_frame(std::string_view payload) {
    assert(payload.size() < 126);
    std::string frame;
    append_frame(frame, kFinal | kPing, payload);
    return frame;
}

} // namespace rtd
