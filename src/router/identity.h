// Identity: on whose behalf a client subscribes. A topic whose security is `invoker` has instances
// of its own for each identity, and their queries run as that role, with these claims; for others
// it only decides who may subscribe.
#pragma once
#include "core/fence.h"

#include <compare>
#include <cstdint>
#include <string>

namespace rtd {

struct Identity {
    uint32_t role = 0;  // OID; 0: nobody's, of an instance that all roles share
    std::string claims; // JSON text: request.jwt.claims of the query. Equal text is equal identity.

    // clang-tidy 14 takes what this generates for a pointer: NOLINTNEXTLINE(modernize-use-nullptr)
    auto operator<=>(const Identity &) const = default;
};

} // namespace rtd
