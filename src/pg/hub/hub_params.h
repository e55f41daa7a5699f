// Parameters that come to the hub as text, from clients and from notifications, in canonical form:
// see parameter.h. Nothing here can make the hub fail.
#pragma once
#include "core/fence.h"

#include <string>
#include <vector>

#include "core/result.h"
#include "pg/hub/topic_loader.h"
#include "router/event.h"
#include "router/topic.h"

namespace rtd::pg {

// In a transaction of its own, if a parameter is not text. Or why they are none of the topic's.
Result<InstanceParams> canonical_params(const Topic &topic, const std::vector<std::string> &params);

// The event with those of its parameters that are known in canonical form. Or why a value is none
// of the parameter's type.
Result<Event> with_canonical_params(Event event, const Catalog &catalog);

} // namespace rtd::pg
