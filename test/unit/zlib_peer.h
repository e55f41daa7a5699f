// The other side of permessage-deflate, with zlib itself and in one go: nothing of ours judges
// ours.
#pragma once
#include <gtest/gtest.h>
#include <string>
#include <zlib.h>

namespace rtd::test {

inline const std::string kDeflateTail{"\x00\x00\xff\xff", 4}; // which the sender leaves out

// What `payload` says to a receiver with a window of that many bits and nothing in it: it must
// refer to no message before, and to nothing farther away. At most 4 MB.
inline std::string inflated(const std::string &payload, int window_bits) {
    std::string input = payload + kDeflateTail, text(4 << 20, '\0');
    z_stream stream{};
    EXPECT_EQ(inflateInit2(&stream, -window_bits), Z_OK);
    stream.next_in = reinterpret_cast<Bytef *>(input.data());
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef *>(text.data());
    stream.avail_out = static_cast<uInt>(text.size());
    EXPECT_EQ(inflate(&stream, Z_SYNC_FLUSH), Z_OK);
    EXPECT_EQ(stream.avail_in, 0u);
    text.resize(stream.total_out);
    inflateEnd(&stream);
    return text;
}

} // namespace rtd::test
