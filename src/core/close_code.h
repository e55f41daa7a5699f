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

} // namespace rtd
