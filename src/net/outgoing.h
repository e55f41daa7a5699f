// Outgoing: a message of the hub in the forms that clients take it, each made once, for the first
// who needs it.
#pragma once
#include "core/envelope.h"
#include "core/event_stream.h"
#include "core/fence.h"
#include "core/wire_message.h"
#include "core/ws_frame.h"

#include <string>

namespace rtd::net {

class Outgoing {
  public:
    // Both outlive this. `id` is empty for a control message.
    Outgoing(const std::string &body, const std::string &id) : body_(body), id_(id) {}

    const std::string &body() const { return body_; }
    const std::string &id() const { return id_; }

    const WireMessagePtr &frame() {
        if (!frame_)
            frame_ = std::make_shared<const WireMessage>(ws_message(body_));
        return frame_;
    }
    // Data has no event name, so that EventSource's `onmessage` gets all of it; what is about the
    // subscription is an event named by its type, which a page listens to if it wants to know.
    const WireMessagePtr &event() {
        if (!event_) {
            std::string_view type = type_of(body_);
            event_ = std::make_shared<const WireMessage>(event_stream_event(
                body_, id_, type.starts_with("rtd_") ? type : std::string_view()));
        }
        return event_;
    }
    const WireMessagePtr &plain() {
        if (!plain_)
            plain_ = std::make_shared<const WireMessage>(body_);
        return plain_;
    }

  private:
    const std::string &body_;
    const std::string &id_;
    WireMessagePtr frame_, event_, plain_;
};

} // namespace rtd::net
