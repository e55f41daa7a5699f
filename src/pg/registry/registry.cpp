// See registry.h. Runs in backends, inside a transaction.
#include "pg/registry/registry.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

std::optional<Registry> find_registry() {
    std::optional<Home> home = find_home();
    if (!home)
        return std::nullopt;
    return Registry(std::move(*home));
}

} // namespace rtd::pg
