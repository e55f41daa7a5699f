// Sandbox: what the gateway gives up once it listens, so that a hole in what parses bytes from the
// network is not one in the server's machine. The gateway runs as the server's user, who may read
// every table's file and signal every backend; from then on the gateway can neither open files or
// ports, nor start programs, processes or threads, nor signal others. docs/ARCHITECTURE.md has the
// list.
#pragma once
#include "core/fence.h"

#include <string>

namespace rtd::gateway {

// For the whole life of this process, which must have a single thread. Everything that reads files
// must have read them, and every socket must listen. Returns what could not be given up, as a
// sentence; empty: nothing.
std::string enter_sandbox();

// The version of Landlock that the kernel has; 0: none.
int landlock_version();

} // namespace rtd::gateway
