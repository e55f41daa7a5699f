// What the hub writes to the server's log.
#pragma once
#include "core/fence.h"

#include <string>

namespace rtd::pg {

// `level` is one below ERROR.
void report(int level, const std::string &message, const std::string &hint = {});

} // namespace rtd::pg
