// A compressed message of a client. The first two bytes say how long its text may be.
#include "gateway/websocket/deflate.h"

#include "fuzz.h"

using namespace rtd;

RTD_FUZZ(inflate) {
    if (bytes.size() < 2)
        return;
    static Inflater inflater;
    size_t max_bytes = static_cast<uint8_t>(bytes[0]) << 8 | static_cast<uint8_t>(bytes[1]);
    constexpr size_t kBlockBytes = 16384;
    std::string text, again;
    Inflater::Outcome outcome = inflater.inflate(bytes.substr(2), max_bytes, text);
    fuzz_check(text.size() <= max_bytes + kBlockBytes);
    fuzz_check((outcome == Inflater::Outcome::too_big) == (text.size() > max_bytes));
    // What came before must not matter.
    fuzz_check(inflater.inflate(bytes.substr(2), max_bytes, again) == outcome && again == text);
    fuzz_check(inflater.inflate(std::string_view("\0", 1), 0, again) == Inflater::Outcome::whole &&
               again.empty());
}
