// RefusalReason: the words of refusal_reasons.def as an enum.
#pragma once
#include "core/fence.h"

#include <cstdint>

namespace rtd {

enum class RefusalReason : uint8_t {
#define RTD_REFUSAL_REASON(name, meaning) name,
#include "core/refusal_reasons.def"
#undef RTD_REFUSAL_REASON
};

// As the log has it.
inline const char *word_of(RefusalReason reason) {
    switch (reason) {
#define RTD_REFUSAL_REASON(name, meaning)                                                          \
    case RefusalReason::name:                                                                      \
        return #name;
#include "core/refusal_reasons.def"
#undef RTD_REFUSAL_REASON
    }
    return "unknown";
}

} // namespace rtd
