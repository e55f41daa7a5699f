// What a client sends on a WebSocket. The first byte says in which steps the rest comes: what is
// read may not depend on it.
#include "gateway/websocket/ws_reader.h"

#include "fuzz.h"

#include <algorithm>
#include <string>

using namespace rtd;

constexpr size_t kMaxMessageBytes = 4096;

// All that is read, as one text.
static std::string read_in_steps(std::string_view bytes, size_t step, bool allows_compressed) {
    WsReader reader({kMaxMessageBytes, allows_compressed});
    std::string seen;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) {
        reader.feed(bytes.substr(0, step));
        while (true) {
            auto next = reader.next();
            if (std::holds_alternative<WsNeedsMore>(next))
                break;
            if (auto *violation = std::get_if<WsViolation>(&next)) {
                fuzz_check(!violation->reason.empty());
                return seen + "!" + std::to_string(static_cast<int>(violation->code));
            }
            auto &incoming = std::get<WsIncoming>(next);
            bool is_control = static_cast<int>(incoming.opcode) >= 8;
            fuzz_check(incoming.payload.size() <=
                       (is_control ? kMaxControlBytes : kMaxMessageBytes));
            fuzz_check(!incoming.is_compressed || (allows_compressed && !is_control));
            fuzz_check(incoming.opcode != WsOpcode::continuation);
            seen += static_cast<char>(incoming.opcode);
            seen += incoming.payload;
        }
    }
    return seen + (reader.is_idle() ? "." : "~");
}

RTD_FUZZ(ws_reader) {
    if (bytes.empty())
        return;
    auto choice = static_cast<uint8_t>(bytes[0]);
    bool allows_compressed = choice & 1;
    bytes.remove_prefix(1);
    std::string at_once = read_in_steps(bytes, bytes.size(), allows_compressed);
    fuzz_check(read_in_steps(bytes, 1 + choice / 2, allows_compressed) == at_once);
}
