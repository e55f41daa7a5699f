#include "gateway/websocket/ws_frame.h"

#include "core/utf8.h"

#include <cassert>

namespace rtd {

namespace {

constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kDeflated = 0x40; // RSV1, which only the first frame of a message has
constexpr uint8_t kLength16 = 126;  // the length follows in 2 bytes
constexpr uint8_t kLength64 = 127;  // in 8

void append_big_endian(std::string &out, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--)
        out.push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t read_big_endian(std::string_view bytes) {
    uint64_t value = 0;
    for (char byte : bytes)
        value = value << 8 | static_cast<uint8_t>(byte);
    return value;
}

void append_frame(std::string &out, WsOpcode opcode, uint8_t bits, std::string_view payload) {
    out.push_back(static_cast<char>(static_cast<uint8_t>(opcode) | bits));
    if (payload.size() < kLength16) {
        out.push_back(static_cast<char>(payload.size()));
    } else if (payload.size() <= UINT16_MAX) {
        out.push_back(kLength16);
        append_big_endian(out, payload.size(), 2);
    } else {
        out.push_back(kLength64);
        append_big_endian(out, payload.size(), 8);
    }
    out.append(payload);
}

void append_message(std::string &out, WsOpcode opcode, uint8_t bits, std::string_view payload) {
    while (payload.size() > kFragmentBytes) {
        append_frame(out, opcode, bits, payload.substr(0, kFragmentBytes));
        payload.remove_prefix(kFragmentBytes);
        opcode = WsOpcode::continuation;
        bits = 0;
    }
    append_frame(out, opcode, bits | kFinal, payload);
}

} // namespace

void append_ws_message(std::string &out, std::string_view body) {
    append_message(out, WsOpcode::text, 0, body);
}

void append_deflated_ws_message(std::string &out, std::string_view payload) {
    append_message(out, WsOpcode::text, kDeflated, payload);
}

std::string ws_control_frame(WsOpcode opcode, std::string_view payload) {
    assert(payload.size() <= kMaxControlBytes);
    std::string frame;
    append_frame(frame, opcode, kFinal, payload);
    return frame;
}

std::string ws_close_frame(uint16_t code, std::string_view reason) {
    std::string payload;
    append_big_endian(payload, code, 2);
    payload.append(truncate_utf8(reason, kMaxCloseReasonBytes));
    return ws_control_frame(WsOpcode::close, payload);
}

size_t ws_frame_size(std::string_view frames) {
    auto length = static_cast<uint8_t>(frames[1]);
    if (length == kLength16)
        return 4 + read_big_endian(frames.substr(2, 2));
    if (length == kLength64)
        return 10 + read_big_endian(frames.substr(2, 8));
    return 2u + length;
}

} // namespace rtd
