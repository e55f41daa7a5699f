// The shape of a topic's result: one value that is taken as it is, or an array with an object for
// each row. It is decided by the types of the query's columns when the topic is made, and stored
// with it; neither the number of rows nor later DDL changes it.
#pragma once
#include "core/fence.h"
#include "router/topic.h"

#include <optional>
#include <string>

#include "pg/analysis/topic_query.h"
#include "pg/server/saved_plan.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

const char *shape_name(ResultShape shape);

// The shape of a topic that declares `declared`, or nothing; `before` is the shape that it had with
// another query. Throws if its query cannot have the declared one.
ResultShape decide_shape(const std::string &topic, const OutputColumns &columns,
                         const std::optional<std::string> &declared,
                         std::optional<ResultShape> before);
// A NOTICE for queries of one column, whose shape a reader could take for the other one.
void explain_shape(const std::string &topic, const OutputColumns &columns, ResultShape shape);

// Throws if DDL has given the query columns that its topic's shape cannot be made of.
void check_shape(const std::string &topic, const OutputColumns &columns, ResultShape shape);

// How many rows tell all that is to be told; 0: all.
long row_limit(ResultShape shape);

struct JsonText {
    const char *data;
    size_t size;
};
// JSON of the rows. Runs under the server's rules: it may ereport.
JsonText result_as_json(const char *topic, ResultShape shape, const ResultSet &result);

} // namespace rtd::pg
