// Plain HTTP, and everything that is refused before a WebSocket opens.
#include "client.h"

namespace rtd::test {
namespace {

using namespace rtd::link;

bool contains(const std::string &text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

TEST(Http, healthz_answers_without_the_hub) {
    GatewayProcess gateway(local_settings());
    std::string answer = Client(gateway.port).request("GET", "/healthz");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(contains(answer, "Content-Type: application/json\r\n"));
    EXPECT_TRUE(contains(answer, "Cache-Control: no-store\r\n"));
    EXPECT_TRUE(answer.ends_with("\r\n\r\n{\"status\":\"ok\"}\n"));
}

TEST(Http, a_HEAD_request_gets_the_head_alone) {
    GatewayProcess gateway(local_settings());
    std::string answer = Client(gateway.port).request("HEAD", "/healthz");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(contains(answer, "Content-Length: 16\r\n"));
    EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
}

TEST(Http, readyz_says_what_the_hub_says) {
    GatewayProcess gateway(local_settings());
    for (bool ready : {true, false}) {
        Client client(gateway.port);
        client.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
        auto probe = gateway.expect<Probe>();
        gateway.send(Probed{probe.probe, ready, "a \"sentence\""});
        std::string answer = client.read_to_end();
        EXPECT_TRUE(contains(answer, ready ? " 200 OK" : " 503 ")) << answer;
        EXPECT_TRUE(contains(answer, ready ? "{\"ready\":true,\"detail\":\"a \\\"sentence\\\"\"}"
                                           : "{\"ready\":false,"));
    }
}

TEST(Http, readyz_is_not_ready_when_the_hub_is_silent) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    EXPECT_TRUE(contains(client.request("GET", "/readyz"), " 503 "));
}

TEST(Http, a_client_that_leaves_readyz_early_is_forgotten) {
    GatewayProcess gateway(local_settings());
    Client early(gateway.port);
    early.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    auto probe = gateway.expect<Probe>();
    early.vanish();
    Client late(gateway.port);
    late.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    gateway.send(Probed{probe.probe + 99, true, "of somebody else"});
    gateway.send(Probed{probe.probe, true, "first"});
    // Either the two shared one probe, or the first had been forgotten and a second was sent.
    gateway.send(Probed{probe.probe + 1, true, "second"});
    EXPECT_NE(Client(gateway.port).request("GET", "/healthz"), "");
}

TEST(Http, the_page_may_run_its_own_script_and_nothing_else) {
    GatewayProcess gateway(local_settings());
    std::string answer = Client(gateway.port).request("GET", "/");
    EXPECT_TRUE(contains(answer, "Content-Type: text/html; charset=utf-8\r\n"));
    EXPECT_TRUE(contains(answer, "default-src 'none'; script-src 'sha256-"));
    EXPECT_TRUE(contains(answer, "X-Content-Type-Options: nosniff\r\n"));
    EXPECT_TRUE(contains(answer, "frame-ancestors 'none'"));
    EXPECT_TRUE(contains(answer, "</html>"));
}

TEST(Http, what_is_not_there_is_404_and_a_wrong_method_405) {
    GatewayProcess gateway(local_settings());
    auto answer = [&](std::string_view method, std::string_view path) {
        return Client(gateway.port).request(method, path);
    };
    EXPECT_TRUE(contains(answer("GET", "/nothing"), " 404 "));
    EXPECT_TRUE(contains(answer("GET", "/healthz/x"), " 404 "));
    EXPECT_TRUE(contains(answer("POST", "/healthz"), " 405 "));
    EXPECT_TRUE(contains(answer("POST", "/healthz"), "Allow: GET, HEAD, OPTIONS\r\n"));
    EXPECT_TRUE(contains(answer("DELETE", "/ws/queue"), "Allow: GET, OPTIONS\r\n"));
    EXPECT_TRUE(contains(answer("BREW", "/"), " 405 "));
}

TEST(Http, a_malformed_path_is_refused_before_the_upgrade_with_a_sentence) {
    GatewayProcess gateway(local_settings());
    const std::pair<std::string, std::string> cases[] = {
        {"/ws/", "empty segment"},
        {"/ws/Queue", "topic name"},
        {"/ws/planned_features", "topic name"},
        {"/ws/" + std::string(64, 'a'), "longer than 63 bytes"},
        {"/ws/queue/", "empty segment"},
        {"/ws/queue//x", "empty segment"},
        {"/ws/queue/%", "percent sign"},
        {"/ws/queue/%zz", "percent sign"},
        {"/ws/queue/%00", "NUL"},
        {"/ws/queue/%ff", "not UTF-8"},
        {"/ws/queue/\xc3", "not UTF-8"},
        {"/ws/../queue", "topic name"},
        {"/ws/queue/" + std::string(1025, 'a'), "longer than 1024 bytes"},
        {"/ws/queue/" + std::string(9000, 'a'), "longer than 8192 bytes"},
        {"ws/queue", "begin with a slash"},
    };
    for (const auto &[path, sentence] : cases) {
        Client client(gateway.port);
        client.send(Client::upgrade_head(path));
        std::string answer = client.read_to_end();
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << path << answer;
        EXPECT_TRUE(contains(answer, "Content-Type: application/json\r\n"));
        EXPECT_TRUE(contains(answer, "{\"error\":\"")) << answer;
        EXPECT_TRUE(contains(answer, sentence)) << path << answer;
    }
}

TEST(Http, a_topic_without_an_upgrade_is_426) {
    GatewayProcess gateway(local_settings());
    std::string answer = Client(gateway.port).request("GET", "/ws/queue");
    EXPECT_TRUE(contains(answer, " 426 Upgrade Required\r\n")) << answer;
    EXPECT_TRUE(contains(answer, "Upgrade: websocket\r\n"));
}

TEST(Http, another_version_of_the_protocol_is_told_which_one_is_spoken) {
    GatewayProcess gateway(local_settings());
    std::string answer = Client(gateway.port)
                             .request("GET", "/ws/queue",
                                      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                      "Sec-WebSocket-Version: 8\r\n");
    EXPECT_TRUE(contains(answer, " 426 ")) << answer;
    EXPECT_TRUE(contains(answer, "Sec-WebSocket-Version: 13\r\n"));
}

TEST(Http, a_missing_key_is_400) {
    GatewayProcess gateway(local_settings());
    std::string answer = Client(gateway.port)
                             .request("GET", "/ws/queue",
                                      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                      "Sec-WebSocket-Version: 13\r\n");
    EXPECT_TRUE(contains(answer, " 400 ")) << answer;
}

TEST(Http, a_malformed_or_endless_head_is_400) {
    GatewayProcess gateway(local_settings());
    Client malformed(gateway.port);
    malformed.send("this is not HTTP\r\n\r\n");
    EXPECT_TRUE(contains(malformed.read_to_end(), " 400 "));
    Client endless(gateway.port);
    endless.send("GET / HTTP/1.1\r\nX: " + std::string(20000, 'x'));
    EXPECT_TRUE(contains(endless.read_to_end(), " 400 "));
}

TEST(Http, a_head_may_come_byte_by_byte) {
    GatewayProcess gateway(local_settings());
    Client client(gateway.port);
    for (char c : Client::upgrade_head("/ws/queue"))
        client.send(std::string_view(&c, 1));
    EXPECT_EQ(client.read_head(), 101);
}

TEST(Origin, foreign_pages_are_refused_and_the_own_and_listed_ones_are_not) {
    Settings settings = local_settings();
    settings.allowed_origins = {"https://app.example"};
    GatewayProcess gateway(settings);
    auto status = [&](const std::string &origin) {
        return Client(gateway.port).upgrade("/ws/queue", "Origin: " + origin + "\r\n");
    };
    EXPECT_EQ(Client(gateway.port).upgrade("/ws/queue"), 101);
    EXPECT_EQ(status("http://localhost:8787"), 101);
    EXPECT_EQ(status("https://app.example"), 101);
    EXPECT_EQ(status("http://evil.example"), 403);
    EXPECT_EQ(status("http://localhost:3000"), 403);
    EXPECT_EQ(status("null"), 403);
}

TEST(Origin, a_star_allows_every_page) {
    Settings settings = local_settings();
    settings.allowed_origins = {"*"};
    GatewayProcess gateway(settings);
    EXPECT_EQ(Client(gateway.port).upgrade("/ws/queue", "Origin: http://evil.example\r\n"), 101);
}

TEST(MaxClients, one_too_many_is_told_to_come_back_later) {
    Settings settings = local_settings();
    settings.max_clients = 2;
    GatewayProcess gateway(settings);
    Client one(gateway.port), two(gateway.port);
    ASSERT_EQ(one.upgrade("/ws/queue"), 101);
    ASSERT_EQ(two.upgrade("/ws/queue"), 101);
    Client three(gateway.port);
    EXPECT_EQ(three.upgrade("/ws/queue"), 503);
    EXPECT_TRUE(contains(three.head, "Retry-After: 1\r\n"));
    EXPECT_TRUE(contains(Client(gateway.port).request("GET", "/healthz"), " 200 "));
    one.vanish();
    EXPECT_TRUE(eventually([&] { return Client(gateway.port).upgrade("/ws/queue") == 101; }));
}

} // namespace
} // namespace rtd::test
