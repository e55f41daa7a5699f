#include "core/link.h"

#include <gtest/gtest.h>
#include <random>

namespace rtd::link {
namespace {

std::vector<HubFrame> hub_frames() {
    Settings settings;
    settings.listen_addresses = "localhost,::1";
    settings.port = 8787;
    settings.max_clients = 100;
    settings.max_client_message_bytes = 65536;
    settings.client_message_rate = 50;
    settings.max_subscriptions_per_client = 100;
    settings.client_buffer_bytes = 1 << 20;
    settings.ping_interval_ms = 30000;
    settings.allowed_origins = {"https://a.example", "*"};
    settings.port_use = PortUse::joined;
    settings.tls = true;
    settings.tls_certificate = "a certificate";
    settings.tls_key = "a key";
    settings.tls_problem = "could not open a file";
    settings.tls_min_version = TlsVersion::v1_3;
    settings.max_clients_per_address = 30;
    settings.connection_rate = 20;
    settings.compression = true;
    return {settings,
            Subscribed{1, 2, TopicKind::keyed, true, true, true, {"42", ""}},
            Ended{3, CloseCode::unknown_topic, "there is no topic \"x\""},
            Message{2, Audience::waiting, "{\"type\":\"queue_update\"}", "1-2"},
            Replayed{1, "{\"type\":\"queue_update\"}", "1-3"},
            Probed{4, true, "ready"},
            Ping{5},
            Shutdown{CloseCode::going_away, "bye"},
            Control{2, "{\"type\":\"rtd_error\"}"},
            Published{1, 7, 3, true, CloseCode::forbidden, "no"},
            EndUntold{2, CloseCode::unavailable, "the query failed"}};
}

std::vector<GatewayFrame> gateway_frames() {
    return {Listening{{"127.0.0.1:8787", "[::1]:8787"}},
            ListenFailed{"127.0.0.1:80", "Permission denied"},
            ClientConnected{1, "127.0.0.1:5", 1},
            ClientDisconnected{1, "127.0.0.1:5", 1006, "", 0},
            Subscribe{1, 1, "queue", {"a", ""}, "1-2"},
            Unsubscribe{1},
            Probe{2},
            Pong{3},
            Note{"a line"},
            Publish{1, 7, "queue", {"a"}, "{\"n\": 1.10}", "news"},
            TlsFailed{"the key does not fit", true}};
}

// A frame is compared by its encoding: whatever field were lost or swapped would show there.
template <class Frame> void expect_round_trip(const std::vector<Frame> &frames) {
    ASSERT_EQ(frames.size(), std::variant_size_v<Frame>) << "a frame has no sample here";
    std::string stream;
    for (const Frame &frame : frames)
        stream += encode(frame);
    for (size_t chunk : {size_t(1), size_t(3), stream.size()}) {
        FrameReader<Frame> reader;
        size_t read = 0;
        for (size_t at = 0; at < stream.size(); at += chunk) {
            reader.append(std::string_view(stream).substr(at, chunk));
            while (true) {
                auto frame = reader.next();
                ASSERT_TRUE(frame) << frame.error();
                if (!*frame)
                    break;
                ASSERT_LT(read, frames.size());
                EXPECT_EQ((*frame)->index(), frames[read].index());
                EXPECT_EQ(encode(**frame), encode(frames[read]));
                read++;
            }
        }
        EXPECT_EQ(read, frames.size()) << "in chunks of " << chunk;
    }
}

TEST(Link, every_frame_of_the_hub_survives_in_chunks_of_any_size) {
    expect_round_trip(hub_frames());
}

TEST(Link, every_frame_of_the_gateway_survives_in_chunks_of_any_size) {
    expect_round_trip(gateway_frames());
}

TEST(Link, the_fields_are_those_that_were_sent) {
    FrameReader<HubFrame> reader;
    reader.append(encode(hub_frames()[0]));
    auto frame = reader.next();
    ASSERT_TRUE(frame && *frame);
    const auto &settings = std::get<Settings>(**frame);
    EXPECT_EQ(settings.version, kVersion);
    EXPECT_EQ(settings.listen_addresses, "localhost,::1");
    EXPECT_EQ(settings.port, 8787);
    EXPECT_EQ(settings.max_clients, 100u);
    EXPECT_EQ(settings.max_client_message_bytes, 65536u);
    EXPECT_EQ(settings.client_buffer_bytes, 1u << 20);
    EXPECT_EQ(settings.ping_interval_ms, 30000u);
    EXPECT_EQ(settings.allowed_origins, (std::vector<std::string>{"https://a.example", "*"}));
    EXPECT_EQ(settings.max_clients_per_address, 30u);
    EXPECT_EQ(settings.connection_rate, 20u);
}

template <class Frame> void expect_truncation_is_noticed(const std::vector<Frame> &frames) {
    for (const Frame &frame : frames) {
        std::string bytes = encode(frame);
        for (size_t size = 0; size < bytes.size(); size++) {
            // The stream ends early: more is awaited.
            FrameReader<Frame> waiting;
            waiting.append(std::string_view(bytes).substr(0, size));
            auto nothing = waiting.next();
            ASSERT_TRUE(nothing);
            EXPECT_FALSE(*nothing);
            if (size <= 4)
                continue;
            // The length says that this was all: the frame is malformed.
            std::string cut = bytes.substr(0, size);
            cut[0] = static_cast<char>((size - 4) & 0xff);
            cut[1] = static_cast<char>((size - 4) >> 8);
            FrameReader<Frame> reader;
            reader.append(cut);
            EXPECT_FALSE(reader.next()) << "type " << frame.index() << " cut to " << size;
        }
    }
}

TEST(Link, a_frame_cut_at_any_byte_is_noticed) {
    expect_truncation_is_noticed(hub_frames());
    expect_truncation_is_noticed(gateway_frames());
}

template <class Frame> bool is_refused(std::string_view bytes) {
    FrameReader<Frame> reader;
    reader.append(bytes);
    return !reader.next();
}

TEST(Link, impossible_lengths_types_and_left_over_bytes_are_refused) {
    EXPECT_TRUE(is_refused<HubFrame>(std::string_view("\0\0\0\0", 4)));
    EXPECT_TRUE(is_refused<HubFrame>("\xff\xff\xff\xff"));
    EXPECT_TRUE(is_refused<HubFrame>(std::string_view("\1\0\0\0\x63", 5)));
    std::string ping = encode(HubFrame(Ping{1}));
    ping[0]++;
    EXPECT_TRUE(is_refused<HubFrame>(ping + "x"));
}

TEST(Link, garbage_never_reads_past_its_end_or_loops) {
    std::mt19937 random(20240229);
    for (int round = 0; round < 20000; round++) {
        std::string bytes(random() % 64, '\0');
        for (char &c : bytes)
            c = static_cast<char>(random());
        if (bytes.size() >= 5) { // make it a frame that is taken up
            bytes[0] = static_cast<char>(bytes.size() - 4);
            bytes[1] = bytes[2] = bytes[3] = 0;
            bytes[4] = static_cast<char>(random() % 10);
        }
        FrameReader<HubFrame> hub;
        hub.append(bytes);
        FrameReader<GatewayFrame> gateway;
        gateway.append(bytes);
        for (bool more = true; more;) {
            auto frame = hub.next();
            more = frame && *frame;
        }
        for (bool more = true; more;) {
            auto frame = gateway.next();
            more = frame && *frame;
        }
    }
}

} // namespace
} // namespace rtd::link
