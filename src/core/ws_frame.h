// Ready-made WebSocket frames (RFC 6455), server to client, so unmasked. A large message is cut
// into fragments, each a frame and a piece of its own: pings, pongs and a close may go between two
// fragments, where in the middle of a frame they would garble it.
#pragma once
#include "core/fence.h"
#include "core/wire_message.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rtd {

inline constexpr size_t kLongHeaderBytes = 10; // header of a frame of 64 KB and more
inline constexpr size_t kFragmentBytes = kPieceBytes - kLongHeaderBytes; // payload of one frame
inline constexpr size_t kMaxCloseReasonBytes = 123;

// A text message whose pieces are its frames.
WireMessage ws_message(std::string_view body);
// The same, compressed: `payload` is what core/deflate.h made of its body.
WireMessage ws_deflated_message(std::string_view payload);
// `reason` is valid UTF-8 and is cut to what fits.
std::string ws_close_frame(uint16_t code, std::string_view reason);
std::string ws_ping_frame(std::string_view payload);

} // namespace rtd
