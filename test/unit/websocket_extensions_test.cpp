#include "gateway/websocket/websocket_extensions.h"

#include "gateway/http/http_request.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

constexpr std::string_view kAccepted =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
constexpr std::string_view kAcceptedSmall =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
    "server_max_window_bits=12";

std::string answer(std::string_view offers) {
    Result<std::string> result = negotiate_websocket_extensions(offers);
    EXPECT_TRUE(result) << offers;
    return result ? *result : "refused";
}

TEST(WebSocketExtensions, what_clients_really_send_is_accepted) {
    // Chromium and Firefox; Safari; Node's ws; Python's websockets.
    EXPECT_EQ(answer("permessage-deflate; client_max_window_bits"), kAccepted);
    EXPECT_EQ(answer("permessage-deflate"), kAccepted);
    EXPECT_EQ(answer("permessage-deflate; server_no_context_takeover; "
                     "client_no_context_takeover; client_max_window_bits=15"),
              kAccepted);
    EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"),
              kAcceptedSmall);
}

TEST(WebSocketExtensions, without_an_offer_there_is_no_answer) {
    EXPECT_EQ(answer(""), "");
    EXPECT_EQ(answer("x-webkit-deflate-frame"), "");
    EXPECT_EQ(answer("bbf-usp-protocol; a=1; b=\"two\", other"), "");
    EXPECT_EQ(answer("Permessage-Deflate"), ""); // names are compared as they are
}

TEST(WebSocketExtensions, the_answer_names_our_window_where_the_client_asks) {
    for (int bits : {12, 13, 14, 15})
        EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=" + std::to_string(bits)),
                  kAcceptedSmall);
}

TEST(WebSocketExtensions, an_offer_we_cannot_keep_is_declined) {
    for (std::string_view parameter :
         {"server_max_window_bits=8", "server_max_window_bits=11", "server_max_window_bits=16",
          "server_max_window_bits=012", "server_max_window_bits=7", "server_max_window_bits",
          "server_max_window_bits=1e1", "server_max_window_bits=99999999999999999999",
          "client_max_window_bits=7", "client_max_window_bits=16", "client_max_window_bits=08",
          "client_max_window_bits=x", "server_no_context_takeover=1",
          "client_no_context_takeover=true", "unknown", "unknown=1",
          "client_max_window_bits; client_max_window_bits",
          "server_max_window_bits=12; server_max_window_bits=15",
          "server_no_context_takeover; server_no_context_takeover"})
        EXPECT_EQ(answer("permessage-deflate; " + std::string(parameter)), "") << parameter;
}

TEST(WebSocketExtensions, the_first_offer_that_we_can_keep_is_accepted) {
    EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=10, "
                     "permessage-deflate; client_max_window_bits"),
              kAccepted);
    EXPECT_EQ(answer("other; x=1, permessage-deflate; unknown, permessage-deflate; "
                     "server_max_window_bits=15, permessage-deflate"),
              kAcceptedSmall);
}

TEST(WebSocketExtensions, blanks_quotes_and_empty_elements_are_as_the_grammar_has_them) {
    EXPECT_EQ(answer(" permessage-deflate\t;client_max_window_bits = 10 ; "
                     "server_max_window_bits=\"15\""),
              kAcceptedSmall);
    EXPECT_EQ(answer("permessage-deflate; server_max_window_bits=\"1\\5\""), kAcceptedSmall);
    EXPECT_EQ(answer(", ,permessage-deflate,,"), kAccepted);
}

TEST(WebSocketExtensions, what_is_no_list_of_extensions_is_refused) {
    for (std::string_view offers : {";",
                                    "permessage-deflate;",
                                    "permessage-deflate; ",
                                    "permessage-deflate;;",
                                    "=",
                                    "permessage deflate",
                                    "permessage-deflate; a b",
                                    "permessage-deflate; =15",
                                    "permessage-deflate; a=",
                                    "permessage-deflate; a=\"\"",
                                    "permessage-deflate; a=\"",
                                    "permessage-deflate; a=\"15",
                                    "permessage-deflate; a=15\"",
                                    "permessage-deflate; a=\"\\\"",
                                    "permessage-deflate; a=\"1,5\"",
                                    "permessage-deflate; a=\"1;5\"",
                                    "permessage-deflate; a=\"1 5\"",
                                    "permessage-deflate; a=1=5",
                                    "permessage-deflate=1",
                                    "permessage-deflate, @",
                                    "\"permessage-deflate\"",
                                    "permessage-deflate; \xc3\xa4"})
        EXPECT_FALSE(negotiate_websocket_extensions(offers)) << offers;
}

TEST(WebSocketExtensions, repeated_headers_are_one_list) {
    Result<HttpRequest> request =
        parse_http_request("GET / HTTP/1.1\r\nSec-WebSocket-Extensions: other\r\n"
                           "sec-websocket-extensions: permessage-deflate\r\n\r\n");
    ASSERT_TRUE(request);
    EXPECT_EQ(answer(request->websocket_extensions), kAccepted);
}

} // namespace
} // namespace rtd
