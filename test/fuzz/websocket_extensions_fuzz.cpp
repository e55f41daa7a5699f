// Sec-WebSocket-Extensions, as a stranger writes it, and our answer, which goes into a head.
#include "gateway/websocket/deflate.h"
#include "core/utf8.h"
#include "gateway/websocket/websocket_extensions.h"

#include "fuzz.h"

using namespace rtd;

RTD_FUZZ(websocket_extensions) {
    Result<std::string> answer = negotiate_websocket_extensions(bytes);
    if (!answer) {
        fuzz_check(is_valid_utf8(answer.error()));
        return;
    }
    if (answer->empty())
        return;
    // Nothing that was not offered, and nothing but our own words.
    constexpr std::string_view kWindow = "; server_max_window_bits=12";
    bool names_window = answer->ends_with(kWindow);
    fuzz_check(answer->substr(0, answer->size() - (names_window ? kWindow.size() : 0)) ==
               "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    fuzz_check(bytes.find("permessage-deflate") != std::string_view::npos);
    fuzz_check(!names_window || bytes.find("server_max_window_bits") != std::string_view::npos);
}
