// A message of ours, compressed: whatever it is, a client gets the same back.
#include "gateway/websocket/deflate.h"

#include "fuzz.h"

using namespace rtd;

RTD_FUZZ(deflate) {
    static Deflater deflater;
    static Inflater inflater;
    std::optional<std::string> payload = deflater.deflate(bytes);
    if (!payload)
        return;
    fuzz_check(payload->size() <= bytes.size());
    std::string text;
    fuzz_check(inflater.inflate(*payload, bytes.size(), text) == Inflater::Outcome::whole);
    fuzz_check(text == bytes);
}
