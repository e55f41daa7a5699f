#include "gateway/session/wire_message.h"
#include "gateway/websocket/ws_frame.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

TEST(WsFrame, the_header_has_the_shortest_form_that_fits) {
    EXPECT_EQ(ws_message("").bytes(), std::string_view("\x81\x00", 2));
    EXPECT_EQ(ws_message("ab").bytes(), "\x81\x02"
                                        "ab");
    EXPECT_EQ(ws_message(std::string(125, 'x')).size(), 2u + 125);
    EXPECT_EQ(ws_message(std::string(126, 'x')).bytes().substr(0, 4),
              std::string_view("\x81\x7e\x00\x7e", 4));
    EXPECT_EQ(ws_message(std::string(65535, 'x')).bytes().substr(0, 4), "\x81\x7e\xff\xff");
    EXPECT_EQ(ws_message(std::string(65536, 'x')).bytes().substr(0, 10),
              std::string_view("\x81\x7f\0\0\0\0\0\1\0\0", 10));
}

// Walks over the frames as a client would.
std::string payload_of(const WireMessage &message, int &frames) {
    std::string payload;
    frames = 0;
    for (size_t at = 0; at < message.size(); frames++) {
        std::string_view frame = message.bytes().substr(at);
        frame = frame.substr(0, ws_frame_size(frame));
        at += frame.size();
        bool is_final = at == message.size();
        uint8_t expected = (is_final ? 0x80 : 0) | (frames == 0 ? 1 : 0);
        EXPECT_EQ(static_cast<uint8_t>(frame[0]), expected);
        uint8_t size = static_cast<uint8_t>(frame[1]);
        payload += frame.substr(size < 126 ? 2 : size == 126 ? 4 : 10);
    }
    return payload;
}

TEST(WsFrame, a_large_message_is_cut_into_fragments_and_is_whole_again_after) {
    for (auto [size, expected_frames] : {std::pair<size_t, int>{0, 1},
                                         {kFragmentBytes - 1, 1},
                                         {kFragmentBytes, 1},
                                         {kFragmentBytes + 1, 2},
                                         {2 * kFragmentBytes, 2},
                                         {3 * kFragmentBytes + 77, 4}}) {
        std::string body(size, ' ');
        for (size_t i = 0; i < size; i++)
            body[i] = static_cast<char>('a' + i % 23);
        int frames = 0;
        EXPECT_EQ(payload_of(ws_message(body), frames), body);
        EXPECT_EQ(frames, expected_frames) << size;
    }
}

TEST(WsFrame, a_compressed_message_says_so_on_its_first_frame_alone) {
    std::string small, large;
    append_deflated_ws_message(small, "ab");
    EXPECT_EQ(small, "\xc1\x02"
                     "ab");
    append_deflated_ws_message(large, std::string(2 * kFragmentBytes + 7, 'x'));
    std::string first_bytes;
    for (std::string_view rest = large; !rest.empty(); rest.remove_prefix(ws_frame_size(rest)))
        first_bytes += rest[0];
    EXPECT_EQ(first_bytes, std::string_view("\x41\x00\x80", 3));
}

TEST(WsFrame, a_close_reason_is_cut_between_two_characters) {
    EXPECT_EQ(ws_close_frame(1001, "bye"), std::string_view("\x88\x05\x03\xe9"
                                                            "bye"));
    std::string reason(122, 'x');
    reason += "\xc3\xa4"; // 124 bytes
    std::string frame = ws_close_frame(4404, reason);
    EXPECT_EQ(frame.size(), 2u + 2 + 122);
    EXPECT_EQ(static_cast<uint8_t>(frame[1]), 124);
}

} // namespace
} // namespace rtd
