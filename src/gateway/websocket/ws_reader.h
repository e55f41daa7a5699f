// WsReader: what a client sends on a WebSocket (RFC 6455), read into whole messages and control
// frames. The frames are wslay's work (Debian's libwslay, by the author of nghttp2): an exact
// reader that brings no loop and no socket of its own. What it leaves to us, and what makes a
// sequence of frames right, is here. A reader exists only while something is coming in, so that
// a client who listens costs nothing.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "gateway/websocket/ws_frame.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <wslay/wslay.h>

namespace rtd {

struct WsIncoming {
    WsOpcode opcode; // text, binary, close, ping or pong
    bool is_compressed = false;
    std::string payload; // unmasked; not looked at
};

struct WsViolation { // the connection cannot go on
    CloseCode code;
    std::string reason; // a sentence
};

struct WsNeedsMore {};

class WsReader {
  public:
    struct Limits {
        size_t max_message_bytes;
        bool allows_compressed = false;
    };
    explicit WsReader(Limits limits);

    // `bytes` are what follows what was given before; they are read before the next call.
    void feed(std::string_view bytes) { input_ = bytes; }
    // After a violation the reader must not be used again.
    std::variant<WsIncoming, WsNeedsMore, WsViolation> next();
    // At the beginning of a frame, and in no message.
    bool is_idle() const { return input_.empty() && unread_ == 0 && !is_in_message_; }

  private:
    struct Free {
        void operator()(wslay_frame_context *context) const { wslay_frame_context_free(context); }
    };
    static ssize_t take_input(uint8_t *buffer, size_t size, int flags, void *reader);
    std::string_view violation(const wslay_frame_iocb &frame, bool is_control) const;
    void begin_frame(const wslay_frame_iocb &frame);

    Limits limits_;
    std::unique_ptr<wslay_frame_context, Free> wslay_;
    std::string_view input_;
    size_t unread_ = 0; // bytes that wslay has taken of frames it has not reported in full

    uint64_t remaining_ = 0; // payload of the frame under way
    bool is_in_frame_ = false;
    bool is_in_message_ = false; // some fragment of a message has come
    std::string control_;        // a control frame may come between fragments
    WsIncoming message_{WsOpcode::text, false, {}};
};

} // namespace rtd
