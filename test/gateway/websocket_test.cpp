// The WebSocket protocol: what clients may send, what they may not, and how connections end.
#include "client.h"

namespace rtd::test {
namespace {

using namespace rtd::link;

// A client that is connected and subscribed at the hub.
struct Subscriber {
    Client client;
    ClientConnected connected;
    Subscribe subscribe;

    explicit Subscriber(GatewayProcess &gateway, std::string_view target = "/ws/queue")
        : client(gateway.port) {
        EXPECT_EQ(client.upgrade(target), 101);
        connected = gateway.expect<ClientConnected>();
        subscribe = gateway.expect<Subscribe>();
    }
};

ClientDisconnected expect_gone(GatewayProcess &gateway) {
    gateway.expect<Unsubscribe>();
    return gateway.expect<ClientDisconnected>();
}

TEST(WebSocket, the_hub_is_told_who_connects_and_to_what) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway, "/ws/context-analysis/4%2F2/%C3%A4?since=1-2&token=x&other");
    EXPECT_EQ(subscriber.connected.address, subscriber.client.address);
    EXPECT_EQ(subscriber.connected.total, 1u);
    EXPECT_EQ(subscriber.subscribe.client, subscriber.connected.client);
    EXPECT_EQ(subscriber.subscribe.topic, "context-analysis");
    EXPECT_EQ(subscriber.subscribe.params, (std::vector<std::string>{"4/2", "\xc3\xa4"}));
}

TEST(WebSocket, the_accept_header_is_the_one_of_the_key) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway);
    // The example of RFC 6455.
    EXPECT_NE(subscriber.client.head.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
              std::string::npos);
    EXPECT_EQ(subscriber.client.head.find("Sec-WebSocket-Extensions"), std::string::npos);
}

TEST(WebSocket, unknown_extensions_are_left_alone) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    EXPECT_EQ(client.upgrade("/ws/queue", "Sec-WebSocket-Extensions: x-webkit-deflate-frame\r\n"),
              101);
    EXPECT_EQ(client.head.find("Sec-WebSocket-Extensions"), std::string::npos);
}

TEST(WebSocket, a_refused_subscription_closes_with_its_code_and_reason) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway);
    std::string reason(121, 'x');
    gateway.send(Ended{subscriber.subscribe.subscription, CloseCode::unknown_topic,
                       reason + "\xe2\x82\xac"});
    Frame close = subscriber.client.read_close();
    EXPECT_EQ(close.close_code(), 4404);
    EXPECT_EQ(close.close_reason(), reason); // cut before the character that does not fit
    subscriber.client.send_frame(kClose, close.payload);
    EXPECT_TRUE(subscriber.client.is_closed());
    auto gone = gateway.expect<ClientDisconnected>(); // and no Unsubscribe: the hub knows
    EXPECT_EQ(gone.client, subscriber.connected.client);
    EXPECT_EQ(gone.code, 4404);
    EXPECT_EQ(gone.reason, reason);
    EXPECT_EQ(gone.remaining, 0u);
}

TEST(WebSocket, a_client_that_ignores_the_close_frame_is_dropped) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway);
    gateway.send(Ended{subscriber.subscribe.subscription, CloseCode::forbidden, "no"});
    EXPECT_EQ(subscriber.client.read_close().close_code(), 4403);
    EXPECT_TRUE(subscriber.client.is_closed());
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 4403);
}

TEST(WebSocket, a_close_of_the_client_is_answered_and_reported_as_it_said) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway);
    subscriber.client.send_frame(kClose, close_payload(1000, "done"));
    Frame close = subscriber.client.read_close();
    EXPECT_EQ(close.close_code(), 1000);
    EXPECT_TRUE(subscriber.client.is_closed());
    auto gone = expect_gone(gateway);
    EXPECT_EQ(gone.code, 1000);
    EXPECT_EQ(gone.reason, "done");
    EXPECT_EQ(gone.address, subscriber.client.address);
}

TEST(WebSocket, a_close_reason_cannot_forge_lines_in_the_log) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway);
    subscriber.client.send_frame(kClose, close_payload(4000, "a\nLOG:  all is well"));
    auto gone = expect_gone(gateway);
    EXPECT_EQ(gone.code, 4000);
    EXPECT_EQ(gone.reason, "a?LOG:  all is well");
}

TEST(WebSocket, a_client_that_vanishes_is_1006) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway);
    subscriber.client.vanish();
    EXPECT_EQ(expect_gone(gateway).code, 1006);
}

TEST(WebSocket, data_from_the_client_is_ignored) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway);
    subscriber.client.send_frame(kText, "hello");
    subscriber.client.send_frame(kBinary, "\xff\xfe");
    subscriber.client.send_frame(kText, "");
    subscriber.client.send_frame(kPing, "still there?");
    EXPECT_EQ(subscriber.client.read_frame().payload, "still there?");
}

TEST(WebSocket, a_message_over_the_limit_closes_with_1009) {
    Settings settings = local_settings();
    settings.max_client_message_bytes = 5000;
    GatewayProcess gateway(settings);
    Subscriber fits(gateway);
    fits.client.send_frame(kText, std::string(5000, 'x'));
    fits.client.send_frame(kText, std::string(5000, 'x'));
    fits.client.send_frame(kPing, "");
    EXPECT_EQ(fits.client.read_frame().opcode, kPong);

    Subscriber large(gateway);
    large.client.send_frame(kText, std::string(5001, 'x'));
    Frame close = large.client.read_close();
    EXPECT_EQ(close.close_code(), 1009);
    EXPECT_NE(close.close_reason().find("5000 bytes"), std::string::npos);
    large.client.send_frame(kClose, close.payload);
    EXPECT_EQ(expect_gone(gateway).code, 1009);
}

TEST(WebSocket, the_limit_counts_over_all_fragments) {
    Settings settings = local_settings();
    settings.max_client_message_bytes = 5000;
    GatewayProcess gateway(settings);
    Subscriber subscriber(gateway);
    subscriber.client.send_frame(kText, std::string(2500, 'x'), false);
    subscriber.client.send_frame(kContinuation, std::string(2500, 'x'), false);
    subscriber.client.send_frame(kPing, "");
    EXPECT_EQ(subscriber.client.read_frame().opcode, kPong);
    subscriber.client.send_frame(kContinuation, "x", true);
    EXPECT_EQ(subscriber.client.read_close().close_code(), 1009);
}

TEST(WebSocket, a_ping_may_come_between_two_fragments) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway);
    for (int i = 0; i < 3; i++) {
        subscriber.client.send_frame(kText, "\xc3", false); // even inside a character
        subscriber.client.send_frame(kPing, "between");
        EXPECT_EQ(subscriber.client.read_frame().payload, "between");
        subscriber.client.send_frame(kContinuation, "\xa4");
    }
    subscriber.client.send_frame(kPing, "after");
    EXPECT_EQ(subscriber.client.read_frame().payload, "after");
}

TEST(WebSocket, text_that_is_not_UTF_8_closes_with_1007) {
    GatewayProcess gateway(local_settings());
    for (std::string_view text : {"\xff", "caf\xc3", "\xed\xa0\x80"}) {
        Subscriber subscriber(gateway);
        subscriber.client.send_frame(kText, text);
        Frame close = subscriber.client.read_close();
        EXPECT_EQ(close.close_code(), 1007);
        subscriber.client.send_frame(kClose, close.payload);
        EXPECT_EQ(expect_gone(gateway).code, 1007);
    }
}

TEST(WebSocket, violations_of_the_protocol_close_with_1002) {
    GatewayProcess gateway(local_settings());
    auto close_code_after = [&](auto action) {
        Subscriber subscriber(gateway);
        action(subscriber.client);
        uint16_t code = subscriber.client.read_close().close_code();
        subscriber.client.vanish();
        expect_gone(gateway);
        return code;
    };
    EXPECT_EQ(close_code_after([](Client &c) { c.send_frame(3, "x"); }), 1002);
    EXPECT_EQ(close_code_after([](Client &c) { c.send_frame(kContinuation, "x"); }), 1002);
    EXPECT_EQ(close_code_after([](Client &c) { c.send_frame(kPing, "x", false); }), 1002);
}

TEST(WebSocket, an_unmasked_frame_of_a_client_ends_its_connection_and_no_other) {
    GatewayProcess gateway(local_settings());
    Subscriber rude(gateway), other(gateway);
    rude.client.send_frame(kText, "hello", true, false);
    EXPECT_EQ(rude.client.read_close().close_code(), 1002);
    other.client.send_frame(kPing, "y");
    EXPECT_EQ(other.client.read_frame().payload, "y");
}

TEST(WebSocket, frames_sent_along_with_the_request_are_not_lost) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    // "early" as a masked ping, in one packet with the head.
    client.send(Client::upgrade_head("/ws/queue") + std::string("\x89\x85\0\0\0\0early", 11));
    EXPECT_EQ(client.read_head(), 101);
    EXPECT_EQ(client.read_frame().payload, "early");
}

TEST(Keepalive, a_silent_client_is_pinged_and_dropped_and_one_that_answers_is_not) {
    Settings settings = local_settings();
    settings.ping_interval_ms = 200;
    GatewayProcess gateway(settings);
    Subscriber silent(gateway), lively(gateway);
    EXPECT_EQ(silent.client.read_frame().opcode, kPing);
    for (int pings = 0; pings < 5; pings++) {
        Frame ping = lively.client.read_frame();
        ASSERT_EQ(ping.opcode, kPing);
        lively.client.send_frame(kPong, ping.payload);
    }
    EXPECT_TRUE(silent.client.is_closed());
    auto gone = expect_gone(gateway);
    EXPECT_EQ(gone.client, silent.connected.client);
    EXPECT_EQ(gone.code, 1006);
    EXPECT_NE(gone.reason, "");
    lively.client.send_frame(kPing, "x");
    EXPECT_NE(lively.client.read_frame().opcode, -1);
}

} // namespace
} // namespace rtd::test
