// Which types the parameters of a topic have: those that its query gives them, or, of a topic
// without a query, those of the watched columns that hold their values. Found by parse analysis
// when a topic or a watch is made or altered, kept in rtd_topic, and found anew when DDL may have
// changed them. Runs in backends; executes nothing.
//
// A query that does more with a parameter than to compare a column with it for equality (it calls
// lower(), or LIKE, or casts it) may see one value in several texts, or many. Its events then
// concern every instance: more queries, and never a silent client.
#pragma once
#include "core/fence.h"

#include <string>
#include <vector>

#include "pg/registry/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Under the current search_path and role, as analyze_topic_query(), which has accepted it.
std::vector<ParameterType> parameter_types_of_query(const std::string &query,
                                                    size_t parameter_count);

// Brings rtd_topic up to date; true if the types are others now. Throws what analyze_topic_query()
// throws.
bool describe_parameters(const Registry &registry, const Topic &topic);
// The same after something else changed, which must not fail because of it: where the query cannot
// be analyzed now, the types stay as they are.
bool update_parameters(const Registry &registry, const std::string &topic);

} // namespace rtd::pg
