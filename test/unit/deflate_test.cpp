#include "gateway/websocket/deflate.h"

#include "zlib_peer.h"

#include <gtest/gtest.h>
#include <random>

namespace rtd {
namespace {

using Outcome = Inflater::Outcome;
using namespace std::string_literals;

constexpr size_t kPlenty = 4 << 20;

std::string json_rows(size_t bytes) {
    std::string rows = "[";
    for (int id = 1; rows.size() < bytes; id++)
        rows += (id > 1 ? "," : "") + ("{\"id\": " + std::to_string(id * 7919 % 10007)) +
                ", \"state\": \"" + (id % 3 ? "planned" : "completed") +
                "\", \"title\": \"größer €\"}";
    return rows + "]";
}

std::string random_bytes(size_t bytes, unsigned seed) {
    std::mt19937 random(seed);
    std::string noise(bytes, '\0');
    for (char &c : noise)
        c = static_cast<char>(random());
    return noise;
}

// A deflate block that is stored: its header, and what it holds, up to 65,535 bytes.
std::string stored(std::string_view bytes, bool is_last = false) {
    auto size = static_cast<uint16_t>(bytes.size());
    auto inverse = static_cast<uint16_t>(~size);
    std::string block{is_last ? '\1' : '\0', static_cast<char>(size), static_cast<char>(size >> 8),
                      static_cast<char>(inverse), static_cast<char>(inverse >> 8)};
    return block.append(bytes);
}

struct Inflated {
    Outcome outcome;
    std::string text;
};

Inflated inflate(std::string_view payload, size_t max_bytes = kPlenty) {
    static Inflater inflater; // one for all, as in the gateway: nothing of a message may be left
    Inflated result;
    std::string copy(payload); // of its own, so that the sanitizer sees its end
    result.outcome = inflater.inflate(copy, max_bytes, result.text);
    return result;
}

void expect_text(std::string_view payload, std::string_view text) {
    Inflated inflated = inflate(payload);
    EXPECT_EQ(inflated.outcome, Outcome::whole);
    EXPECT_TRUE(inflated.text == text) << inflated.text.size() << " of " << text.size() << " bytes";
}

// ---- what others send ----

TEST(Inflater, takes_the_examples_of_the_standard) {
    expect_text("\xf2\x48\xcd\xc9\xc9\x07\x00"s, "Hello");                         // one block
    expect_text("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"s, "Hello");         // stored
    expect_text("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"s, "Hello");                     // marked as last
    expect_text("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"s, "Hello"); // two blocks
    expect_text("\x00"s, "");
}

TEST(Inflater, goes_on_after_a_block_that_says_it_is_the_last) {
    expect_text(stored("one, ", true) + stored("two, ", true) + stored("three") + '\0',
                "one, two, three");
}

// The example for context take-over: it copies "Hello" from the message before. A client must not,
// and must never get at what another client has said.
TEST(Inflater, knows_nothing_of_the_message_before) {
    expect_text("\xf2\x48\xcd\xc9\xc9\x07\x00"s, "Hello");
    EXPECT_EQ(inflate("\xf2\x00\x11\x00\x00"s).outcome, Outcome::broken);
    expect_text("\xf2\x48\xcd\xc9\xc9\x07\x00"s, "Hello");
}

TEST(Inflater, a_message_cut_anywhere_is_broken_or_shorter_and_never_read_past_its_end) {
    std::string body = json_rows(5000);
    std::string payload = Deflater().deflate(body).value();
    for (size_t size = 0; size < payload.size(); size++) {
        Inflated inflated = inflate(payload.substr(0, size));
        EXPECT_NE(inflated.outcome, Outcome::too_big);
        if (inflated.outcome == Outcome::broken)
            continue;
        EXPECT_LT(inflated.text.size(), body.size()) << size; // it was cut between two blocks
        EXPECT_TRUE(body.starts_with(inflated.text)) << size;
    }
}

TEST(Inflater, what_is_not_deflate_is_broken) {
    EXPECT_EQ(inflate("").outcome, Outcome::broken);     // not even the empty block's header
    EXPECT_EQ(inflate("\x07").outcome, Outcome::broken); // a type of block that does not exist
    EXPECT_EQ(inflate("\xff\xff\xff").outcome, Outcome::broken);
    EXPECT_EQ(inflate("\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00"s).outcome, Outcome::broken);
    EXPECT_EQ(inflate("{\"action\": \"ping\"}").outcome, Outcome::broken);
}

TEST(Inflater, survives_every_changed_bit_of_a_message) {
    std::string payload = Deflater().deflate(json_rows(2000)).value();
    int broken = 0;
    for (size_t bit = 0; bit < payload.size() * 8; bit++) {
        std::string changed = payload;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
        broken += inflate(changed, 10000).outcome == Outcome::broken;
    }
    EXPECT_GT(broken, 0);
    expect_text("\xf2\x48\xcd\xc9\xc9\x07\x00"s, "Hello");
}

TEST(Inflater, random_bytes_are_never_more_than_the_limit) {
    for (unsigned seed = 0; seed < 2000; seed++) {
        Inflated inflated = inflate(random_bytes(200, seed), 5000);
        EXPECT_TRUE(inflated.outcome != Outcome::whole || inflated.text.size() <= 5000) << seed;
    }
}

// ---- limits ----

TEST(Inflater, the_limit_is_exact) {
    std::string body = json_rows(40000);
    std::string payload = Deflater().deflate(body).value();
    EXPECT_EQ(inflate(payload, body.size()).outcome, Outcome::whole);
    EXPECT_EQ(inflate(payload, body.size() - 1).outcome, Outcome::too_big);
    EXPECT_EQ(inflate("\xf2\x48\xcd\xc9\xc9\x07\x00"s, 5).outcome, Outcome::whole);
    EXPECT_EQ(inflate("\xf2\x48\xcd\xc9\xc9\x07\x00"s, 4).outcome, Outcome::too_big);
}

// A thousandth of the text arrives, and only as much is made of it as may be.
TEST(Inflater, a_zip_bomb_costs_the_limit_and_no_more) {
    std::string bomb = Deflater(9).deflate(std::string(256 << 20, 'x')).value();
    EXPECT_LT(bomb.size(), size_t(2) << 20);
    constexpr size_t kLimit = 64 << 10, kBlock = 16 << 10;
    Inflated inflated = inflate(bomb, kLimit);
    EXPECT_EQ(inflated.outcome, Outcome::too_big);
    EXPECT_LE(inflated.text.size(), kLimit + kBlock);
    EXPECT_LE(inflated.text.capacity(), 2 * (kLimit + kBlock));
}

TEST(Inflater, empty_blocks_without_end_are_an_empty_text) {
    std::string payload;
    for (int i = 0; i < 10000; i++)
        payload += stored("", i % 2);
    expect_text(payload + '\0', "");
}

// ---- what we send ----

TEST(Deflater, every_message_is_readable_by_itself_within_the_window_it_promises) {
    Deflater deflater;
    for (size_t size : {200, 1000, 1024, 5000, 65536, 200000, 1 << 20, 3 << 20}) {
        std::string body = json_rows(size);
        std::optional<std::string> payload = deflater.deflate(body);
        ASSERT_TRUE(payload) << size;
        EXPECT_LE(payload->size(), body.size() - body.size() / 8);
        EXPECT_TRUE(test::inflated(*payload, kDeflateWindowBits) == body) << size;
        expect_text(*payload, body);
    }
}

// The block that output is made in is 16 kB. Where the message's end falls on the block's end, zlib
// flushes twice.
TEST(Deflater, output_that_just_fills_its_block_is_whole) {
    Deflater deflater;
    std::string noise = random_bytes(17000, 1);
    size_t shorter = 0, longer = 0;
    for (size_t size = 16100; size < 16400; size++) {
        std::string body = noise.substr(0, size) + std::string(8000, 'x');
        std::string payload = deflater.deflate(body).value();
        EXPECT_TRUE(test::inflated(payload, kDeflateWindowBits) == body) << size;
        expect_text(payload, body);
        (payload.size() + 4 < 16384 ? shorter : longer)++;
    }
    EXPECT_GT(shorter, 0u);
    EXPECT_GT(longer, 0u);
}

TEST(Deflater, what_would_not_be_an_eighth_smaller_is_not_worth_it) {
    Deflater deflater;
    EXPECT_FALSE(deflater.deflate(random_bytes(2000, 1)));
    EXPECT_FALSE(deflater.deflate(random_bytes(1 << 20, 2)));
    EXPECT_FALSE(deflater.deflate(random_bytes(9000, 3) + std::string(1000, 'x')));
    EXPECT_TRUE(deflater.deflate(random_bytes(8000, 3) + std::string(2000, 'x')));
    std::string body = json_rows(2000); // what was given up leaves nothing behind
    EXPECT_EQ(test::inflated(deflater.deflate(body).value(), kDeflateWindowBits), body);
}

TEST(Deflater, short_and_very_long_messages_are_left_alone) {
    EXPECT_FALSE(is_worth_deflating(0));
    EXPECT_FALSE(is_worth_deflating(1023));
    EXPECT_TRUE(is_worth_deflating(1024));
    EXPECT_TRUE(is_worth_deflating(1 << 20));
    EXPECT_FALSE(is_worth_deflating((1 << 20) + 1));
}

} // namespace
} // namespace rtd
