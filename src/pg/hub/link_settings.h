// The rtd.* settings as gateway and router take them.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "router/router_host.h"

namespace rtd::pg {

link::Settings gateway_settings();
RouterSettings router_settings();

} // namespace rtd::pg
