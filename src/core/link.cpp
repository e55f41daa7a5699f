#include "core/link.h"

#include "core/bytes.h"

#include <array>
#include <type_traits>

namespace rtd::link {

namespace {

// One function per frame lists its fields; encoding and decoding both walk that list, so they
// cannot disagree. `io` is a Put or a Get.
struct Put {
    ByteWriter &out;
    template <class T> void operator()(T &value) { out.put(value); }
    template <class E> void choice(E &value, E) { out.put(value); }
    void code(CloseCode &value) { out.put(value); }
};

struct Get {
    ByteReader &in;
    template <class T> void operator()(T &value) { in.get(value); }
    template <class E> void choice(E &value, E last) { in.get_enum(value, last); }
    void code(CloseCode &value) {
        uint16_t raw = 0;
        in.get(raw);
        value = static_cast<CloseCode>(raw);
    }
};

template <class IO> void fields(IO &io, Settings &f) {
    io(f.version);
    io(f.listen_addresses);
    io(f.port);
    io(f.max_clients);
    io(f.max_client_message_bytes);
    io(f.client_buffer_bytes);
    io(f.ping_interval_ms);
    io(f.allowed_origins);
}
template <class IO> void fields(IO &io, Subscribed &f) {
    io(f.subscription);
    io(f.instance);
    io.choice(f.kind, TopicKind::state);
    io(f.awaits_first);
}
template <class IO> void fields(IO &io, Ended &f) {
    io(f.subscription);
    io.code(f.code);
    io(f.reason);
}
template <class IO> void fields(IO &io, Message &f) {
    io(f.instance);
    io.choice(f.audience, Audience::live);
    io(f.body);
}
template <class IO> void fields(IO &io, Probed &f) {
    io(f.probe);
    io(f.ready);
    io(f.detail);
}
template <class IO> void fields(IO &io, Ping &f) {
    io(f.probe);
}
template <class IO> void fields(IO &io, Shutdown &f) {
    io.code(f.code);
    io(f.reason);
}
template <class IO> void fields(IO &io, Listening &f) {
    io(f.addresses);
}
template <class IO> void fields(IO &io, ListenFailed &f) {
    io(f.address);
    io(f.error);
}
template <class IO> void fields(IO &io, ClientConnected &f) {
    io(f.client);
    io(f.address);
    io(f.total);
}
template <class IO> void fields(IO &io, ClientDisconnected &f) {
    io(f.client);
    io(f.address);
    io(f.code);
    io(f.reason);
    io(f.remaining);
}
template <class IO> void fields(IO &io, Subscribe &f) {
    io(f.subscription);
    io(f.client);
    io(f.topic);
    io(f.params);
}
template <class IO> void fields(IO &io, Unsubscribe &f) {
    io(f.subscription);
}
template <class IO> void fields(IO &io, Probe &f) {
    io(f.probe);
}
template <class IO> void fields(IO &io, Pong &f) {
    io(f.probe);
}
template <class IO> void fields(IO &io, Note &f) {
    io(f.text);
}

constexpr size_t kLengthBytes = 4;

template <class Frame> std::string encode_frame(const Frame &frame) {
    ByteWriter out;
    out.put(static_cast<uint8_t>(frame.index()));
    Put put{out};
    std::visit(
        [&](const auto &f) { fields(put, const_cast<std::remove_cvref_t<decltype(f)> &>(f)); },
        frame);
    std::string payload = out.take();
    ByteWriter length;
    length.put(static_cast<uint32_t>(payload.size()));
    return length.take() + payload;
}

template <class Frame, size_t I = 0>
bool decode_alternative(size_t type, ByteReader &in, Frame &frame) {
    if constexpr (I == std::variant_size_v<Frame>) {
        return false;
    } else {
        if (type != I)
            return decode_alternative<Frame, I + 1>(type, in, frame);
        Get get{in};
        fields(get, frame.template emplace<I>());
        return in.ok() && in.at_end();
    }
}

} // namespace

std::string encode(const HubFrame &frame) {
    return encode_frame(frame);
}
std::string encode(const GatewayFrame &frame) {
    return encode_frame(frame);
}

template <class Frame> Result<std::optional<Frame>> FrameReader<Frame>::next() {
    std::string_view rest = std::string_view(buffer_).substr(consumed_);
    uint32_t length = 0;
    if (rest.size() >= kLengthBytes) {
        ByteReader(rest.substr(0, kLengthBytes)).get(length);
        if (length == 0 || length > kMaxFrameBytes)
            return Problem{"link frame with an impossible length of " + std::to_string(length) +
                           " bytes"};
    }
    if (rest.size() < kLengthBytes || rest.size() - kLengthBytes < length) {
        buffer_.erase(0, consumed_);
        consumed_ = 0;
        return std::optional<Frame>();
    }
    ByteReader in(rest.substr(kLengthBytes, length));
    uint8_t type = 0;
    in.get(type);
    Frame frame;
    if (!decode_alternative(type, in, frame))
        return Problem{"malformed link frame of type " + std::to_string(type)};
    consumed_ += kLengthBytes + length;
    return std::optional<Frame>(std::move(frame));
}

template class FrameReader<HubFrame>;
template class FrameReader<GatewayFrame>;

} // namespace rtd::link
