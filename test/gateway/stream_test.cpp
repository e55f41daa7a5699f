// What plain HTTP clients of topics get: event streams and snapshots, for pages of any origin that
// may have them.
#include "client.h"

namespace rtd::test {
namespace {

using namespace rtd::link;

bool contains(const std::string &text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

// A request for a topic, and what the hub hears of it.
struct Requester {
    GatewayProcess &gateway;
    Client client;
    Subscribe subscribe;

    Requester(GatewayProcess &gateway, const std::string &target, const std::string &headers = "",
              const std::string &method = "GET", int receive_buffer_bytes = 0)
        : gateway(gateway), client(gateway.port, receive_buffer_bytes) {
        client.send(method + " " + target + " HTTP/1.1\r\nHost: localhost:8787\r\n" + headers +
                    "\r\n");
        gateway.expect<ClientConnected>();
        subscribe = gateway.expect<Subscribe>();
    }
    void accept(uint64_t instance, TopicKind kind, bool awaits_first, bool recovered = false) {
        gateway.send(Subscribed{subscribe.subscription, instance, kind, awaits_first, recovered});
    }
    void end(CloseCode code, const std::string &reason) {
        gateway.send(Ended{subscribe.subscription, code, reason});
    }
    ClientDisconnected gone() {
        gateway.expect<Unsubscribe>();
        return gateway.expect<ClientDisconnected>();
    }
};

const std::string kFirst = R"({"type":"queue_update","data":1})";
const std::string kSecond = R"({"type":"queue_update","data":2})";

TEST(EventStream, begins_with_what_it_is_about_and_goes_on_with_messages_and_their_ids) {
    GatewayProcess gateway(local_settings());
    Requester stream(gateway, "/sse/order/4%2F2");
    EXPECT_EQ(stream.subscribe.topic, "order");
    EXPECT_EQ(stream.subscribe.params, std::vector<std::string>{"4/2"});
    stream.accept(1, TopicKind::event, false);
    ASSERT_EQ(stream.client.read_head(), 200);
    EXPECT_TRUE(contains(stream.client.head, "Content-Type: text/event-stream\r\n"));
    EXPECT_TRUE(contains(stream.client.head, "Cache-Control: no-store\r\n"));
    EXPECT_EQ(stream.client.read_event(), "retry: 2000");
    std::string greeting = stream.client.read_event();
    EXPECT_TRUE(greeting.starts_with("event: rtd_subscribed\ndata: {\"type\":\"rtd_subscribed\","))
        << greeting;
    EXPECT_TRUE(contains(greeting, R"("data":{"recovered":false})"));
    EXPECT_TRUE(contains(greeting, R"("topic":"order","params":["4/2"],"id":null)"));
    gateway.send(Message{1, Audience::live, kFirst, "17-1"});
    gateway.send(Message{1, Audience::live, R"({"type":"rtd_gap","data":{}})", "17-2"});
    gateway.send(Control{1, R"({"type":"rtd_error","data":{}})"});
    EXPECT_EQ(stream.client.read_event(), "id: 17-1\ndata: " + kFirst);
    EXPECT_EQ(stream.client.read_event(),
              "id: 17-2\nevent: rtd_gap\ndata: {\"type\":\"rtd_gap\",\"data\":{}}");
    EXPECT_EQ(stream.client.read_event(),
              "event: rtd_error\ndata: {\"type\":\"rtd_error\",\"data\":{}}");
    stream.client.vanish();
    stream.gone();
}

TEST(EventStream, resumes_from_the_last_event_and_that_wins_over_the_address) {
    GatewayProcess gateway(local_settings());
    Requester anew(gateway, "/sse/queue");
    EXPECT_EQ(anew.subscribe.since, "");
    Requester resuming(gateway, "/sse/queue?x=y&since=17-3", "Last-Event-ID: 17-9\r\n");
    EXPECT_EQ(resuming.subscribe.since, "17-9");
    resuming.accept(1, TopicKind::event, false, true);
    gateway.send(Replayed{resuming.subscribe.subscription, kFirst, "17-10"});
    ASSERT_EQ(resuming.client.read_head(), 200);
    resuming.client.read_event();
    EXPECT_TRUE(contains(resuming.client.read_event(), R"("data":{"recovered":true})"));
    EXPECT_EQ(resuming.client.read_event(), "id: 17-10\ndata: " + kFirst);
}

TEST(EventStream, the_address_alone_may_say_where_to_resume_also_of_a_WebSocket) {
    GatewayProcess gateway(local_settings());
    Requester stream(gateway, "/sse/queue?since=17%2D3");
    EXPECT_EQ(stream.subscribe.since, "17-3");
    Client socket(gateway.port);
    ASSERT_EQ(socket.upgrade("/ws/queue?since=17-4"), 101);
    gateway.expect<ClientConnected>();
    EXPECT_EQ(gateway.expect<Subscribe>().since, "17-4");
}

TEST(EventStream, what_the_hub_refuses_is_a_status_as_long_as_nothing_was_sent) {
    GatewayProcess gateway(local_settings());
    const std::pair<CloseCode, int> kRefusals[] = {
        {CloseCode::bad_request, 400},   {CloseCode::unauthorized, 401},
        {CloseCode::forbidden, 403},     {CloseCode::unknown_topic, 404},
        {CloseCode::topic_dropped, 404}, {CloseCode::unavailable, 503},
        {CloseCode::too_many, 503},      {CloseCode::internal_error, 500},
    };
    for (bool is_stream : {true, false})
        for (auto [code, status] : kRefusals) {
            Requester refused(gateway, is_stream ? "/sse/queue" : "/api/v1/topics/queue");
            if (code == CloseCode::bad_request)
                refused.accept(1, TopicKind::state, true); // only the query finds out
            refused.end(code, "a \"sentence\"");
            EXPECT_EQ(refused.client.read_head(), status);
            EXPECT_TRUE(contains(refused.client.head, "Content-Type: application/json\r\n"));
            EXPECT_EQ(contains(refused.client.head, "Retry-After: 1\r\n"), status == 503);
            EXPECT_EQ(refused.client.read_to_end(),
                      "{\"error\":\"a \\\"sentence\\\"\",\"code\":" +
                          std::to_string(static_cast<uint16_t>(code)) + "}\n");
            refused.client.vanish();
            EXPECT_EQ(gateway.expect<ClientDisconnected>().code, static_cast<uint16_t>(code));
        }
}

// After a status it would not.
TEST(EventStream, that_was_accepted_and_fails_for_now_begins_so_that_a_browser_comes_back) {
    GatewayProcess gateway(local_settings());
    Requester stream(gateway, "/sse/queue");
    stream.accept(1, TopicKind::state, true);
    stream.end(CloseCode::unavailable, "the query failed");
    ASSERT_EQ(stream.client.read_head(), 200);
    EXPECT_EQ(stream.client.read_event(), "retry: 2000");
    EXPECT_TRUE(stream.client.read_event().starts_with("event: rtd_subscribed\n"));
    std::string error = stream.client.read_event();
    EXPECT_TRUE(error.starts_with("event: rtd_error\n"));
    EXPECT_TRUE(contains(error, R"("data":{"code":4500,"message":"the query failed"})")) << error;
    EXPECT_EQ(stream.client.read_to_end(), "");
    stream.client.vanish();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 4500);
}

TEST(EventStream, stays_when_its_state_is_stale) {
    GatewayProcess gateway(local_settings());
    Requester stream(gateway, "/sse/queue");
    stream.accept(1, TopicKind::state, false);
    gateway.send(EndUntold{1, CloseCode::unavailable, "the query failed"});
    gateway.send(Control{1, R"({"type":"rtd_current","data":{}})"});
    ASSERT_EQ(stream.client.read_head(), 200);
    stream.client.read_event();
    stream.client.read_event();
    EXPECT_EQ(stream.client.read_event(),
              "event: rtd_current\ndata: {\"type\":\"rtd_current\",\"data\":{}}");
}

TEST(EventStream, that_ends_later_says_why_and_closes) {
    GatewayProcess gateway(local_settings());
    Requester stream(gateway, "/sse/queue");
    stream.accept(1, TopicKind::event, false);
    gateway.send(Message{1, Audience::live, kFirst, "17-1"});
    stream.end(CloseCode::topic_dropped, "it was dropped");
    ASSERT_EQ(stream.client.read_head(), 200);
    std::string rest = stream.client.read_to_end();
    EXPECT_TRUE(contains(rest, "id: 17-1\n"));
    size_t end = rest.find("event: rtd_error\n");
    ASSERT_NE(end, std::string::npos);
    EXPECT_TRUE(contains(rest.substr(end), R"("data":{"code":4410,"message":"it was dropped"})"));
    EXPECT_TRUE(contains(rest.substr(end), R"("topic":"queue")"));
    EXPECT_TRUE(rest.ends_with("\n\n"));
    stream.client.vanish();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 4410);
}

TEST(EventStream, is_kept_awake_by_comments) {
    Settings settings = local_settings();
    settings.ping_interval_ms = 100;
    GatewayProcess gateway(settings);
    Requester stream(gateway, "/sse/queue"); // the answer begins although the hub is silent
    ASSERT_EQ(stream.client.read_head(), 200);
    EXPECT_EQ(stream.client.read_event(), "retry: 2000");
    for (int i = 0; i < 5; i++)
        EXPECT_EQ(stream.client.read_event(), ":");
    stream.accept(1, TopicKind::event, false);
    gateway.send(Message{1, Audience::live, kFirst, "17-1"});
    std::string event;
    while ((event = stream.client.read_event()) == ":") {
    }
    EXPECT_TRUE(event.starts_with("event: rtd_subscribed\n")) << event;
    while ((event = stream.client.read_event()) == ":") {
    }
    EXPECT_EQ(event, "id: 17-1\ndata: " + kFirst);
}

TEST(EventStream, that_is_not_read_ends_for_events_and_skips_states) {
    Settings settings = local_settings();
    settings.client_buffer_bytes = 200000;
    GatewayProcess gateway(settings);
    Requester events(gateway, "/sse/events", "", "GET", 4096);
    events.accept(1, TopicKind::event, false);
    Requester state(gateway, "/sse/state", "", "GET", 4096);
    state.accept(2, TopicKind::state, false);
    constexpr int kMessages = 300;
    for (int i = 0; i < kMessages; i++)
        for (uint64_t instance : {1, 2})
            gateway.send(Message{instance, Audience::live,
                                 "{\"n\":" + std::to_string(i) + ",\"x\":\"" +
                                     std::string(50000, 'x') + "\"}",
                                 "17-" + std::to_string(i)});
    gateway.expect<Unsubscribe>();
    ASSERT_EQ(state.client.read_head(), 200);
    std::string event;
    int received = 0;
    while (!event.starts_with("id: 17-" + std::to_string(kMessages - 1) + "\n")) {
        event = state.client.read_event();
        ASSERT_NE(event, "");
        received++;
    }
    EXPECT_LT(received, kMessages);
    ASSERT_EQ(events.client.read_head(), 200);
    std::string rest = events.client.read_to_end();
    EXPECT_TRUE(contains(rest, "id: 17-0\n"));
    EXPECT_FALSE(contains(rest, "id: 17-299\n"));
    EXPECT_TRUE(contains(rest, R"("data":{"code":4501,)"));
    events.client.vanish();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 4501);
}

TEST(EventStream, does_not_mind_what_a_client_says_after_its_request) {
    GatewayProcess gateway(local_settings());
    Requester stream(gateway, "/sse/queue");
    stream.accept(1, TopicKind::event, false);
    ASSERT_EQ(stream.client.read_head(), 200);
    for (int i = 0; i < 100; i++)
        stream.client.send("GET / HTTP/1.1\r\n\r\n" + std::string(10000, '\xff'));
    gateway.send(Message{1, Audience::live, kFirst, "17-1"});
    std::string event;
    while (!(event = stream.client.read_event()).starts_with("id: "))
        ASSERT_NE(event, "");
    EXPECT_EQ(event, "id: 17-1\ndata: " + kFirst);
}

TEST(EventStream, is_a_client_as_others_are) {
    Settings settings = local_settings();
    settings.max_clients = 1;
    GatewayProcess gateway(settings);
    Requester stream(gateway, "/sse/queue");
    Client second(gateway.port);
    EXPECT_TRUE(contains(second.request("GET", "/sse/queue"), " 503 "));
    EXPECT_TRUE(contains(Client(gateway.port).request("GET", "/api/v1/topics/queue"), " 503 "));
    EXPECT_EQ(Client(gateway.port).upgrade("/ws"), 503);
    stream.client.vanish();
    EXPECT_EQ(stream.gone().code, 1006);
}

TEST(EventStream, a_shutdown_ends_it_with_a_reason) {
    GatewayProcess gateway(local_settings());
    Requester stream(gateway, "/sse/queue");
    stream.accept(1, TopicKind::event, false);
    ASSERT_EQ(stream.client.read_head(), 200);
    gateway.send(Shutdown{CloseCode::going_away, "bye"});
    EXPECT_TRUE(contains(stream.client.read_to_end(), R"("code":1001,"message":"bye")"));
}

TEST(Snapshot, is_the_first_message_with_its_id_as_tag) {
    GatewayProcess gateway(local_settings());
    Requester request(gateway, "/api/v1/topics/order/42");
    EXPECT_EQ(request.subscribe.topic, "order");
    EXPECT_EQ(request.subscribe.params, std::vector<std::string>{"42"});
    EXPECT_EQ(request.subscribe.since, "");
    request.accept(1, TopicKind::state, true);
    gateway.send(Message{1, Audience::live, kSecond, "17-2"}); // not for those who wait
    gateway.send(Message{1, Audience::waiting, kFirst, "17-1"});
    EXPECT_EQ(gateway.expect<Unsubscribe>().subscription, request.subscribe.subscription);
    gateway.send(Message{1, Audience::live, kSecond, "17-3"});
    ASSERT_EQ(request.client.read_head(), 200);
    EXPECT_TRUE(contains(request.client.head, "ETag: \"17-1\"\r\n"));
    EXPECT_TRUE(contains(request.client.head, "Cache-Control: private, no-cache\r\n"));
    EXPECT_TRUE(contains(request.client.head, "Content-Type: application/json\r\n"));
    EXPECT_TRUE(
        contains(request.client.head, "Content-Length: " + std::to_string(kFirst.size()) + "\r\n"));
    EXPECT_EQ(request.client.read_to_end(), kFirst);
    request.client.vanish();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 1000);
}

TEST(Snapshot, that_the_client_has_already_is_304) {
    GatewayProcess gateway(local_settings());
    const std::pair<std::string, int> kTags[] = {
        {"\"17-1\"", 304}, {"\"x\", W/\"17-1\"", 304}, {"*", 304}, {"\"17-2\"", 200}, {"17-1", 200},
    };
    for (const auto &[tags, status] : kTags) {
        Requester request(gateway, "/api/v1/topics/queue", "If-None-Match: " + tags + "\r\n");
        request.accept(1, TopicKind::event, true);
        gateway.send(Message{1, Audience::waiting, kFirst, "17-1"});
        EXPECT_EQ(request.client.read_head(), status) << tags;
        EXPECT_TRUE(contains(request.client.head, "ETag: \"17-1\"\r\n"));
        EXPECT_EQ(request.client.read_to_end(), status == 200 ? kFirst : "");
        request.client.vanish();
        request.gone();
    }
}

TEST(Snapshot, of_a_HEAD_request_is_the_head_alone) {
    GatewayProcess gateway(local_settings());
    Requester request(gateway, "/api/v1/topics/queue", "", "HEAD");
    request.accept(1, TopicKind::event, true);
    gateway.send(Message{1, Audience::waiting, kFirst, "17-1"});
    EXPECT_EQ(request.client.read_head(), 200);
    EXPECT_TRUE(
        contains(request.client.head, "Content-Length: " + std::to_string(kFirst.size()) + "\r\n"));
    EXPECT_EQ(request.client.read_to_end(), "");
}

TEST(Snapshot, of_a_topic_without_a_message_is_404) {
    GatewayProcess gateway(local_settings());
    Requester request(gateway, "/api/v1/topics/queue");
    request.accept(1, TopicKind::event, false);
    EXPECT_EQ(gateway.expect<Unsubscribe>().subscription, request.subscribe.subscription);
    EXPECT_EQ(request.client.read_head(), 404);
    EXPECT_TRUE(contains(request.client.read_to_end(), "has no message"));
}

TEST(Snapshot, of_a_topic_that_others_catch_up_with_is_replayed) {
    GatewayProcess gateway(local_settings());
    Requester request(gateway, "/api/v1/topics/queue");
    gateway.send(
        Subscribed{request.subscribe.subscription, 1, TopicKind::event, false, false, true});
    gateway.send(Replayed{request.subscribe.subscription, kFirst, "17-1"});
    ASSERT_EQ(request.client.read_head(), 200);
    EXPECT_TRUE(contains(request.client.head, "ETag: \"17-1\"\r\n"));
    EXPECT_EQ(request.client.read_to_end(), kFirst);
}

TEST(Snapshot, whose_query_fails_is_503_at_once) {
    GatewayProcess gateway(local_settings());
    Requester request(gateway, "/api/v1/topics/queue");
    request.accept(1, TopicKind::state, true);
    request.end(CloseCode::unavailable, "the query failed");
    EXPECT_EQ(request.client.read_head(), 503);
    EXPECT_TRUE(contains(request.client.head, "Retry-After: 1\r\n"));
    EXPECT_EQ(request.client.read_to_end(), "{\"error\":\"the query failed\",\"code\":4500}\n");
    request.client.vanish();
    EXPECT_EQ(gateway.expect<ClientDisconnected>().code, 4500);
}

TEST(Snapshot, that_does_not_come_in_time_is_504) {
    GatewayProcess gateway(local_settings());
    Requester request(gateway, "/api/v1/topics/queue");
    request.accept(1, TopicKind::state, true);
    auto later = Clock::now() + std::chrono::seconds(9); // the deadline is 10 s, our patience too
    EXPECT_FALSE(wait_readable(request.client.fd(), later));
    EXPECT_EQ(request.client.read_head(), 504);
    EXPECT_TRUE(contains(request.client.head, "Retry-After: 1\r\n"));
    EXPECT_TRUE(contains(request.client.read_to_end(), "did not come in time"));
}

TEST(Snapshot, of_8_MB_arrives_whole_and_is_shared_by_those_who_do_not_read) {
    GatewayProcess gateway(local_settings());
    std::string large(8 << 20, 'x');
    std::vector<std::unique_ptr<Requester>> requests;
    for (int i = 0; i < 10; i++) {
        requests.push_back(
            std::make_unique<Requester>(gateway, "/api/v1/topics/queue", "", "GET", 4096));
        requests.back()->accept(1, TopicKind::state, true);
    }
    gateway.send(Message{1, Audience::waiting, large, "17-1"});
    for (int i = 0; i < 10; i++)
        gateway.expect<Unsubscribe>();
    for (auto &request : requests) {
        ASSERT_EQ(request->client.read_head(), 200);
        EXPECT_TRUE(request->client.read_to_end() == large);
    }
}

TEST(Cors, pages_that_may_connect_may_read_what_they_get) {
    Settings settings = local_settings();
    settings.allowed_origins = {"https://app.example"};
    GatewayProcess gateway(settings);
    for (std::string target : {"/sse/queue", "/api/v1/topics/queue"})
        for (std::string origin : {"https://app.example", "http://localhost:8787"}) {
            Requester request(gateway, target, "Origin: " + origin + "\r\n");
            request.accept(1, TopicKind::state, true);
            gateway.send(Message{1, Audience::waiting, kFirst, "17-1"});
            ASSERT_EQ(request.client.read_head(), 200);
            const std::string &head = request.client.head;
            EXPECT_TRUE(contains(head, "Access-Control-Allow-Origin: " + origin + "\r\n"));
            EXPECT_TRUE(contains(head, "Access-Control-Expose-Headers: ETag, Retry-After\r\n"));
            EXPECT_TRUE(contains(head, "Vary: Origin\r\n"));
            request.client.vanish();
            request.gone();
        }
    std::string refused =
        Client(gateway.port).request("GET", "/sse/Queue", "Origin: https://app.example\r\n");
    EXPECT_TRUE(contains(refused, " 400 "));
    EXPECT_TRUE(contains(refused, "Access-Control-Allow-Origin: https://app.example\r\n"));
}

TEST(Cors, other_pages_are_refused_and_get_no_permission) {
    GatewayProcess gateway(local_settings());
    for (std::string target : {"/sse/queue", "/api/v1/topics/queue"})
        for (std::string method : {"GET", "OPTIONS"})
            for (std::string origin : {"https://evil.example", "null"}) {
                std::string answer =
                    Client(gateway.port).request(method, target, "Origin: " + origin + "\r\n");
                EXPECT_TRUE(contains(answer, " 403 ")) << answer;
                EXPECT_FALSE(contains(answer, "Access-Control-Allow")) << answer;
                EXPECT_TRUE(contains(answer, "Vary: Origin\r\n")) << answer;
            }
}

TEST(Cors, a_preflight_is_answered_with_what_is_allowed) {
    Settings settings = local_settings();
    settings.allowed_origins = {"*"};
    GatewayProcess gateway(settings);
    for (std::string target : {"/sse/queue", "/api/v1/topics/queue"}) {
        std::string answer = Client(gateway.port)
                                 .request("OPTIONS", target,
                                          "Origin: https://app.example\r\n"
                                          "Access-Control-Request-Method: GET\r\n"
                                          "Access-Control-Request-Headers: last-event-id\r\n");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 204 No Content\r\n")) << answer;
        EXPECT_TRUE(contains(answer, "Access-Control-Allow-Origin: https://app.example\r\n"));
        EXPECT_TRUE(contains(answer, "Access-Control-Allow-Methods: GET"));
        EXPECT_TRUE(contains(answer, "Access-Control-Allow-Headers: Authorization, Cache-Control, "
                                     "Content-Type, If-None-Match, Last-Event-ID\r\n"));
        EXPECT_FALSE(contains(answer, "Content-Length")) << "204 has none";
    }
}

TEST(TopicRequests, that_are_malformed_are_refused_with_a_sentence) {
    GatewayProcess gateway(local_settings());
    auto answer = [&](std::string_view method, std::string_view target,
                      std::string_view headers = "") {
        return Client(gateway.port).request(method, target, headers);
    };
    for (std::string start : {"/sse", "/api/v1/topics"}) {
        EXPECT_TRUE(contains(answer("GET", start), "names no topic"));
        EXPECT_TRUE(contains(answer("GET", start + "/"), " 400 "));
        EXPECT_TRUE(contains(answer("GET", start + "/Queue"), "topic name"));
        EXPECT_TRUE(contains(answer("GET", start + "/queue/%zz"), " 400 "));
        EXPECT_TRUE(contains(answer("GET", start + "/queue?since=x"), "since must be"));
        EXPECT_TRUE(contains(answer("GET", start + "/queue?since=%zz"), " 400 "));
        std::string wrong = answer("POST", start + "/queue", "Content-Length: 2\r\n\r\n{}");
        EXPECT_TRUE(contains(wrong, " 405 ")) << wrong;
        EXPECT_TRUE(contains(wrong, "Allow: GET"));
    }
    EXPECT_TRUE(contains(answer("HEAD", "/sse/queue"), " 405 "));
    EXPECT_TRUE(contains(answer("GET", "/api/v1"), " 404 "));
    EXPECT_TRUE(contains(answer("GET", "/api/v2/topics/queue"), " 404 "));
}

// All in one read of the link: the first message ends the only subscription, and with it the
// instance; the second one is for those who wait for their first.
TEST(SnapshotRequest, that_ends_an_instance_may_be_followed_by_a_message_of_it) {
    GatewayProcess gateway(local_settings());
    for (uint64_t instance = 1; instance <= 50; instance++) {
        Requester request(gateway, "/api/v1/topics/queue");
        Subscribed subscribed{request.subscribe.subscription, instance, TopicKind::event, false,
                              false};
        subscribed.first_follows = true;
        gateway.send_raw(encode(HubFrame(subscribed)) +
                         encode(HubFrame(Message{instance, Audience::live, kFirst, "17-1"})) +
                         encode(HubFrame(Message{instance, Audience::waiting, kSecond, "17-2"})));
        EXPECT_EQ(request.client.read_head(), 200);
        request.client.vanish();
        request.gone();
    }
    EXPECT_TRUE(gateway.is_alive());
}

} // namespace
} // namespace rtd::test
