// Ready-made WebSocket frames (RFC 6455), server to client, so unmasked. A large message is cut
// into fragments, each a frame of its own: pings, pongs and a close may go between two fragments,
// where in the middle of a frame they would garble it.
#pragma once
#include "core/fence.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rtd {

inline constexpr size_t kFragmentBytes = 128 * 1024; // payload of one frame
inline constexpr size_t kMaxControlBytes = 125;      // payload of a control frame
inline constexpr size_t kMaxCloseReasonBytes = kMaxControlBytes - 2;

enum class WsOpcode : uint8_t {
    continuation = 0x0,
    text = 0x1,
    binary = 0x2,
    close = 0x8,
    ping = 0x9,
    pong = 0xa,
};

// Adds the frames of a text message.
void append_ws_message(std::string &out, std::string_view body);
// The same, compressed: `payload` is what gateway/websocket/deflate.h made of its body.
void append_deflated_ws_message(std::string &out, std::string_view payload);
// `payload` has at most kMaxControlBytes.
std::string ws_control_frame(WsOpcode opcode, std::string_view payload);
// `reason` is valid UTF-8 and is cut to what fits.
std::string ws_close_frame(uint16_t code, std::string_view reason);

// Bytes of the first of our own frames in `frames`, header included.
size_t ws_frame_size(std::string_view frames);

} // namespace rtd
