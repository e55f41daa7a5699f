// The type of a topic's parameter, as the registry keeps it: by name, see server/catalog_names.h.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>

#include "router/topic.h"

namespace rtd::pg {

// Reads an element of rtd_topic.parameter_types and the one of .parameter_collations. A type that
// is gone counts as text; by a collation that is gone no values are told apart, so that a change
// concerns any value. Under a search_path of pg_catalog.
ParameterType stored_parameter_type(const std::optional<std::string> &type,
                                    const std::optional<std::string> &collation);

} // namespace rtd::pg
