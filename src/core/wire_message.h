// WireMessage: a message as bytes, ready to be written, shared by every session it goes to. It is
// written in pieces, so that a slow client holds at most one of them in libwebsockets' buffer. What
// the bytes are is made in core/ws_frame.h and core/event_stream.h.
#pragma once
#include "core/fence.h"

#include <cassert>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace rtd {

inline constexpr size_t kPieceBytes = 128 * 1024 + 10;

class WireMessage {
  public:
    explicit WireMessage(std::string bytes) : bytes_(std::move(bytes)) {}

    size_t size() const { return bytes_.size(); }
    // `offset` is 0, or where the piece before ended.
    std::string_view piece_at(size_t offset) const {
        assert(offset < bytes_.size());
        return std::string_view(bytes_).substr(offset, kPieceBytes);
    }

  private:
    std::string bytes_;
};

using WireMessagePtr = std::shared_ptr<const WireMessage>;

} // namespace rtd
