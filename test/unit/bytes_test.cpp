#include "core/bytes.h"

#include <gtest/gtest.h>

namespace rtd {
namespace {

enum class Color : uint8_t { red, green };

std::string sample() {
    ByteWriter out;
    out.put(static_cast<uint8_t>(0xab));
    out.put(static_cast<uint16_t>(0x1234));
    out.put(static_cast<uint32_t>(0x89abcdef));
    out.put(static_cast<uint64_t>(0x0123456789abcdef));
    out.put(static_cast<int64_t>(-2));
    out.put(true);
    out.put(std::string("text"));
    out.put(std::vector<std::string>{"a", ""});
    out.put(std::optional<std::string>("x"));
    out.put(std::optional<std::string>());
    out.put(Color::green);
    return out.take();
}

bool read_sample(std::string_view bytes) {
    ByteReader in(bytes);
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int64_t i64;
    bool flag;
    std::string text;
    std::vector<std::string> list;
    std::optional<std::string> some, none;
    Color color = Color::red;
    in.get(u8);
    in.get(u16);
    in.get(u32);
    in.get(u64);
    in.get(i64);
    in.get(flag);
    in.get(text);
    in.get(list);
    in.get(some);
    in.get(none);
    in.get_enum(color, Color::green);
    if (!in.ok() || !in.at_end())
        return false;
    EXPECT_EQ(u8, 0xab);
    EXPECT_EQ(u16, 0x1234);
    EXPECT_EQ(u32, 0x89abcdef);
    EXPECT_EQ(u64, 0x0123456789abcdef);
    EXPECT_EQ(i64, -2);
    EXPECT_TRUE(flag);
    EXPECT_EQ(text, "text");
    EXPECT_EQ(list, (std::vector<std::string>{"a", ""}));
    EXPECT_EQ(some, "x");
    EXPECT_EQ(none, std::nullopt);
    EXPECT_EQ(color, Color::green);
    return true;
}

TEST(Bytes, what_was_written_is_read_back) {
    EXPECT_TRUE(read_sample(sample()));
}

TEST(Bytes, integers_are_little_endian) {
    ByteWriter out;
    out.put(static_cast<uint32_t>(0x01020304));
    EXPECT_EQ(out.take(), "\x04\x03\x02\x01");
}

TEST(Bytes, bytes_cut_anywhere_are_noticed) {
    std::string bytes = sample();
    for (size_t size = 0; size < bytes.size(); size++)
        EXPECT_FALSE(read_sample(std::string(bytes.data(), size))) << size;
}

TEST(Bytes, a_count_larger_than_the_bytes_that_follow_is_not_believed) {
    ByteWriter out;
    out.put(static_cast<uint32_t>(0xffffffff));
    std::string bytes = out.take();
    ByteReader list_reader(bytes), string_reader(bytes);
    std::vector<std::string> list;
    list_reader.get(list);
    EXPECT_FALSE(list_reader.ok());
    EXPECT_TRUE(list.empty());
    std::string text;
    string_reader.get(text);
    EXPECT_FALSE(string_reader.ok());
    EXPECT_TRUE(text.empty());
}

TEST(Bytes, a_boolean_is_zero_or_one_and_an_enum_within_its_range) {
    bool flag = true;
    ByteReader boolean("\x02");
    boolean.get(flag);
    EXPECT_FALSE(boolean.ok());
    Color color = Color::red;
    ByteReader enumeration("\x02");
    enumeration.get_enum(color, Color::green);
    EXPECT_FALSE(enumeration.ok());
    EXPECT_EQ(color, Color::red);
}

TEST(Bytes, nothing_is_read_after_the_first_short_read) {
    ByteReader in("\x01\x02\x03");
    uint64_t large = 7;
    in.get(large);
    EXPECT_EQ(large, 0u);
    uint8_t small = 7;
    in.get(small);
    EXPECT_EQ(small, 0);
    EXPECT_FALSE(in.ok());
}

} // namespace
} // namespace rtd
