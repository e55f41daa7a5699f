#include "core/byte_queue.h"
#include "core/link.h"

#include <gtest/gtest.h>
#include <random>

namespace rtd {
namespace {

TEST(ByteQueue, GivesOutWhatWasPutInWhateverThePieces) {
    std::mt19937 random(7);
    ByteQueue queue;
    std::string in, out;
    auto read = [&](size_t most) {
        std::string_view front = queue.front().substr(0, most);
        out += front;
        queue.consume(front.size());
    };
    for (int i = 0; i < 2000; i++) {
        std::string piece(random() % (i % 100 == 0 ? 300'000 : 2000),
                          static_cast<char>('a' + i % 26));
        queue.append(piece);
        in += piece;
        read(random() % 3000);
        EXPECT_EQ(queue.size(), in.size() - out.size());
    }
    while (!queue.empty()) {
        ASSERT_FALSE(queue.front().empty());
        read(SIZE_MAX);
    }
    EXPECT_TRUE(in == out);
    EXPECT_TRUE(queue.front().empty());
}

// A buffer of hub or gateway once kept, for ever, the memory of the largest frame it had seen.
TEST(FrameReader, GivesTheMemoryOfALargeFrameBack) {
    link::FrameReader<link::GatewayFrame> reader;
    std::string large = encode(link::GatewayFrame(link::Note{std::string(20 << 20, 'x')}));
    for (size_t at = 0; at < large.size(); at += 65536) {
        auto frame = reader.next();
        ASSERT_TRUE(frame && !*frame);
        reader.append(std::string_view(large).substr(at, 65536));
    }
    EXPECT_GT(reader.capacity(), 20u << 20);
    auto frame = reader.next();
    ASSERT_TRUE(frame && *frame);
    reader.append(encode(link::GatewayFrame(link::Pong{1})));
    frame = reader.next();
    ASSERT_TRUE(frame && *frame);
    frame = reader.next();
    ASSERT_TRUE(frame && !*frame);
    EXPECT_LT(reader.capacity(), 1u << 20);
}

// The gateway parses what strangers send: if it is broken, it must not make the hub hold a
// gigabyte.
TEST(FrameReader, TakesNoFrameOfAGatewayThatNoClientCanCause) {
    link::FrameReader<link::GatewayFrame> reader;
    std::string length = {0, 0, 0, 0x10}; // 256 MB
    reader.append(length);
    EXPECT_FALSE(reader.next());
    link::FrameReader<link::HubFrame> of_hub;
    of_hub.append(length);
    EXPECT_TRUE(of_hub.next());
}

} // namespace
} // namespace rtd
