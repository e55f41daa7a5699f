// What a client says on /ws, once it is known to be UTF-8.
#include "gateway/websocket/client_message.h"
#include "core/envelope.h"
#include "gateway/websocket/json_object.h"
#include "core/names.h"
#include "core/utf8.h"

#include "fuzz.h"

#include <jansson.h>

using namespace rtd;

// Jansson has the same grammar, but refuses numbers that no machine type holds, deep nesting and
// strings that cannot be decoded; what it takes has to be taken. (After a number it overlooks NUL.)
static void compare_with_jansson(std::string_view text) {
    json_t *value = json_loadb(text.data(), text.size(), JSON_ALLOW_NUL, nullptr);
    bool is_object = json_is_object(value);
    json_decref(value);
    constexpr size_t kNotDeep = 256; // bytes, and so no more levels than we take
    if (is_object && text.size() < kNotDeep && text.find("\\u") == std::string_view::npos &&
        text.find('\0') == std::string_view::npos)
        fuzz_check(static_cast<bool>(split_json_object(text)));
}

RTD_FUZZ(client_message) {
    if (!is_valid_utf8(bytes))
        return;
    compare_with_jansson(bytes);
    ParsedClientMessage parsed = parse_client_message(bytes);
    fuzz_check(parsed.ref.empty() || bytes.find(parsed.ref) != std::string_view::npos);
    if (!parsed.message) {
        fuzz_check(!parsed.message.error().empty() && is_valid_utf8(parsed.message.error()));
        return;
    }
    const ClientMessage &message = *parsed.message;
    fuzz_check(bytes.find(message.data) != std::string_view::npos); // as it was written
    fuzz_check(is_valid_utf8(message.type) && is_valid_utf8(message.topic.topic));
    fuzz_check(message.since.empty() || parse_message_id(message.since));
    fuzz_check(message.topic.params.size() <= kMaxParams);
    for (const std::string &param : message.topic.params)
        fuzz_check(param.size() <= kMaxParamBytes && is_valid_utf8(param) &&
                   param.find('\0') == std::string::npos);
}
