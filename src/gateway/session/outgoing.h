// Outgoing: messages of the hub for the subscribers of one instance, in the forms that clients take
// them. A form is made once, for the first who needs it, and has all the messages, one after the
// other: a client gets them in one write. Compression is for what many get: what a single client
// missed is not compressed for it.
#pragma once
#include "core/envelope.h"
#include "core/fence.h"
#include "gateway/session/sse_format.h"
#include "gateway/session/wire_message.h"
#include "gateway/websocket/deflate.h"
#include "gateway/websocket/ws_frame.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rtd::net {

class Outgoing {
  public:
    // `id` is empty for a control message. Without a deflater nothing is compressed.
    Outgoing(std::string body, std::string id, Deflater *deflater = nullptr) : deflater_(deflater) {
        add(std::move(body), std::move(id));
    }
    // Only before the first form is made.
    void add(std::string body, std::string id) {
        may_deflate_ |= deflater_ != nullptr && is_worth_deflating(body.size());
        messages_.push_back({std::move(body), std::move(id)});
    }

    // Of the last message.
    const std::string &id() const { return messages_.back().id; }
    const WireMessagePtr &plain() {
        if (!plain_)
            plain_ = std::make_shared<const WireMessage>(messages_.back().body);
        return plain_;
    }

    const WireMessagePtr &frames() {
        if (!frames_)
            frames_ = join(WireMessage::Kind::ws_frames, [](std::string &out, const Part &part) {
                append_ws_message(out, part.body);
            });
        return frames_;
    }
    // For clients who take messages compressed, where that makes them smaller.
    const WireMessagePtr &deflated_frames() {
        if (!may_deflate_)
            return frames();
        if (!deflated_frames_)
            deflated_frames_ =
                join(WireMessage::Kind::ws_frames, [this](std::string &out, const Part &part) {
                    std::optional<std::string> payload;
                    if (is_worth_deflating(part.body.size()))
                        payload = deflater_->deflate(part.body);
                    if (payload)
                        append_deflated_ws_message(out, *payload);
                    else
                        append_ws_message(out, part.body);
                });
        return deflated_frames_;
    }
    // The form that somebody needed, or nullptr; and one that was made of the same message before.
    const WireMessagePtr &made_deflated_frames() const { return deflated_frames_; }
    void reuse_deflated_frames(WireMessagePtr made) { deflated_frames_ = std::move(made); }
    // Data has no event name, so that EventSource's `onmessage` gets all of it; what is about the
    // subscription is an event named by its type, which a page listens to if it wants to know.
    const WireMessagePtr &events() {
        if (!events_)
            events_ = join(WireMessage::Kind::http, [](std::string &out, const Part &part) {
                std::string_view type = type_of(part.body);
                out += event_stream_event(part.body, part.id, type.starts_with("rtd_") ? type : "");
            });
        return events_;
    }

  private:
    struct Part {
        std::string body;
        std::string id;
    };
    template <class Append> WireMessagePtr join(WireMessage::Kind kind, Append append) const {
        std::string bytes;
        size_t last_begin = 0;
        for (const Part &part : messages_) {
            last_begin = bytes.size();
            append(bytes, part);
        }
        auto message = std::make_shared<WireMessage>(std::move(bytes), kind);
        message->set_messages(messages_.size(), last_begin);
        return message;
    }

    Deflater *deflater_;
    bool may_deflate_ = false;
    std::vector<Part> messages_;
    WireMessagePtr frames_, deflated_frames_, events_, plain_;
};

} // namespace rtd::net
