// CloseCode: the numbers of close_codes.def as an enum. Used on the link and on the wire.
#pragma once
#include "core/fence.h"

#include <cstdint>

namespace rtd {

enum class CloseCode : uint16_t {
#define RTD_CLOSE_CODE(code, name, reconnect, meaning) name = code,
#include "core/close_codes.def"
#undef RTD_CLOSE_CODE
};

// Whether a peer may send it in a close frame: RFC 6455, section 7.4, and IANA's registry.
inline bool is_sendable_close_code(uint16_t code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

// Whether a client that is closed with it should come back.
inline bool is_worth_reconnecting(CloseCode close_code) {
    switch (close_code) {
#define RTD_CLOSE_CODE(code, name, reconnect, meaning)                                             \
    case CloseCode::name:                                                                          \
        return reconnect;
#include "core/close_codes.def"
#undef RTD_CLOSE_CODE
    }
    return false;
}

inline const char *meaning(CloseCode close_code) {
    switch (close_code) {
#define RTD_CLOSE_CODE(code, name, reconnect, meaning)                                             \
    case CloseCode::name:                                                                          \
        return meaning;
#include "core/close_codes.def"
#undef RTD_CLOSE_CODE
    }
    return "unknown";
}

// Whether a subscription that ends with it was at fault from the beginning, or has become so.
inline bool is_refusal(CloseCode close_code) {
    return close_code == CloseCode::bad_request || close_code == CloseCode::unauthorized ||
           close_code == CloseCode::forbidden || close_code == CloseCode::unknown_topic;
}

// "unknown_topic", as the log has it.
inline const char *word_of(CloseCode close_code) {
    switch (close_code) {
#define RTD_CLOSE_CODE(code, name, reconnect, meaning)                                             \
    case CloseCode::name:                                                                          \
        return #name;
#include "core/close_codes.def"
#undef RTD_CLOSE_CODE
    }
    return "unknown";
}

} // namespace rtd
