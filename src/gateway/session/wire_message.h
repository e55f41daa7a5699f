// WireMessage: one message or several as bytes, ready to be written, shared by every session they
// go to. What the bytes are is made in gateway/websocket/ws_frame.h and
// gateway/session/sse_format.h.
#pragma once
#include "core/fence.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace rtd {

class WireMessage {
  public:
    enum class Kind : uint8_t { http, ws_frames };

    explicit WireMessage(std::string bytes, Kind kind = Kind::http)
        : bytes_(std::move(bytes)), kind_(kind) {}

    // For several messages: how many they are, and where the last one begins.
    void set_messages(size_t count, size_t last_begin) {
        count_ = count;
        last_begin_ = last_begin;
    }

    std::string_view bytes() const { return bytes_; }
    size_t size() const { return bytes_.size(); }
    size_t count() const { return count_; }
    size_t last_begin() const { return last_begin_; }

    // The first place, at `offset` or after it, where something else may come in between: the end
    // of a WebSocket frame; in the body of an HTTP answer only its end.
    size_t break_after(size_t offset) const;

  private:
    std::string bytes_;
    size_t count_ = 1;
    size_t last_begin_ = 0;
    Kind kind_;
};

using WireMessagePtr = std::shared_ptr<const WireMessage>;

// One text message.
WireMessage ws_message(std::string_view body);

} // namespace rtd
