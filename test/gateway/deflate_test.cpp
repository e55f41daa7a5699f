// permessage-deflate on the wire: who gets what compressed, what clients may send, and that a
// message is compressed once. The clients' side of it is zlib itself.
#include "client.h"

#include "zlib_peer.h"

#include <fstream>
#include <random>

namespace rtd::test {
namespace {

using namespace rtd::link;
using namespace std::string_literals;

constexpr std::string_view kOffer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
constexpr int kDeflated = 0x40; // RSV1

// A message of the gateway, for which it promises a window of 4 kB.
std::string inflated_of_gateway(const std::string &payload) {
    constexpr int kWindowBits = 12;
    return inflated(payload, kWindowBits);
}

// A message of a client, with the largest window.
std::string deflated(const std::string &text) {
    std::string payload(compressBound(text.size()) + 100, '\0');
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef *>(payload.data());
    stream.avail_out = static_cast<uInt>(payload.size());
    EXPECT_EQ(::deflate(&stream, Z_SYNC_FLUSH), Z_OK);
    payload.resize(stream.total_out - kDeflateTail.size());
    deflateEnd(&stream);
    return payload;
}

std::string rows(size_t bytes, int from = 0) {
    std::string text = "[";
    for (int id = from; text.size() < bytes; id++)
        text += "{\"id\": " + std::to_string(id) + ", \"state\": \"geplant für später\"},";
    return text + "null]";
}

// Compressed it is three quarters as large, and takes long.
std::string noise(size_t bytes) {
    std::mt19937 random(1);
    std::string text;
    while (text.size() < bytes)
        text += static_cast<char>('0' + random() % 64);
    return text;
}

enum class Takes { plain, compressed };

struct Subscriber : Client {
    uint64_t subscription;

    Subscriber(GatewayProcess &gateway, Takes takes, bool awaits_first = false,
               std::string_view target = "/ws/queue", TopicKind kind = TopicKind::event,
               int receive_buffer_bytes = 0)
        : Client(gateway.port, receive_buffer_bytes) {
        takes_compressed = takes == Takes::compressed;
        inflate = inflated_of_gateway;
        EXPECT_EQ(upgrade(target, takes_compressed ? kOffer : ""), 101);
        EXPECT_EQ(head.find("permessage-deflate") != std::string::npos, takes_compressed);
        gateway.expect<ClientConnected>();
        subscription = gateway.expect<Subscribe>().subscription;
        gateway.send(Subscribed{subscription, 1, kind, awaits_first, false});
    }
};

struct Multiplexed : Client {
    explicit Multiplexed(GatewayProcess &gateway) : Client(gateway.port) {
        takes_compressed = true;
        inflate = inflated_of_gateway;
        EXPECT_EQ(upgrade("/ws", kOffer), 101);
        gateway.expect<ClientConnected>();
    }
    void say(const std::string &text) { send_frame(kText | kDeflated, deflated(text)); }
};

void settle(GatewayProcess &gateway) {
    static uint64_t last = 0;
    gateway.send(Ping{++last});
    EXPECT_EQ(gateway.expect<Pong>().probe, last);
}

void expect_end(GatewayProcess &gateway, Client &client, uint16_t code) {
    EXPECT_EQ(client.read_close().close_code(), code);
    EXPECT_TRUE(client.is_closed());
    client.vanish();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, code);
    EXPECT_TRUE(gateway.is_alive());
}

// ---- negotiation ----

std::string answer_to(GatewayProcess &gateway, std::string_view headers) {
    Client client(gateway.port);
    EXPECT_EQ(client.upgrade("/ws", headers), 101) << headers;
    gateway.expect<ClientConnected>();
    client.vanish();
    gateway.expect<ClientDisconnected>();
    size_t at = client.head.find("Sec-WebSocket-Extensions: ");
    if (at == std::string::npos)
        return "";
    at = client.head.find(' ', at) + 1;
    return client.head.substr(at, client.head.find("\r\n", at) - at);
}

TEST(Deflate, is_agreed_upon_where_it_is_offered_and_can_be_kept) {
    GatewayProcess gateway(local_settings());
    const std::string accepted = "permessage-deflate; server_no_context_takeover; "
                                 "client_no_context_takeover";
    const std::string header = "Sec-WebSocket-Extensions: ";
    EXPECT_EQ(answer_to(gateway, ""), "");
    EXPECT_EQ(answer_to(gateway, header + "permessage-deflate; client_max_window_bits\r\n"),
              accepted);
    EXPECT_EQ(answer_to(gateway, header + "other\r\n" + header +
                                     "permessage-deflate; server_max_window_bits=12\r\n"),
              accepted + "; server_max_window_bits=12");
    EXPECT_EQ(answer_to(gateway, header + "permessage-deflate; server_max_window_bits=9\r\n"), "");
}

TEST(Deflate, a_malformed_offer_is_refused) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    EXPECT_EQ(client.upgrade("/ws/queue", "Sec-WebSocket-Extensions: permessage-deflate;;\r\n"),
              400);
    EXPECT_NE(client.read_to_end().find("Sec-WebSocket-Extensions"), std::string::npos);
}

TEST(Deflate, can_be_turned_off_also_for_those_who_are_connected) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway, Takes::compressed);
    Multiplexed multiplexed(gateway);
    link::Settings settings = local_settings();
    settings.compression = false;
    settings.listen_addresses = "127.0.0.1";
    gateway.send(settings);
    gateway.send(Message{1, Audience::live, rows(5000), "1-1"});
    EXPECT_EQ(subscriber.read_text(), rows(5000));
    EXPECT_FALSE(subscriber.was_compressed);
    multiplexed.say(R"({"action":"ping"})"); // they may go on, as agreed
    EXPECT_NE(multiplexed.read_text().find("rtd_pong"), std::string::npos);
    EXPECT_EQ(answer_to(gateway, kOffer), "");
}

// ---- messages for clients ----

TEST(Deflate, a_message_comes_compressed_to_those_who_take_it_and_plain_to_the_others) {
    GatewayProcess gateway(local_settings());
    Subscriber compressed(gateway, Takes::compressed), plain(gateway, Takes::plain),
        late(gateway, Takes::compressed, true);
    for (int i = 0; i < 20; i++) {
        std::string body = rows(2000 + 100 * i, i);
        gateway.send(Message{1, i == 0 ? Audience::waiting : Audience::live, body, "1-1"});
        if (i == 0) {
            EXPECT_EQ(late.read_text(), body);
            EXPECT_TRUE(late.was_compressed);
            continue;
        }
        for (Subscriber *subscriber : {&compressed, &plain, &late}) {
            EXPECT_EQ(subscriber->read_text(), body);
            EXPECT_EQ(subscriber->was_compressed, subscriber != &plain);
            EXPECT_LE(subscriber->payload_bytes, body.size() / (subscriber != &plain ? 3 : 1));
        }
    }
}

TEST(Deflate, what_is_short_or_very_long_or_random_comes_as_it_is) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway, Takes::compressed);
    std::mt19937 random(1);
    std::string incompressible(5000, '\0');
    for (char &c : incompressible)
        c = static_cast<char>(random());
    for (const auto &[body, is_compressed] : {std::pair(rows(900), false),
                                              {rows(1100), true},
                                              {rows((1 << 20) - 100), true},
                                              {rows((1 << 20) + 1), false},
                                              {incompressible, false},
                                              {rows(2000), true}}) {
        gateway.send(Message{1, Audience::live, body, "1-1"});
        EXPECT_TRUE(subscriber.read_text() == body) << body.size();
        EXPECT_EQ(subscriber.was_compressed, is_compressed) << body.size();
    }
}

TEST(Deflate, a_large_message_comes_in_fragments) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway, Takes::compressed);
    std::string body = noise(1 << 20);
    gateway.send(Message{1, Audience::live, body, "1-1"});
    EXPECT_TRUE(subscriber.read_text() == body);
    EXPECT_TRUE(subscriber.was_compressed);
    EXPECT_FALSE(subscriber.last.is_compressed); // the last of several frames
    EXPECT_GT(subscriber.payload_bytes, body.size() / 2);
}

TEST(Deflate, many_messages_at_once_come_in_order_whatever_their_size) {
    GatewayProcess gateway(local_settings());
    Subscriber compressed(gateway, Takes::compressed), plain(gateway, Takes::plain);
    std::string stream;
    std::vector<std::string> bodies;
    for (int i = 0; i < 300; i++) {
        bodies.push_back(rows(i % 3 == 0 ? 3000 : 100, i));
        stream += link::encode(Message{1, Audience::live, bodies.back(), "1-1"});
    }
    gateway.send_raw(stream);
    for (const std::string &body : bodies) {
        ASSERT_EQ(compressed.read_text(), body);
        ASSERT_EQ(compressed.was_compressed, body.size() > 1000);
        ASSERT_EQ(plain.read_text(), body);
    }
}

TEST(Deflate, what_one_client_missed_is_not_compressed_for_it_alone) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway, Takes::compressed);
    gateway.send(Replayed{subscriber.subscription, rows(5000), "1-1"});
    EXPECT_EQ(subscriber.read_text(), rows(5000));
    EXPECT_FALSE(subscriber.was_compressed);
}

// A client that does not read: of the states that wait only the newest is kept, compressed or not.
TEST(Deflate, a_slow_client_skips_to_the_newest_state) {
    link::Settings settings = local_settings();
    settings.client_buffer_bytes = 64 << 10;
    GatewayProcess gateway(settings);
    Subscriber slow(gateway, Takes::compressed, false, "/ws/queue", TopicKind::state);
    constexpr int kStates = 400;
    for (int i = 0; i < kStates; i++) {
        gateway.send(Message{1, Audience::live, std::to_string(i) + ":" + noise(60000), "1-1"});
        settle(gateway);
    }
    int last = -1, seen = 0;
    while (last < kStates - 1) {
        std::string text = slow.read_text();
        ASSERT_TRUE(slow.was_compressed);
        ASSERT_GT(std::stoi(text), last);
        last = std::stoi(text);
        seen++;
    }
    EXPECT_LT(seen, kStates);
}

// ---- messages of clients ----

TEST(Deflate, compressed_messages_of_a_client_are_understood) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    for (int i = 0; i < 3; i++) { // nothing may be left of the one before
        client.say(R"({"action":"ping","ref":)" + std::to_string(i) + "}");
        EXPECT_NE(client.read_text().find("\"ref\":" + std::to_string(i)), std::string::npos);
    }
    client.send_frame(kText, R"({"action":"ping","ref":"plain"})");
    EXPECT_NE(client.read_text().find("plain"), std::string::npos);

    std::string data = rows(40000);
    client.say(R"({"action":"publish","topic":"chat","data":)" + data + "}");
    EXPECT_EQ(gateway.expect<Publish>().data, data);
}

TEST(Deflate, a_compressed_message_may_come_in_pieces_with_a_ping_in_between) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    std::string payload = deflated(R"({"action":"ping","ref":"in pieces"})");
    client.send_frame(kText | kDeflated, payload.substr(0, 5), false);
    client.send_frame(kPing, "now");
    client.send_frame(kContinuation, payload.substr(5, 3), false);
    client.send_frame(kContinuation, payload.substr(8));
    EXPECT_NE(client.read_text().find("in pieces"), std::string::npos);
    EXPECT_EQ(client.pongs, 1);
}

TEST(Deflate, the_limit_of_a_message_counts_what_it_says) {
    GatewayProcess gateway(local_settings());
    const size_t limit = local_settings().max_client_message_bytes;
    Multiplexed client(gateway);
    std::string text = R"({"action":"ping","ref":"x"})";
    client.say(text + std::string(limit - text.size(), ' '));
    EXPECT_NE(client.read_text().find("rtd_pong"), std::string::npos);
    client.say(text + std::string(limit - text.size() + 1, ' '));
    expect_end(gateway, client, 1009);
}

TEST(Deflate, a_zip_bomb_is_closed_with_1009_and_costs_next_to_nothing) {
    GatewayProcess gateway(local_settings());
    Multiplexed client(gateway);
    std::string bomb = deflated(std::string(50 << 20, ' ')); // 50 MB in 50 kB
    ASSERT_LT(bomb.size(), local_settings().max_client_message_bytes);
    client.send_frame(kText | kDeflated, bomb);
    expect_end(gateway, client, 1009);
    std::ifstream status("/proc/" + std::to_string(gateway.pid()) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) {
            EXPECT_LT(std::stoi(line.substr(6)), 200 << 10) << "kB"; // sanitizers take much of it
        }
}

TEST(Deflate, what_is_broken_ends_the_connection_and_nothing_else) {
    struct Case {
        const char *what;
        uint16_t code;
        std::string frames;
    };
    auto frame = [](int first, std::string_view payload, bool is_final = true) {
        return Client::make_frame(first, payload, is_final, true);
    };
    const std::string ping = deflated(R"({"action":"ping"})");
    const Case cases[] = {
        {"no deflate at all", 1002, frame(kText | kDeflated, "\xff\xff\xff")},
        {"an empty payload", 1002, frame(kText | kDeflated, "")},
        {"plain text marked as compressed", 1002, frame(kText | kDeflated, R"({"action":"ping"})")},
        {"a message cut short", 1002, frame(kText | kDeflated, ping.substr(0, ping.size() - 3))},
        {"a reference to the message before", 1002,
         frame(kText | kDeflated, "\xf2\x00\x11\x00\x00"s)},
        {"text that is not UTF-8", 1007, frame(kText | kDeflated, deflated("\xff\xfe"))},
        {"binary data", 1003, frame(kBinary | kDeflated, ping)},
        {"the bit on a continuation", 1002,
         frame(kText | kDeflated, ping.substr(0, 5), false) +
             frame(kContinuation | kDeflated, ping.substr(5))},
        {"the bit on a continuation of a plain message", 1002,
         frame(kText, "{", false) + frame(kContinuation | kDeflated, "}")},
        {"the bit on a ping", 1002, frame(kPing | kDeflated, "x")},
        {"the bit on a close", 1002, frame(kClose | kDeflated, close_payload(1000, ""))},
        {"another reserved bit beside it", 1002, frame(kText | kDeflated | 0x20, ping)},
    };
    GatewayProcess gateway(local_settings());
    for (const Case &broken : cases) {
        SCOPED_TRACE(broken.what);
        Multiplexed client(gateway);
        client.send(broken.frames);
        expect_end(gateway, client, broken.code);
    }
}

TEST(Deflate, without_an_agreement_a_compressed_message_is_a_protocol_error) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    EXPECT_EQ(client.upgrade("/ws"), 101);
    gateway.expect<ClientConnected>();
    client.send_frame(kText | kDeflated, deflated(R"({"action":"ping"})"));
    expect_end(gateway, client, 1002);
}

// It is ignored without being inflated: otherwise a client could make the gateway work far harder
// than itself, at a rate that nothing limits.
TEST(Deflate, what_a_client_of_one_topic_says_is_ignored_also_compressed) {
    GatewayProcess gateway(local_settings());
    Subscriber subscriber(gateway, Takes::compressed);
    subscriber.send_frame(kText | kDeflated, deflated(std::string(50 << 20, ' ')));
    subscriber.send_frame(kText | kDeflated, "\xff\xff\xff");
    subscriber.send_frame(kPing, "still here");
    EXPECT_EQ(subscriber.read_frame().payload, "still here");
    gateway.send(Message{1, Audience::live, rows(2000), "1-1"});
    EXPECT_EQ(subscriber.read_text(), rows(2000));
}

// ---- once for all ----

// What waits for clients that do not read yet is in the gateway's memory: once, if it was
// compressed once for all of them.
class Crowd {
  public:
    explicit Crowd(bool awaits_first) : awaits_first_(awaits_first) {}

    void add() {
        constexpr int kReceiveBufferBytes = 4096;
        members_.push_back(std::make_unique<Subscriber>(gateway, Takes::compressed, awaits_first_,
                                                        "/ws/queue", TopicKind::event,
                                                        kReceiveBufferBytes));
    }
    void expect_to_share(size_t memory_before) {
        settle(gateway);
        EXPECT_LT(gateway.resident_bytes() - memory_before, kBodyBytes * kMembers / 4);
        for (auto &member : members_) {
            EXPECT_TRUE(member->read_text() == body);
            EXPECT_TRUE(member->was_compressed);
        }
    }

    static constexpr size_t kMembers = 100;
    static constexpr size_t kBodyBytes = 1'000'000; // 750 kB compressed, mostly in nobody's socket

    GatewayProcess gateway{local_settings()};
    const std::string body = noise(kBodyBytes);

  private:
    bool awaits_first_;
    std::vector<std::unique_ptr<Subscriber>> members_;
};

TEST(Deflate, a_message_to_a_hundred_clients_is_compressed_once) {
    Crowd crowd(false);
    for (size_t i = 0; i < Crowd::kMembers; i++)
        crowd.add();
    settle(crowd.gateway);
    size_t before = crowd.gateway.resident_bytes();
    crowd.gateway.send(Message{1, Audience::live, crowd.body, "1-1"});
    crowd.expect_to_share(before);
}

TEST(Deflate, the_first_message_is_compressed_once_for_all_who_come_one_by_one) {
    Crowd crowd(true);
    size_t before = crowd.gateway.resident_bytes();
    for (size_t i = 0; i < Crowd::kMembers; i++) {
        crowd.add();
        crowd.gateway.send(Message{1, Audience::waiting, crowd.body, "1-7"});
    }
    crowd.expect_to_share(before);
}

TEST(Deflate, who_comes_after_a_change_gets_the_new_state) {
    GatewayProcess gateway(local_settings());
    std::vector<std::unique_ptr<Subscriber>> crowd;
    constexpr int kEarly = 3;
    auto come = [&](const std::string &body, const std::string &id) {
        crowd.push_back(std::make_unique<Subscriber>(gateway, Takes::compressed, true));
        gateway.send(Message{1, Audience::waiting, body, id});
        EXPECT_EQ(crowd.back()->read_text(), body);
        EXPECT_TRUE(crowd.back()->was_compressed);
    };
    for (int i = 0; i < kEarly; i++)
        come(rows(2000, 1), "1-1");
    gateway.send(Message{1, Audience::live, rows(2000, 2), "1-2"});
    for (int i = 0; i < 3; i++)
        come(rows(2000, 2), "1-2");
    come(rows(2000, 3), "1-3"); // a newer one that no live subscriber was sent
    for (int i = 0; i < kEarly; i++)
        EXPECT_EQ(crowd[i]->read_text(), rows(2000, 2));
}

} // namespace
} // namespace rtd::test
