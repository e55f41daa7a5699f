// Closes what a program must not inherit, between fork and exec: only async-signal-safe calls, no
// memory from the heap. The hub starts gateways with it.
#pragma once
#include "core/fence.h"

namespace rtd {

// Closes every descriptor from `first` on. close_range() does it in one call, but Linux before 5.9
// has none, and filters of containers refuse what they do not know. Then /proc names the open ones;
// without it, every number below the limit is closed. False if not even the limit is known: some
// may be open.
bool close_descriptors_from(int first);

} // namespace rtd
