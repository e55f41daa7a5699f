#include "gateway/http/http_request.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(HttpRequest, an_upgrade_request_is_read_whatever_the_case_of_its_headers) {
    Result<HttpRequest> request = parse_http_request("GET /ws/queue?x HTTP/1.1\r\n"
                                                     "HOST: localhost:8787\r\n"
                                                     "upgrade:  WebSocket \r\n"
                                                     "Connection: keep-alive, Upgrade\r\n"
                                                     "Sec-WebSocket-Key: abc\r\n"
                                                     "Sec-WebSocket-Version: 13\r\n"
                                                     "Origin: http://localhost:8787\r\n"
                                                     "X-Other: whatever\r\n\r\n");
    ASSERT_TRUE(request);
    EXPECT_EQ(request->method, "GET");
    EXPECT_EQ(request->target, "/ws/queue?x");
    EXPECT_EQ(request->host, "localhost:8787");
    EXPECT_EQ(request->origin, "http://localhost:8787");
    EXPECT_EQ(request->websocket_key, "abc");
    EXPECT_EQ(request->websocket_version, "13");
    EXPECT_TRUE(request->wants_websocket());
}

TEST(HttpRequest, an_upgrade_needs_both_of_its_headers) {
    EXPECT_FALSE(
        parse_http_request("GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")->wants_websocket());
    EXPECT_FALSE(
        parse_http_request("GET / HTTP/1.1\r\nConnection: upgrade\r\n\r\n")->wants_websocket());
    EXPECT_FALSE(parse_http_request("GET / HTTP/1.1\r\n\r\n")->wants_websocket());
}

TEST(HttpRequest, repeated_headers_are_joined) {
    Result<HttpRequest> request = parse_http_request(
        "GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: upgrade\r\n\r\n");
    ASSERT_TRUE(request);
    EXPECT_EQ(request->connection, "keep-alive, upgrade");
}

TEST(HttpRequest, malformed_heads_are_refused) {
    for (std::string_view head :
         {"", "\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2.0\r\n\r\n",
          "GET  / HTTP/1.1\r\n\r\n", "G@T / HTTP/1.1\r\n\r\n", "GET /\x01 HTTP/1.1\r\n\r\n",
          "GET / HTTP/1.1 \r\n\r\n", "GET / HTTP/1.1\r\nnocolon\r\n\r\n",
          "GET / HTTP/1.1\r\n folded: x\r\n\r\n", "GET / HTTP/1.1\r\nName : x\r\n\r\n",
          "GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
          "GET / HTTP/1.1\r\n: x\r\n\r\n", "GET / HTTP/1.1\r\n"})
        EXPECT_FALSE(parse_http_request(head)) << testing::PrintToString(head);
}

TEST(HttpRequest, a_head_cut_anywhere_is_refused_and_never_read_past_its_end) {
    std::string head = "GET /ws/queue HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n";
    for (size_t size = 0; size < head.size(); size++) {
        std::string cut(head.data(), size); // a copy of its own, so that the sanitizer sees its end
        EXPECT_FALSE(parse_http_request(cut)) << size;
    }
}

TEST(HttpRequest, tokens_are_compared_whole) {
    EXPECT_TRUE(has_token("a, Upgrade ,b", "upgrade"));
    EXPECT_FALSE(has_token("upgraded", "upgrade"));
    EXPECT_FALSE(has_token("", "upgrade"));
}

} // namespace
} // namespace rtd
