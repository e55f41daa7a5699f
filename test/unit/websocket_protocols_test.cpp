#include "gateway/websocket/websocket_protocols.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(WebSocketProtocols, ours_is_found_among_others) {
    for (std::string_view offers : {"rtd", "a, rtd", "rtd,b", " a ,\trtd , b", ",rtd,", "rtd, rtd"})
        EXPECT_EQ(choose_websocket_protocol(offers), ProtocolChoice::rtd) << offers;
}

TEST(WebSocketProtocols, names_that_only_look_like_ours_are_others) {
    for (std::string_view offers : {"RTD", "Rtd", "rtd1", "xrtd", "rtd.v1", "mqtt, soap"})
        EXPECT_EQ(choose_websocket_protocol(offers), ProtocolChoice::foreign) << offers;
}

TEST(WebSocketProtocols, what_is_no_list_of_tokens_is_malformed_also_if_ours_is_in_it) {
    for (std::string_view offers : {",", " , ", "rtd mqtt", "rtd, a b", "\"rtd\"", "rtd;q=1",
                                    "rtd/1", "a@b, rtd", "rtd, \x01", "rtd, caf\xc3\xa9", "rtd=1"})
        EXPECT_EQ(choose_websocket_protocol(offers), ProtocolChoice::malformed) << offers;
}

TEST(WebSocketProtocols, nothing_is_nothing) {
    EXPECT_EQ(choose_websocket_protocol(""), ProtocolChoice::none);
}

} // namespace
} // namespace rtd
