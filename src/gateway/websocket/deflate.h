// permessage-deflate (RFC 7692): messages compressed each by itself. One Deflater and one Inflater
// serve every client, since nothing of a message is kept for the next one; a client costs nothing.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <zlib.h>

namespace rtd {

// These follow from figures (bench/deflate).
//
// A window of 4 kB makes messages no larger than one of 32 kB does at this level, takes a few more
// nanoseconds a byte for large ones, and is what clients accept that ask for a small one.
inline constexpr int kDeflateWindowBits = 12;
// Level 6 takes two thirds more time and saves another eighth.
inline constexpr int kDeflateLevel = 1;
// A shorter message fits into one packet anyway.
inline constexpr size_t kMinDeflateBytes = 1024;
// Longer ones go as they are. All clients wait while one message is compressed: for this much it
// is 7 ms, and twice that at worst.
inline constexpr size_t kMaxDeflateBytes = 1 << 20;

inline bool is_worth_deflating(size_t bytes) {
    return bytes >= kMinDeflateBytes && bytes <= kMaxDeflateBytes;
}

class Deflater {
  public:
    explicit Deflater(int level = kDeflateLevel, int window_bits = kDeflateWindowBits);
    Deflater(const Deflater &) = delete;
    ~Deflater();

    // The payload of the compressed message; nullopt: it would not be an eighth smaller.
    std::optional<std::string> deflate(std::string_view body);

  private:
    z_stream stream_{};
};

class Inflater {
  public:
    Inflater();
    Inflater(const Inflater &) = delete;
    ~Inflater();

    enum class Outcome {
        whole,
        too_big, // the text has more than `max_bytes`
        broken,  // this is not what a Deflater makes, or not all of it
    };
    // `payload` is that of a whole message, whose text is put into `text`. At most `max_bytes` and
    // one more block of it are ever made, whatever the payload would become.
    Outcome inflate(std::string_view payload, size_t max_bytes, std::string &text);

  private:
    Outcome append(std::string_view payload, size_t max_bytes, std::string &text);

    z_stream stream_{};
};

} // namespace rtd
