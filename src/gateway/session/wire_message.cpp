#include "gateway/session/wire_message.h"

#include "gateway/websocket/ws_frame.h"

namespace rtd {

size_t WireMessage::break_after(size_t offset) const {
    if (kind_ == Kind::http)
        return offset == 0 ? 0 : bytes_.size();
    size_t end = 0;
    while (end < offset)
        end += ws_frame_size(std::string_view(bytes_).substr(end));
    return end;
}

WireMessage ws_message(std::string_view body) {
    std::string bytes;
    append_ws_message(bytes, body);
    return WireMessage(std::move(bytes), WireMessage::Kind::ws_frames);
}

} // namespace rtd
