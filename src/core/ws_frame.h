// Ready-made WebSocket frames (RFC 6455), server to client, so unmasked. A message is framed once
// and shared by every session it goes to. A large one is cut into fragments, each a frame of its
// own: a slow client then holds at most one fragment in libwebsockets' buffer, and pings, pongs and
// a close may go between two fragments, where in the middle of a frame they would garble it.
#pragma once
#include "core/fence.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rtd {

inline constexpr size_t kFragmentBytes = 128 * 1024; // payload of one frame
inline constexpr size_t kLongHeaderBytes = 10;       // header of a frame of 64 KB and more
inline constexpr size_t kMaxCloseReasonBytes = 123;

class WsMessage {
  public:
    explicit WsMessage(std::string_view body);

    size_t size() const { return bytes_.size(); }
    // The whole frame that begins at `offset`: 0, or where the frame before ended.
    std::string_view frame_at(size_t offset) const;

  private:
    std::string bytes_;
};

// `reason` is valid UTF-8 and is cut to what fits.
std::string ws_close_frame(uint16_t code, std::string_view reason);
std::string ws_ping_frame(std::string_view payload);

} // namespace rtd
