#include "core/link.h"

#include "core/fields.h"
#include "core/link_fields.h"

namespace rtd::link {

template <class IO> void fields(IO &io, Settings &f) {
    io(f.version);
    io(f.listen_addresses);
    io(f.port);
    io(f.max_clients);
    io(f.max_client_message_bytes);
    io(f.client_message_rate);
    io(f.max_subscriptions_per_client);
    io(f.client_buffer_bytes);
    io(f.ping_interval_ms);
    io(f.allowed_origins);
    io.choice(f.port_use, PortUse::joined);
    io(f.tls);
    io(f.tls_certificate);
    io(f.tls_key);
    io(f.tls_problem);
    io.choice(f.tls_min_version, TlsVersion::v1_3);
    io(f.max_clients_per_address);
    io(f.connection_rate);
    io(f.compression);
}
template <class IO> void fields(IO &io, Subscribed &f) {
    io(f.subscription);
    io(f.instance);
    io.choice(f.kind, TopicKind::keyed);
    io(f.awaits_first);
    io(f.recovered);
    io(f.first_follows);
    io(f.params);
}
template <class IO> void fields(IO &io, Ended &f) {
    io(f.subscription);
    code(io, f.code);
    io(f.reason);
}
template <class IO> void fields(IO &io, Message &f) {
    io(f.instance);
    io.choice(f.audience, Audience::live);
    io(f.body);
    io(f.id);
}
template <class IO> void fields(IO &io, Replayed &f) {
    io(f.subscription);
    io(f.body);
    io(f.id);
}
template <class IO> void fields(IO &io, Control &f) {
    io(f.instance);
    io(f.body);
}
template <class IO> void fields(IO &io, EndUntold &f) {
    io(f.instance);
    code(io, f.code);
    io(f.reason);
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
    code(io, f.code);
    io(f.reason);
}
template <class IO> void fields(IO &io, Listening &f) {
    io(f.addresses);
}
template <class IO> void fields(IO &io, ListenFailed &f) {
    io(f.address);
    io(f.error);
}
template <class IO> void fields(IO &io, TlsFailed &f) {
    io(f.problem);
    io(f.goes_on);
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
    io(f.since);
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

namespace {

constexpr size_t kLengthBytes = 4;
// A buffer that became larger for one frame goes with it.
constexpr size_t kLargeBuffer = 1 << 20;

constexpr uint32_t most_bytes(const HubFrame *) {
    return kMaxFrameBytes;
}
constexpr uint32_t most_bytes(const GatewayFrame *) {
    return kMaxGatewayFrameBytes;
}

template <class Frame> std::string encode_frame(const Frame &frame) {
    std::string bytes = encode_variant(frame, kLengthBytes);
    ByteWriter length;
    length.put(static_cast<uint32_t>(bytes.size() - kLengthBytes));
    return bytes.replace(0, kLengthBytes, length.take());
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
        if (length == 0 || length > most_bytes(static_cast<const Frame *>(nullptr)))
            return Problem{"link frame with an impossible length of " + std::to_string(length) +
                           " bytes"};
    }
    if (rest.size() < kLengthBytes || rest.size() - kLengthBytes < length) {
        buffer_.erase(0, consumed_);
        consumed_ = 0;
        if (buffer_.capacity() > kLargeBuffer && rest.size() < kLargeBuffer / 4 &&
            length < kLargeBuffer)
            buffer_.shrink_to_fit();
        return std::optional<Frame>();
    }
    Frame frame;
    if (!decode_variant(rest.substr(kLengthBytes, length), frame)) {
        auto type = static_cast<uint8_t>(rest[kLengthBytes]);
        return Problem{"malformed link frame of type " + std::to_string(type)};
    }
    consumed_ += kLengthBytes + length;
    return std::optional<Frame>(std::move(frame));
}

template class FrameReader<HubFrame>;
template class FrameReader<GatewayFrame>;

} // namespace rtd::link
