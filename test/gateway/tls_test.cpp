// TLS at the port: what clients get is what they get without it, and a reload disturbs nobody.
#include "tls_client.h"

#include "certificate.h"
#include "zlib_peer.h"

#include <fstream>

namespace rtd::test {
namespace {

using namespace rtd::link;

bool contains(const std::string &text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// Of a client that reads slowly, and much: in a smaller one than a segment of the loopback, TCP
// sends a little every 200 ms.
constexpr int kSmallBuffer = 64 * 1024;

// Settings with a new certificate for `name`.
Settings tls_settings(const char *name = "localhost") {
    Key key = make_key();
    Settings settings = local_settings();
    settings.tls = true;
    settings.tls_certificate = pem(make_certificate(key, name));
    settings.tls_key = pem(key);
    return settings;
}

// A gateway that listens, and has told of its certificate.
struct TlsGateway : GatewayProcess {
    explicit TlsGateway(const Settings &settings = tls_settings()) {
        send(settings);
        note = expect<Note>().text;
        listening = expect<Listening>().addresses;
        port =
            static_cast<uint16_t>(std::stoi(listening.at(0).substr(listening[0].rfind(':') + 1)));
    }
    // Everything sent to it so far has been handled.
    void settle() {
        static uint64_t last = 0;
        send(Ping{++last});
        EXPECT_EQ(expect<Pong>().probe, last);
    }
    std::string note;
};

struct Subscriber {
    TlsClient client;
    uint64_t subscription;

    explicit Subscriber(GatewayProcess &gateway, uint64_t instance = 1,
                        TopicKind kind = TopicKind::event, int receive_buffer_bytes = 0)
        : client(gateway.port, receive_buffer_bytes) {
        EXPECT_EQ(client.upgrade("/ws/queue"), 101);
        gateway.expect<ClientConnected>();
        subscription = gateway.expect<Subscribe>().subscription;
        gateway.send(Subscribed{subscription, instance, kind, false, false});
    }
};

// Text in which a lost, doubled or swapped record shows.
std::string numbers(size_t size) {
    std::string text;
    for (int i = 0; text.size() < size; i++)
        text += std::to_string(i) + " ";
    text.resize(size);
    return text;
}

// ---- everything as in plain text ----

TEST(Tls, serves_requests) {
    TlsGateway gateway;
    EXPECT_TRUE(
        gateway.note.starts_with("clients speak TLS; certificate: CN=localhost, valid until "))
        << gateway.note;
    TlsClient client(gateway.port);
    std::string answer = client.request("GET", "/healthz");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\n{\"status\":\"ok\"}\n"));
    EXPECT_TRUE(client.was_told_the_end());
    EXPECT_TRUE(contains(TlsClient(gateway.port).request("GET", "/"), "</html>"));
}

TEST(Tls, carries_messages_of_every_size_in_order) {
    Settings settings = tls_settings();
    settings.client_buffer_bytes = 64 << 20;
    TlsGateway gateway(settings);
    Subscriber subscriber(gateway);
    std::vector<size_t> sizes;
    for (size_t size = 1; size < 3'000'000; size = size * 3 / 2 + 1)
        sizes.push_back(size);
    for (size_t size : {16373, 16374, 16375, 16384, 131062, 131072, 10'000'000})
        sizes.push_back(size); // around a record, and a fragment
    for (size_t size : sizes)
        gateway.send(Message{1, Audience::live, numbers(size), "1-1"});
    for (size_t size : sizes)
        ASSERT_TRUE(subscriber.client.read_text() == numbers(size)) << size;
}

TEST(Tls, carries_messages_compressed_or_not_for_those_who_want_them_so) {
    TlsGateway gateway;
    constexpr int kWindowBits = 12;
    std::string offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    TlsClient compressed(gateway.port, kSmallBuffer), plain(gateway.port, kSmallBuffer);
    compressed.takes_compressed = true;
    compressed.inflate = [](const std::string &payload) { return inflated(payload, kWindowBits); };
    ASSERT_EQ(compressed.upgrade("/ws/queue", offer), 101);
    ASSERT_EQ(plain.upgrade("/ws/queue"), 101);
    for (int i = 0; i < 2; i++) {
        gateway.expect<ClientConnected>();
        uint64_t subscription = gateway.expect<Subscribe>().subscription;
        gateway.send(Subscribed{subscription, 1, TopicKind::event, false, false});
    }
    for (size_t size : {500, 1024, 20'000, 60'000, 1'000'000, 3'000'000}) {
        gateway.send(Message{1, Audience::live, numbers(size), "1-1"});
        EXPECT_TRUE(compressed.read_text() == numbers(size)) << size;
        EXPECT_EQ(compressed.was_compressed, size >= 1024 && size <= 1'000'000) << size;
        EXPECT_TRUE(plain.read_text() == numbers(size)) << size;
        EXPECT_FALSE(plain.was_compressed);
    }
}

TEST(Tls, takes_messages_of_clients_in_pieces_of_any_size) {
    TlsGateway gateway;
    TlsClient client(gateway.port);
    std::string head = Client::upgrade_head("/ws");
    // A byte per record; then the rest of the head, and frames, in one.
    for (char byte : head.substr(0, 100))
        client.send({&byte, 1});
    std::string ping = Client::make_frame(kText, R"({"action":"ping","ref":1})", true, true);
    client.send(head.substr(100) + ping + ping.substr(0, 10));
    ASSERT_EQ(client.read_head(), 101);
    EXPECT_TRUE(contains(client.read_text(), "rtd_pong"));
    client.send(ping.substr(10));
    EXPECT_TRUE(contains(client.read_text(), "rtd_pong"));

    // More than a record, and more than the gateway reads at a time.
    client.send_frame(kText, R"({"action":"ping",)" + std::string(60'000, ' ') + R"("ref":2})");
    EXPECT_TRUE(contains(client.read_text(), R"({"ref":2})"));
}

TEST(Tls, streams_events_and_snapshots) {
    TlsGateway gateway;
    TlsClient stream(gateway.port);
    stream.send("GET /sse/queue HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gateway.expect<ClientConnected>();
    uint64_t subscription = gateway.expect<Subscribe>().subscription;
    gateway.send(Subscribed{subscription, 1, TopicKind::event, false});
    EXPECT_EQ(stream.read_head(), 200);
    std::string body = "{\"data\":\"" + numbers(200'000) + "\"}";
    gateway.send(Message{1, Audience::live, body, "1-1"});
    stream.read_event(); // retry
    stream.read_event(); // rtd_subscribed
    EXPECT_TRUE(stream.read_event() == "id: 1-1\ndata: " + body);

    TlsClient snapshot(gateway.port);
    snapshot.send("GET /api/v1/topics/queue HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gateway.expect<ClientConnected>();
    subscription = gateway.expect<Subscribe>().subscription;
    gateway.send(Subscribed{subscription, 2, TopicKind::state, true});
    gateway.send(Message{2, Audience::waiting, body, "2-1"});
    std::string answer = snapshot.read_to_end();
    EXPECT_TRUE(answer.ends_with("\r\n\r\n" + body + "\n") || answer.ends_with("\r\n\r\n" + body));
    EXPECT_TRUE(snapshot.was_told_the_end());
}

TEST(Tls, a_page_of_its_own_under_https_may_connect) {
    TlsGateway gateway;
    TlsClient own(gateway.port);
    EXPECT_EQ(own.upgrade("/ws/queue", "Origin: https://localhost:8787\r\n"), 101);
    TlsClient foreign(gateway.port);
    EXPECT_EQ(foreign.upgrade("/ws/queue", "Origin: https://db.example:8787\r\n"), 403);
}

TEST(Tls, closes_a_websocket_with_a_goodbye) {
    TlsGateway gateway;
    Subscriber subscriber(gateway);
    subscriber.client.send_frame(kClose, close_payload(1000, "bye"));
    EXPECT_EQ(subscriber.client.read_close().close_code(), 1000);
    EXPECT_TRUE(subscriber.client.is_closed());
    EXPECT_TRUE(subscriber.client.was_told_the_end());
    subscriber.client.vanish();
    gateway.expect<Unsubscribe>();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 1000);
}

// ---- slow and odd clients ----

TEST(Tls, a_slow_reader_gets_everything_in_order_and_delays_nobody) {
    Settings settings = tls_settings();
    settings.client_buffer_bytes = 64 << 20;
    TlsGateway gateway(settings);
    Subscriber slow(gateway, 1, TopicKind::event, kSmallBuffer), quick(gateway);
    for (int i = 0; i < 200; i++)
        gateway.send(Message{1, Audience::live, numbers(1000 + i * 999), "1-1"});
    for (int i = 0; i < 200; i++)
        ASSERT_TRUE(quick.client.read_text() == numbers(1000 + i * 999));
    for (int i = 0; i < 200; i++)
        ASSERT_TRUE(slow.client.read_text() == numbers(1000 + i * 999)) << i;
}

// Messages that wait are thrown away while a record is half sent: none may be torn.
TEST(Tls, a_slow_reader_of_a_state_skips_to_the_newest_in_whole_messages) {
    TlsGateway gateway;
    Subscriber slow(gateway, 1, TopicKind::state, kSmallBuffer);
    auto state = [](int number) {
        return std::to_string(number) + ":" + numbers(20'000 + number * 7919 % 300'000);
    };
    constexpr int kStates = 500;
    for (int i = 1; i <= kStates; i++)
        gateway.send(Message{1, Audience::live, state(i), "1-1"});
    gateway.settle();
    int last = 0, received = 0;
    while (last < kStates) {
        std::string text = slow.client.read_text();
        ASSERT_FALSE(text.empty());
        int number = std::stoi(text);
        ASSERT_GT(number, last);
        ASSERT_TRUE(text == state(number)) << "torn: " << number;
        last = number;
        received++;
    }
    EXPECT_LT(received, kStates) << "the client was not slow";
}

TEST(Tls, a_client_that_does_not_read_events_is_closed_and_leaves_the_others_alone) {
    TlsGateway gateway;
    Subscriber stuck(gateway, 1, TopicKind::event, kSmallBuffer), reader(gateway);
    std::string body = numbers(100'000);
    bool is_closed = false;
    for (int i = 0; i < 300; i++) {
        gateway.send(Message{1, Audience::live, body, "1-1"});
        ASSERT_TRUE(reader.client.read_text() == body);
        while (auto frame = gateway.poll_frame())
            is_closed = is_closed || std::holds_alternative<Unsubscribe>(*frame);
    }
    EXPECT_TRUE(is_closed);
    EXPECT_EQ(stuck.client.read_close().close_code(), 4501);
}

// The client asks for new keys in the middle of things, which the gateway answers when it writes.
TEST(Tls, goes_on_under_new_keys) {
    TlsGateway gateway;
    Subscriber subscriber(gateway, 1, TopicKind::event, kSmallBuffer);
    std::string body = numbers(500'000);
    for (int i = 0; i < 20; i++) {
        gateway.send(Message{1, Audience::live, body, "1-1"});
        ASSERT_EQ(SSL_key_update(subscriber.client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
        subscriber.client.send_frame(kPing, "");
        ASSERT_TRUE(subscriber.client.read_text() == body);
    }
}

TEST(Tls, a_broken_record_ends_that_connection_alone) {
    TlsGateway gateway;
    Subscriber broken(gateway), whole(gateway);
    broken.client.send_raw(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
    EXPECT_TRUE(broken.client.is_closed());
    gateway.expect<Unsubscribe>();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 1006);
    gateway.send(Message{1, Audience::live, "still here", "1-1"});
    EXPECT_EQ(whole.client.read_text(), "still here");
}

// A refusal is an answer, so it costs a handshake; who has too many of them gets none.
TEST(Tls, a_client_beyond_a_limit_is_told_so_and_a_crowd_of_them_is_turned_away) {
    Settings settings = tls_settings();
    settings.max_clients_per_address = 1;
    TlsGateway gateway(settings);
    Subscriber first(gateway);
    TlsClient second(gateway.port);
    EXPECT_EQ(second.upgrade("/ws/queue"), 429);
    EXPECT_TRUE(contains(second.read_to_end(), "your address has as many connections"));

    std::vector<std::unique_ptr<Client>> crowd;
    for (int i = 0; i < 40; i++) {
        crowd.push_back(std::make_unique<Client>(gateway.port));
        crowd.back()->send("\x16"); // a handshake begins, and goes no further
    }
    EXPECT_FALSE(TlsClient(gateway.port).is_secure);
    gateway.send(Message{1, Audience::live, "undisturbed", "1-1"});
    EXPECT_EQ(first.client.read_text(), "undisturbed");
    crowd.clear();
    EXPECT_TRUE(eventually([&] { return TlsClient(gateway.port).is_secure; }));
}

// ---- the wrong language ----

TEST(Tls, a_request_in_plain_text_is_told_so) {
    TlsGateway gateway;
    for (const char *method : {"GET", "POST"}) {
        std::string answer = Client(gateway.port).request(method, "/ws/queue");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << answer;
        EXPECT_TRUE(contains(answer, "{\"error\":\"this port speaks TLS: use https or wss\"}"));
    }
}

TEST(Tls, what_is_neither_TLS_nor_a_request_is_closed_at_once) {
    TlsGateway gateway;
    for (std::string_view bytes : {"SSH-2.0-OpenSSH_9.2\r\n", "\x01\x02\x03\x04\x05\x06\x07\x08"}) {
        Client client(gateway.port);
        auto start = Clock::now();
        client.send(bytes);
        EXPECT_TRUE(client.is_closed());
        EXPECT_LT(Clock::now() - start, std::chrono::seconds(3)) << "before the deadline";
    }
}

TEST(Tls, a_TLS_client_at_a_plain_port_is_refused_at_once) {
    GatewayProcess gateway(local_settings());
    auto start = Clock::now();
    TlsClient client(gateway.port);
    EXPECT_FALSE(client.is_secure);
    EXPECT_EQ(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_WRONG_VERSION_NUMBER);
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(3)) << "before the deadline";
    EXPECT_TRUE(contains(Client(gateway.port).request("GET", "/healthz"), " 200 OK"));
}

// Whoever set up a certificate that browsers do not trust finds out here.
TEST(Tls, what_failed_is_a_line_in_the_log_for_all_of_ten_seconds) {
    TlsGateway gateway;
    for (int i = 0; i < 3; i++) {
        Client client(gateway.port);
        std::unique_ptr<SSL_CTX, void (*)(SSL_CTX *)> context(SSL_CTX_new(TLS_client_method()),
                                                              SSL_CTX_free);
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
        std::unique_ptr<SSL, void (*)(SSL *)> ssl(SSL_new(context.get()), SSL_free);
        SSL_set_fd(ssl.get(), client.fd());
        EXPECT_EQ(SSL_connect(ssl.get()), -1) << "it trusts nobody";
        EXPECT_TRUE(client.is_closed());
    }
    Client stranger(gateway.port);
    stranger.send("SSH-2.0-OpenSSH_9.2\r\n");
    EXPECT_TRUE(stranger.is_closed());
    Client(gateway.port).send("\x16"); // who just goes away is no failure
    EXPECT_TRUE(TlsClient(gateway.port).is_secure);
    gateway.send(Shutdown{CloseCode::going_away, "what is not told yet is told at the end"});
    EXPECT_EQ(gateway.expect<Note>().text,
              "refused 3 connections within 10 s because of a TLS error (tlsv1 alert unknown ca): "
              "3 from 127.0.0.1");
    EXPECT_EQ(gateway.expect<Note>().text,
              "refused 1 connection within 10 s because of a TLS error (wrong version number): "
              "1 from 127.0.0.1");
}

// Half a ClientHello, or nothing, and then silence.
TEST(Tls, a_handshake_that_stalls_is_dropped_at_the_deadline_of_requests) {
    TlsGateway gateway;
    std::string hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    Client silent(gateway.port), half(gateway.port);
    half.send(hello);
    // It is there, and asks for nothing.
    TlsClient idle(gateway.port);
    EXPECT_TRUE(idle.is_secure);
    auto start = Clock::now();
    for (Client *client : {&silent, &half, static_cast<Client *>(&idle)})
        EXPECT_TRUE(client->is_closed());
    EXPECT_GT(Clock::now() - start, std::chrono::seconds(3)) << "closed for another reason";
    EXPECT_TRUE(contains(TlsClient(gateway.port).request("GET", "/healthz"), " 200 OK"));
}

// ---- reloads ----

TEST(TlsReload, new_clients_see_the_new_certificate_and_old_ones_stay) {
    TlsGateway gateway(tls_settings("first"));
    Subscriber old(gateway);
    EXPECT_EQ(old.client.peer, "first");
    gateway.send(tls_settings("second"));
    EXPECT_TRUE(contains(gateway.expect<Note>().text, "CN=second"));
    Subscriber young(gateway);
    EXPECT_EQ(young.client.peer, "second");
    std::string body = numbers(1'000'000);
    gateway.send(Message{1, Audience::live, body, "1-1"});
    EXPECT_TRUE(old.client.read_text() == body);
    EXPECT_TRUE(young.client.read_text() == body);
    old.client.send_frame(kPing, "old");
    EXPECT_EQ(old.client.read_frame().opcode, kPong);
}

TEST(TlsReload, without_a_change_says_nothing) {
    Settings settings = tls_settings();
    TlsGateway gateway(settings);
    gateway.send(settings);
    gateway.settle(); // no Note came before the Pong
}

TEST(TlsReload, keeps_what_it_has_if_the_new_cannot_be_used) {
    TlsGateway gateway(tls_settings("first"));
    Subscriber old(gateway);
    Settings mismatch = tls_settings("second");
    mismatch.tls_key = tls_settings().tls_key;
    mismatch.max_clients = 2; // the other settings count all the same
    Settings unreadable = local_settings();
    unreadable.tls = true;
    unreadable.max_clients = 2;
    unreadable.tls_problem = "could not open certificate file \"server.crt\": No such file";
    for (const Settings &bad : {mismatch, unreadable}) {
        gateway.send(bad);
        TlsFailed failed = gateway.expect<TlsFailed>();
        EXPECT_TRUE(failed.goes_on);
        EXPECT_EQ(failed.problem,
                  bad.tls_problem.empty()
                      ? "the private key in rtd.ssl_key_file cannot be used: it is not the key of "
                        "the certificate in rtd.ssl_cert_file"
                      : bad.tls_problem);
    }
    Subscriber young(gateway);
    EXPECT_EQ(young.client.peer, "first");
    EXPECT_EQ(TlsClient(gateway.port).upgrade("/ws/queue"), 503);
    gateway.send(Message{1, Audience::live, "to both", "1-1"});
    EXPECT_EQ(old.client.read_text(), "to both");
    EXPECT_EQ(young.client.read_text(), "to both");
    gateway.send(tls_settings("third"));
    EXPECT_TRUE(contains(gateway.expect<Note>().text, "CN=third"));
    EXPECT_EQ(TlsClient(gateway.port).peer, "third");
}

TEST(TlsReload, turns_TLS_on_and_off_for_those_who_come) {
    GatewayProcess gateway(local_settings());
    Client plain(gateway.port);
    ASSERT_EQ(plain.upgrade("/ws/queue"), 101);
    gateway.expect<ClientConnected>();
    gateway.send(Subscribed{gateway.expect<Subscribe>().subscription, 1, TopicKind::event});
    gateway.send(tls_settings());
    gateway.expect<Note>();
    Subscriber secure(gateway);
    EXPECT_TRUE(contains(Client(gateway.port).request("GET", "/healthz"), " 400 "));
    gateway.send(local_settings());
    EXPECT_EQ(gateway.expect<Note>().text, "clients speak plain text");
    EXPECT_TRUE(contains(Client(gateway.port).request("GET", "/healthz"), " 200 OK"));
    gateway.send(Message{1, Audience::live, "to all", "1-1"});
    EXPECT_EQ(plain.read_text(), "to all");
    EXPECT_EQ(secure.client.read_text(), "to all");
}

TEST(TlsReload, raises_the_least_version) {
    Settings settings = tls_settings();
    TlsGateway gateway(settings);
    auto connects_with_1_2 = [&] {
        Client client(gateway.port);
        std::unique_ptr<SSL_CTX, void (*)(SSL_CTX *)> context(SSL_CTX_new(TLS_client_method()),
                                                              SSL_CTX_free);
        SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
        std::unique_ptr<SSL, void (*)(SSL *)> ssl(SSL_new(context.get()), SSL_free);
        SSL_set_fd(ssl.get(), client.fd());
        return SSL_connect(ssl.get()) == 1;
    };
    EXPECT_TRUE(connects_with_1_2());
    settings.tls_min_version = TlsVersion::v1_3;
    gateway.send(settings);
    gateway.settle();
    EXPECT_FALSE(connects_with_1_2());
}

// ---- a start that must fail ----

TEST(TlsStart, does_not_listen_without_a_certificate_that_works) {
    Settings mismatch = tls_settings(), unreadable = local_settings();
    mismatch.tls_key = tls_settings().tls_key;
    unreadable.tls = true;
    unreadable.tls_problem = "could not open certificate file \"server.crt\": No such file";
    for (const Settings &bad : {mismatch, unreadable}) {
        GatewayProcess gateway;
        gateway.send(bad);
        TlsFailed failed = gateway.expect<TlsFailed>();
        EXPECT_FALSE(failed.goes_on);
        EXPECT_TRUE(contains(failed.problem, bad.tls_problem));
        EXPECT_FALSE(gateway.next()) << "it listens, or says more";
        EXPECT_EQ(gateway.wait_exit(), 1);
    }
}

} // namespace
} // namespace rtd::test
