#include "gateway/websocket/ws_reader.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

constexpr WsReader::Limits kLimits{1000};

// A client's frame. `first` is its first byte: FIN, reserved bits and opcode.
std::string frame(uint8_t first, std::string_view payload, bool is_masked = true) {
    std::string bytes(1, static_cast<char>(first));
    uint8_t mask_bit = is_masked ? 0x80 : 0;
    if (payload.size() < 126) {
        bytes += static_cast<char>(mask_bit | payload.size());
    } else {
        bytes += static_cast<char>(mask_bit | 126);
        bytes += static_cast<char>(payload.size() >> 8);
        bytes += static_cast<char>(payload.size());
    }
    const std::string mask = "\x12\x34\x56\x78";
    if (is_masked)
        bytes += mask;
    for (size_t i = 0; i < payload.size(); i++)
        bytes += static_cast<char>(payload[i] ^ (is_masked ? mask[i % 4] : 0));
    return bytes;
}

// What is read of `bytes`, given in steps of `step` bytes: "text:payload pong:payload
// violation:1002".
std::string read(std::string_view bytes, size_t step, WsReader::Limits limits = kLimits) {
    WsReader reader(limits);
    std::string seen;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) {
        reader.feed(bytes.substr(0, step));
        while (true) {
            auto next = reader.next();
            if (std::holds_alternative<WsNeedsMore>(next))
                break;
            if (auto *violation = std::get_if<WsViolation>(&next))
                return seen + "violation:" + std::to_string(static_cast<int>(violation->code));
            auto &incoming = std::get<WsIncoming>(next);
            const char *names[] = {"", "text", "binary", "",     "",    "",
                                   "", "",     "close",  "ping", "pong"};
            seen += names[static_cast<int>(incoming.opcode)];
            seen += (incoming.is_compressed ? "+:" : ":") + incoming.payload + " ";
        }
    }
    return seen + (reader.is_idle() ? "idle" : "busy");
}

TEST(WsReader, reads_messages_however_the_bytes_come) {
    std::string bytes = frame(0x81, "hello") + frame(0x01, "a") + frame(0x89, "p") +
                        frame(0x00, "") + frame(0x80, "b") + frame(0x82, std::string(300, 'x')) +
                        frame(0x81, "") + frame(0x88, "\x03\xe8");
    std::string expected =
        "text:hello ping:p text:ab binary:" + std::string(300, 'x') + " text: close:\x03\xe8 idle";
    for (size_t step : {1, 2, 3, 5, 7, 64, 1000})
        EXPECT_EQ(read(bytes, step), expected) << step;
}

TEST(WsReader, is_busy_in_the_middle_of_anything) {
    std::string bytes = frame(0x81, std::string(200, 'x'));
    for (size_t size = 1; size < bytes.size(); size++)
        ASSERT_EQ(read(bytes.substr(0, size), 1000), "busy") << size;
    EXPECT_EQ(read(frame(0x01, "first fragment"), 1000), "busy");
    EXPECT_EQ(read(frame(0x01, "a") + frame(0x8a, "pong"), 1000), "pong:pong busy");
}

TEST(WsReader, refuses_what_the_protocol_forbids) {
    EXPECT_EQ(read(frame(0x81, "x", false), 1), "violation:1002") << "not masked";
    EXPECT_EQ(read(frame(0x81, "", false), 1), "violation:1002") << "not masked and empty";
    for (uint8_t reserved : {0xc1, 0xa1, 0x91, 0xc9, 0xc0})
        EXPECT_EQ(read(frame(reserved, "x"), 1), "violation:1002") << int(reserved);
    for (uint8_t opcode : {0x83, 0x87, 0x8b, 0x8f})
        EXPECT_EQ(read(frame(opcode, "x"), 1), "violation:1002") << int(opcode);
    EXPECT_EQ(read(frame(0x80, "x"), 1), "violation:1002") << "continues nothing";
    EXPECT_EQ(read(frame(0x01, "x") + frame(0x81, "y"), 1), "violation:1002") << "within another";
    EXPECT_EQ(read(frame(0x09, "x"), 1), "violation:1002") << "a control frame in parts";
    EXPECT_EQ(read(frame(0x89, std::string(126, 'x')), 1), "violation:1002") << "a long ping";
    EXPECT_EQ(read(std::string("\x81\xfe\x00\x05\1\2\3\4abcde", 13), 1), "violation:1002")
        << "not the shortest length";
    EXPECT_EQ(read(std::string("\x81\xff\x80\0\0\0\0\0\0\0\1\2\3\4a", 15), 1), "violation:1002")
        << "more than 2^63 bytes";
}

TEST(WsReader, a_message_over_the_limit_is_refused_at_its_first_byte) {
    EXPECT_EQ(read(frame(0x81, std::string(1000, 'x')), 1),
              "text:" + std::string(1000, 'x') + " idle");
    std::string header("\x81\xff\0\0\1\0\0\0\0\0\1\2\3\4", 14);
    EXPECT_EQ(read(header + "x", 1000), "violation:1009");
    EXPECT_EQ(read(frame(0x01, std::string(999, 'x')) + frame(0x80, "yz"), 1000), "violation:1009");
}

TEST(WsReader, a_compressed_message_is_one_only_where_it_may_be) {
    WsReader::Limits limits{1000, true};
    EXPECT_EQ(read(frame(0xc1, "z"), 1, limits), "text+:z idle");
    EXPECT_EQ(read(frame(0x41, "y") + frame(0x80, "z") + frame(0x81, "plain"), 1, limits),
              "text+:yz text:plain idle");
    EXPECT_EQ(read(frame(0x01, "y") + frame(0xc0, "z"), 1, limits), "violation:1002");
    EXPECT_EQ(read(frame(0xc9, "z"), 1, limits), "violation:1002");
}

} // namespace
} // namespace rtd
