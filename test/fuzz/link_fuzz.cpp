// The link: a stream of frames, in pieces of any size. The first byte says how large the pieces are
// and which direction is read. A frame that is read must be what its bytes say: encoded again, they
// are the same.
#include "core/link.h"

#include "fuzz.h"

#include <algorithm>

using namespace rtd;

template <class Frame> static void read_stream(std::string_view stream, size_t piece) {
    link::FrameReader<Frame> reader;
    std::string again;
    for (size_t at = 0; at < stream.size(); at += piece) {
        reader.append(stream.substr(at, piece));
        while (true) {
            auto frame = reader.next();
            if (!frame) {
                fuzz_check(!frame.error().empty());
                return; // malformed, and said so
            }
            if (!*frame)
                break;
            again += link::encode(**frame);
            fuzz_check(stream.starts_with(again));
        }
    }
}

RTD_FUZZ(link) {
    if (bytes.empty())
        return;
    auto first = static_cast<uint8_t>(bytes[0]);
    std::string_view stream = bytes.substr(1);
    size_t piece = std::max<size_t>(1, first / 2);
    if (first % 2 == 0)
        read_stream<link::HubFrame>(stream, piece);
    else
        read_stream<link::GatewayFrame>(stream, piece);
}
