// What browsers, their libraries, proxies and health checkers send, and what they are answered
// with.
#include "client.h"

#include "zlib_peer.h"

#include <algorithm>

namespace rtd::test {
namespace {

using namespace rtd::link;

bool contains(const std::string &text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

Settings settings_with_origins(std::vector<std::string> origins) {
    Settings settings = local_settings();
    settings.allowed_origins = std::move(origins);
    return settings;
}

std::string origin(std::string_view value) {
    return "Origin: " + std::string(value) + "\r\n";
}

// ---- subprotocols ----

std::string offer(std::string_view protocols) {
    return "Sec-WebSocket-Protocol: " + std::string(protocols) + "\r\n";
}

TEST(Subprotocol, rtd_is_chosen_wherever_it_stands_in_the_offer) {
    GatewayProcess gateway(local_settings());
    const std::string kOffers[] = {offer("rtd"), offer("graphql-ws, rtd"),
                                   offer("rtd,bearer.eyJhbGciOiJub25lIn0"),
                                   offer("mqtt") + offer("soap,  rtd , wamp"), offer("a,,rtd,")};
    for (std::string target : {"/ws/queue", "/ws"})
        for (const std::string &offered : kOffers) {
            Client client(gateway.port);
            EXPECT_EQ(client.upgrade(target, offered), 101) << offered;
            EXPECT_TRUE(contains(client.head, "\r\nSec-WebSocket-Protocol: rtd\r\n"))
                << client.head;
        }
}

TEST(Subprotocol, none_is_answered_if_none_was_offered) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    ASSERT_EQ(client.upgrade("/ws/queue"), 101);
    EXPECT_FALSE(contains(client.head, "Sec-WebSocket-Protocol"));
}

TEST(Subprotocol, others_alone_are_refused_with_a_sentence_that_says_what_to_offer) {
    GatewayProcess gateway(local_settings());
    for (std::string target : {"/ws/queue", "/ws"})
        for (std::string_view offered :
             {"graphql-ws", "mqtt, soap", "RTD", "rtd2", "rtd.v1", "x-rtd"}) {
            Client client(gateway.port);
            EXPECT_EQ(client.upgrade(target, offer(offered)), 400) << offered;
            EXPECT_FALSE(contains(client.head, "Sec-WebSocket-Protocol"));
            EXPECT_EQ(client.read_to_end(),
                      "{\"error\":\"the only subprotocol here is \\\"rtd\\\": "
                      "offer it too, or none\"}\n");
        }
}

TEST(Subprotocol, a_list_that_is_none_is_refused) {
    GatewayProcess gateway(local_settings());
    for (std::string_view offered : {"rtd, two words", "rtd, \"quoted\"", "rtd; q=1", "b@d", ",",
                                     "rtd, caf\xc3\xa9", "rtd/1"}) {
        Client client(gateway.port);
        EXPECT_EQ(client.upgrade("/ws/queue", offer(offered)), 400) << offered;
        EXPECT_TRUE(contains(client.read_to_end(), "no list of subprotocols")) << offered;
    }
}

// ---- pages of other origins ----

TEST(Cors, a_page_that_is_named_may_send_credentials_and_others_may_not) {
    GatewayProcess gateway(
        settings_with_origins({"https://app.example", "https://*.app.example", "*"}));
    auto answer = [&](std::string_view from) {
        return Client(gateway.port).request("GET", "/healthz", origin(from));
    };
    for (std::string named : {"https://app.example", "https://a.b.app.example"}) {
        std::string text = answer(named);
        EXPECT_TRUE(contains(text, "Access-Control-Allow-Origin: " + named + "\r\n")) << text;
        EXPECT_TRUE(contains(text, "Access-Control-Allow-Credentials: true\r\n")) << text;
        EXPECT_TRUE(contains(text, "Vary: Origin\r\n")) << text;
    }
    for (std::string other : {"https://other.example", "null", "https://app.example.evil.example",
                              "https://evilapp.example", "http://app.example"}) {
        std::string text = answer(other);
        EXPECT_TRUE(contains(text, "Access-Control-Allow-Origin: ")) << text;
        EXPECT_FALSE(contains(text, "Credentials")) << text;
    }
}

TEST(Cors, a_preflight_allows_the_headers_that_are_asked_for_and_the_private_network) {
    GatewayProcess gateway(settings_with_origins({"https://app.example"}));
    for (std::string target : {"/sse/queue", "/api/v1/topics/queue", "/sse/Bad_name", "/nothing"}) {
        std::string text =
            Client(gateway.port)
                .request("OPTIONS", target,
                         origin("https://app.example") +
                             "Access-Control-Request-Method: GET\r\n"
                             "Access-Control-Request-Headers: cache-control,x-request-id\r\n"
                             "Access-Control-Request-Private-Network: true\r\n");
        EXPECT_TRUE(text.starts_with("HTTP/1.1 204 No Content\r\n")) << text;
        EXPECT_TRUE(contains(text, "Access-Control-Allow-Headers: Authorization, Cache-Control, "
                                   "Content-Type, If-None-Match, Last-Event-ID, x-request-id\r\n"))
            << text;
        EXPECT_TRUE(contains(text, "Access-Control-Allow-Credentials: true\r\n")) << text;
        EXPECT_TRUE(contains(text, "Access-Control-Allow-Private-Network: true\r\n")) << text;
        EXPECT_TRUE(contains(text, "Vary: Access-Control-Request-Method, "
                                   "Access-Control-Request-Headers"))
            << text;
        EXPECT_TRUE(contains(text, "Cache-Control: no-store\r\n")) << text;
    }
}

TEST(Cors, a_preflight_gives_nothing_that_was_not_asked_for_nor_what_is_malformed) {
    GatewayProcess gateway(settings_with_origins({"https://app.example"}));
    auto preflight = [&](std::string_view from, const std::string &more) {
        return Client(gateway.port)
            .request("OPTIONS", "/sse/queue",
                     origin(from) + "Access-Control-Request-Method: GET\r\n" + more);
    };
    std::string plain = preflight("https://app.example", "");
    EXPECT_FALSE(contains(plain, "Private-Network: true"));
    std::string malformed =
        preflight("https://app.example", "Access-Control-Request-Headers: x-a, b@d: c\r\n");
    EXPECT_TRUE(contains(malformed, " 204 ")) << malformed;
    EXPECT_FALSE(contains(malformed, "x-a")) << malformed;
    std::string many = "Access-Control-Request-Headers: x0";
    for (int i = 1; i < 2000; i++)
        many += ",x" + std::to_string(i);
    EXPECT_LT(preflight("https://app.example", many + "\r\n").size(), 1000u);
    std::string foreign =
        preflight("https://evil.example", "Access-Control-Request-Private-Network: true\r\n");
    EXPECT_TRUE(contains(foreign, " 403 ")) << foreign;
    EXPECT_FALSE(contains(foreign, "Access-Control-Allow")) << foreign;
}

TEST(Cors, a_page_may_read_why_it_is_refused) {
    Settings settings = settings_with_origins({"https://app.example"});
    settings.max_clients = 1;
    GatewayProcess gateway(settings);
    Client only(gateway.port);
    ASSERT_EQ(only.upgrade("/ws"), 101);
    const std::pair<std::string, std::string> cases[] = {
        {"/sse/Bad_name", " 400 "}, {"/sse//x", " 400 "},
        {"/sse/%zz", " 400 "},      {"/nothing", " 404 "},
        {"/api/v1/topic", " 404 "}, {"/sse/queue", " 503 "},
        {"/ws/queue", " 426 "},     {"/api/v1/topics/queue", " 503 "},
    };
    for (const auto &[target, status] : cases) {
        std::string text =
            Client(gateway.port).request("GET", target, origin("https://app.example"));
        EXPECT_TRUE(contains(text, status)) << target << text;
        EXPECT_TRUE(contains(text, "Access-Control-Allow-Origin: https://app.example\r\n")) << text;
        EXPECT_TRUE(contains(text, "Access-Control-Expose-Headers: ETag, Retry-After\r\n")) << text;
        std::string foreign =
            Client(gateway.port).request("GET", target, origin("https://evil.example"));
        EXPECT_FALSE(contains(foreign, "Access-Control")) << foreign;
        EXPECT_TRUE(contains(foreign, "Vary: Origin\r\n")) << foreign;
    }
}

TEST(Cors, a_page_that_is_refused_can_ask_why_its_WebSocket_fails) {
    GatewayProcess gateway(settings_with_origins({"https://app.example"}));
    auto ask = [&](std::string_view from) {
        return Client(gateway.port).request("OPTIONS", "/ws/queue", origin(from));
    };
    EXPECT_TRUE(contains(ask("https://app.example"), " 200 OK\r\n"));
    std::string refused = ask("https://site.example");
    EXPECT_TRUE(contains(refused, " 403 ")) << refused;
    EXPECT_TRUE(contains(refused, "pages of https://site.example may not connect: "
                                  "rtd.allowed_origins does not list this origin"))
        << refused;
}

TEST(Cors, the_list_follows_a_reload) {
    GatewayProcess gateway(local_settings());
    EXPECT_EQ(Client(gateway.port).upgrade("/ws", origin("https://a.app.example")), 403);
    gateway.send(settings_with_origins({"https://*.app.example"}));
    EXPECT_TRUE(eventually([&] {
        return Client(gateway.port).upgrade("/ws", origin("https://a.app.example")) == 101;
    }));
    EXPECT_EQ(Client(gateway.port).upgrade("/ws", origin("https://app.example")), 403);
}

// ---- Last-Event-ID ----

TEST(LastEventId, that_is_no_id_of_ours_is_a_fresh_start) {
    GatewayProcess gateway(local_settings());
    const std::pair<std::string, std::string> cases[] = {
        {"/sse/queue", "Last-Event-ID: x\r\n"},
        {"/sse/queue", "Last-Event-ID: 42\r\n"},
        {"/sse/queue", "Last-Event-ID: 1-2-3\r\n"},
        {"/sse/queue", "Last-Event-ID: 99999999999999999999-1\r\n"},
        {"/sse/queue", "Last-Event-ID: " + std::string(10000, '9') + "\r\n"},
        {"/sse/queue", "Last-Event-ID: caf\xc3\xa9\r\n"},
        {"/sse/queue", "Last-Event-ID: 1-1\r\nLast-Event-ID: 1-2\r\n"},
        {"/sse/queue?since=yesterday", "Last-Event-ID: x\r\n"},
        {"/sse/queue?lastEventId=abc", ""},
        {"/sse/queue?lastEventID=%zz", ""},
    };
    for (const auto &[target, header] : cases) {
        Client client(gateway.port);
        client.send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\n");
        gateway.expect<ClientConnected>();
        auto subscribe = gateway.expect<Subscribe>();
        EXPECT_EQ(subscribe.since, "0-1") << target << header; // see kForeignId
        gateway.send(Subscribed{subscribe.subscription, 1, TopicKind::event, false, false});
        EXPECT_EQ(client.read_head(), 200) << target << header;
        client.vanish();
        gateway.expect<Unsubscribe>();
        gateway.expect<ClientDisconnected>();
    }
}

TEST(LastEventId, in_the_address_is_that_of_a_library_and_wins_over_since) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    client.send("GET /sse/queue?since=17-3&lastEventId=17-9 HTTP/1.1\r\nHost: x\r\n\r\n");
    gateway.expect<ClientConnected>();
    EXPECT_EQ(gateway.expect<Subscribe>().since, "17-9");
}

TEST(LastEventId, a_since_that_the_page_made_up_is_still_refused) {
    GatewayProcess gateway(local_settings());
    for (std::string target : {"/sse/queue?since=x", "/api/v1/topics/queue?since=x"})
        EXPECT_TRUE(contains(Client(gateway.port).request("GET", target), "since must be the id"));
    EXPECT_EQ(Client(gateway.port).upgrade("/ws/queue?since=x"), 400);
}

// ---- heartbeats ----

struct Subscriber : Client {
    explicit Subscriber(GatewayProcess &gateway, std::string_view target = "/ws/queue",
                        std::string_view headers = "")
        : Client(gateway.port) {
        EXPECT_EQ(upgrade(target, headers), 101);
    }
    std::string answer_to(std::string_view text) {
        send_frame(kText, text);
        return read_text();
    }
};

TEST(Heartbeat, a_text_is_answered_with_a_text_on_one_topic_and_on_many) {
    GatewayProcess gateway(local_settings());
    for (std::string target : {"/ws/queue", "/ws"}) {
        Subscriber client(gateway, target);
        for (auto [sent, answer] : {std::pair{"ping", "pong"},
                                    {"PING", "PONG"},
                                    {"Ping", "pong"},
                                    {" ping\n", "pong"},
                                    {"heartbeat", "pong"},
                                    {"HEARTBEAT", "PONG"},
                                    {"\"ping\"", "\"pong\""}})
            EXPECT_EQ(client.answer_to(sent), answer) << target << sent;
    }
}

TEST(Heartbeat, an_object_is_answered_with_the_message_that_answers_pings_of_many_topics) {
    GatewayProcess gateway(local_settings());
    for (std::string target : {"/ws/queue", "/ws"}) {
        Subscriber client(gateway, target);
        for (std::string sent : {R"({"action":"ping","ref":7})", R"({"type":"ping","ref":7})",
                                 R"({ "event" : "heartbeat", "ref": 7 })",
                                 R"({"type":"PING","ref":7,"ts":123456789})"}) {
            std::string answer = client.answer_to(sent);
            EXPECT_TRUE(contains(answer, R"({"type":"rtd_pong","data":{"ref":7},"timestamp":)"))
                << target << sent << answer;
        }
    }
}

TEST(Heartbeat, all_else_is_ignored_on_one_topic) {
    GatewayProcess gateway(local_settings());
    Subscriber client(gateway);
    std::string huge = R"({"type":"ping","padding":")" + std::string(600, 'x') + "\"}";
    const std::string kOthers[] = {"hello",
                                   "pings",
                                   "ping ping",
                                   R"({"type":"pinged"})",
                                   R"({"type":"ping")",
                                   R"(["ping"])",
                                   R"({"action":"subscribe","topic":"x"})",
                                   R"({"data":"ping"})",
                                   "",
                                   "pong",
                                   huge};
    for (const std::string &sent : kOthers)
        client.send_frame(kText, sent);
    client.send_frame(kBinary, "ping");
    EXPECT_EQ(client.answer_to("ping"), "pong") << "the first answer is to the last message";
}

// Browsers compress whatever they send, once that was agreed upon.
TEST(Heartbeat, may_be_compressed) {
    GatewayProcess gateway(local_settings());
    Subscriber client(gateway, "/ws/queue",
                      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
    constexpr int kDeflated = 0x40;
    std::string stored("\x2a\xc8\xcc\x4b\x07\x00", 6); // "ping", as RFC 7692 has it for "Hello"
    client.send_frame(kText | kDeflated, stored);
    EXPECT_EQ(client.read_text(), "pong");
    client.send_frame(kText | kDeflated, "\xff\xff\xff"); // nothing that can be decompressed
    EXPECT_EQ(client.answer_to("ping"), "pong");
}

TEST(Heartbeat, a_flood_is_answered_as_often_as_messages_are_taken_and_no_oftener) {
    Settings settings = local_settings();
    settings.client_message_rate = 1;
    GatewayProcess gateway(settings);
    Subscriber client(gateway);
    auto begin = Clock::now();
    constexpr int kSent = 500;
    for (int i = 0; i < kSent; i++)
        client.send_frame(kText, "ping");
    int answers = 0;
    // A pong may overtake what waits; what waited for the first one is there before the second.
    for (const char *end : {"the end", "really"}) {
        client.send_frame(kPing, end);
        Frame frame;
        while ((frame = client.read_frame()).opcode == kText)
            answers++;
        EXPECT_EQ(frame.payload, end);
    }
    auto passed = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin).count();
    EXPECT_GE(answers, 4);
    EXPECT_LE(answers, 5 + passed);
}

TEST(Heartbeat, who_does_not_read_makes_nobody_hold_answers_for_it) {
    Settings settings = local_settings();
    settings.client_message_rate = 0;
    GatewayProcess gateway(settings);
    Client client(gateway.port, 4096);
    ASSERT_EQ(client.upgrade("/ws/queue"), 101);
    size_t before = gateway.resident_bytes();
    std::string pings;
    for (int i = 0; i < 1000; i++)
        pings += Client::make_frame(kText, R"({"action":"ping"})", true, true);
    for (int i = 0; i < 200; i++)
        client.send(pings); // 200,000 of them, whose answers are 30 MB
    EXPECT_TRUE(contains(Client(gateway.port).request("GET", "/healthz"), " 200 OK"));
    EXPECT_LT(gateway.resident_bytes(), before + (4 << 20));
}

// ---- health checkers ----

struct Check {
    std::string_view request;
    std::string_view begins;
};

TEST(HealthCheck, of_every_kind_is_answered) {
    GatewayProcess gateway(local_settings());
    const Check kChecks[] = {
        {"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"HEAD / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"OPTIONS / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"}, // HAProxy's own
        {"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"OPTIONS * HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"OPTIONS /healthz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"GET /healthz/ HTTP/1.1\r\nHost: x\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n",
         "HTTP/1.1 200 OK\r\n"},
        {"GET /healthz HTTP/1.1\r\nHost: 10.0.0.7:8787\r\nUser-Agent: kube-probe/1.31\r\n"
         "Accept: */*\r\nConnection: close\r\n\r\n",
         "HTTP/1.1 200 OK\r\n"},
        {"GET / HTTP/1.0\r\nHost: rtd\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        {"OPTIONS /sse/queue HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 204 No Content\r\n"},
        {"OPTIONS /ws/queue HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
        // and what is none is none
        {"GET * HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"OPTIONS / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"OPTIONS /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"},
        {"GET /healthz// HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
    };
    for (const Check &check : kChecks) {
        Client client(gateway.port);
        client.send(check.request);
        std::string answer = client.read_to_end();
        EXPECT_TRUE(answer.starts_with(check.begins)) << check.request << answer;
        bool has_no_body = check.request.starts_with("HEAD") || contains(answer, "Allow: GET");
        if (has_no_body && contains(answer, " 200 ")) {
            EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << check.request << answer;
        }
    }
}

TEST(HealthCheck, of_readiness_is_never_answered_without_asking) {
    GatewayProcess gateway(local_settings());
    for (std::string request : {"OPTIONS /readyz HTTP/1.0\r\n\r\n", "HEAD /readyz HTTP/1.0\r\n\r\n",
                                "GET /readyz/ HTTP/1.1\r\nHost: x\r\n\r\n"}) {
        Client client(gateway.port);
        client.send(request);
        auto probe = gateway.expect<Probe>();
        gateway.send(Probed{probe.probe, true, "so it is"});
        EXPECT_EQ(client.read_head(), 200) << request;
    }
}

TEST(HealthCheck, a_proxy_that_does_not_pass_the_upgrade_on_is_told_so) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    client.send("GET /ws/queue HTTP/1.0\r\nHost: rtd\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(client.read_head(), 426);
    EXPECT_TRUE(contains(client.read_to_end(), "a proxy must pass the headers Upgrade"));
}

// ---- the log ----

// The notes that come until there are so many, whatever else the gateway has to say.
std::vector<std::string> next_notes(GatewayProcess &gateway, size_t count) {
    std::vector<std::string> notes;
    auto deadline = Clock::now() + 2 * kPatience;
    while (notes.size() < count && Clock::now() < deadline) {
        while (auto frame = gateway.poll_frame())
            if (auto *note = std::get_if<Note>(&*frame))
                notes.push_back(note->text);
        poll(nullptr, 0, 5);
    }
    return notes;
}

TEST(RefusalLog, every_refusal_of_a_connection_is_a_counted_line) {
    GatewayProcess gateway(local_settings());
    auto send = [&](std::string_view bytes) {
        Client client(gateway.port);
        client.send(bytes);
        client.read_to_end();
    };
    for (int i = 0; i < 3; i++)
        Client(gateway.port).upgrade("/ws", origin("https://site.example"));
    Client(gateway.port).upgrade("/ws", offer("mqtt"));
    Client(gateway.port).request("GET", "/nothing");
    Client(gateway.port).request("POST", "/healthz");
    Client(gateway.port).request("GET", "/ws/queue");
    Client(gateway.port).request("GET", "/sse/Bad_name");
    send("hello\r\n\r\n");
    send("\x16\x03\x01\x02");
    std::vector<std::string> notes = next_notes(gateway, 7);
    const std::string kLines[] = {
        "refused 3 connections within 10 s because of origin: 3 from 127.0.0.1; the first: pages "
        "of https://site.example may not connect: rtd.allowed_origins does not list this origin",
        "refused 1 connection within 10 s because of subprotocol: 1 from 127.0.0.1: the only "
        "subprotocol here is \"rtd\": offer it too, or none",
        "refused 1 connection within 10 s because of not_found: 1 from 127.0.0.1: there is nothing "
        "at this path",
        "refused 1 connection within 10 s because of method: 1 from 127.0.0.1: only GET, HEAD, "
        "OPTIONS are allowed here",
        "refused 1 connection within 10 s because of upgrade: 1 from 127.0.0.1: this is a "
        "WebSocket: the request must ask for an upgrade, and a proxy must pass the headers Upgrade "
        "and Connection on",
        "refused 2 connections within 10 s because of bad_request: 2 from 127.0.0.1; the first: a "
        "topic name consists of lower-case letters, digits and single dashes between them",
        "refused 1 connection within 10 s because of tls: 1 from 127.0.0.1: this port does not "
        "speak TLS: use http or ws",
    };
    for (const std::string &line : kLines)
        EXPECT_EQ(std::ranges::count(notes, line), 1) << line << testing::PrintToString(notes);
}

TEST(RefusalLog, so_is_what_a_client_is_refused_later) {
    GatewayProcess gateway(local_settings());
    Client stream(gateway.port);
    stream.send("GET /sse/queue HTTP/1.1\r\nHost: x\r\n\r\n");
    Subscriber socket(gateway);
    Subscriber many(gateway, "/ws");
    many.send_frame(kText, R"({"action":"subscribe","topic":"queue"})");
    for (int ended = 0; ended < 3;) {
        auto frame = gateway.next();
        ASSERT_TRUE(frame);
        if (auto *subscribe = std::get_if<Subscribe>(&*frame)) {
            gateway.send(Ended{subscribe->subscription, CloseCode::unknown_topic, "no \n such"});
            ended++;
        }
    }
    EXPECT_EQ(stream.read_head(), 404);
    EXPECT_EQ(socket.read_close().close_code(), 4404);
    EXPECT_TRUE(contains(many.read_text(), "4404"));
    EXPECT_TRUE(contains(many.answer_to("nonsense"), "4400"));
    Subscriber rude(gateway);
    rude.send_frame(kText, "\xff");
    EXPECT_EQ(rude.read_close().close_code(), 1007);
    std::vector<std::string> notes = next_notes(gateway, 3);
    auto has = [&](std::string_view begin) {
        return std::ranges::any_of(notes, [&](auto &note) { return note.starts_with(begin); });
    };
    EXPECT_TRUE(has("refused 3 subscriptions within 10 s because of unknown_topic: 3 from "
                    "127.0.0.1; the first: no ? such"))
        << testing::PrintToString(notes);
    EXPECT_TRUE(has("refused 1 message within 10 s because of bad_request: 1 from 127.0.0.1: "))
        << testing::PrintToString(notes);
    EXPECT_TRUE(has("refused 1 message within 10 s because of bad_utf8: 1 from 127.0.0.1: "))
        << testing::PrintToString(notes);
}

TEST(RefusalLog, a_request_that_never_ends_is_counted_and_a_silent_connection_is_not) {
    GatewayProcess gateway(local_settings());
    Client slow(gateway.port), silent(gateway.port);
    slow.send("GET / HTTP/1.1\r\n");
    EXPECT_TRUE(slow.is_closed());
    EXPECT_TRUE(silent.is_closed());
    gateway.send(Shutdown{CloseCode::going_away, "what is not told yet is told at the end"});
    EXPECT_EQ(next_notes(gateway, 1),
              std::vector<std::string>{"refused 1 connection within 10 s because of slow_request: "
                                       "1 from 127.0.0.1"});
}

TEST(RefusalLog, what_strangers_send_makes_no_lines_of_its_own) {
    GatewayProcess gateway(local_settings());
    Client(gateway.port)
        .upgrade("/ws", origin("https://" + std::string(5000, 'x') + "\t\xc2\x9b[2J\xff.example"));
    gateway.send(Shutdown{CloseCode::going_away, "bye"});
    std::vector<std::string> notes = next_notes(gateway, 1);
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_LT(notes[0].size(), 400u);
    EXPECT_TRUE(std::ranges::all_of(notes[0], [](char c) { return c >= 0x20 && c < 0x7f; }))
        << notes[0];
}

} // namespace
} // namespace rtd::test
