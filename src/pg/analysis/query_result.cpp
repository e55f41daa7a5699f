// See query_result.h. Runs in backends, when a topic is made, and in query workers.
#include "pg/analysis/query_result.h"

#include "pg/server/boundary.h"
#include "pg/server/sql_function.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/fmgrprotos.h"
}

namespace rtd::pg {

namespace {

bool is_json(const OutputColumn &column) {
    return column.type == JSONOID || column.type == JSONBOID;
}

bool is_text(const OutputColumn &column) {
    return column.type == TEXTOID || column.type == VARCHAROID;
}

bool can_be_value(const OutputColumns &columns) {
    return columns.size() == 1 && (is_json(columns[0]) || is_text(columns[0]));
}

std::string type_name(Oid type) {
    return call([&] { return format_type_be(type); });
}

std::string description_of(const OutputColumns &columns) {
    return columns.size() == 1 ? "one column of type " + type_name(columns[0].type)
                               : counted(columns.size(), "column");
}

JsonText value_as_json(const char *topic, const ResultSet &result) {
    if (result.count > 1)
        ereport(ERROR,
                (errcode(ERRCODE_CARDINALITY_VIOLATION),
                 errmsg("the query of topic \"%s\" returned more than one row, but its result is "
                        "one value; aggregate the rows, as with jsonb_agg(), or declare "
                        "shape => 'rows'",
                        topic)));
    const char *text = result.count == 0 ? nullptr : result.text(0, 1);
    return text != nullptr ? JsonText{text, strlen(text)} : JsonText{"null", strlen("null")};
}

JsonText rows_as_json(const ResultSet &result) {
    TupleDesc columns = result.columns;
    BlessTupleDesc(columns);
    StringInfoData rows;
    initStringInfo(&rows);
    appendStringInfoChar(&rows, '[');
    for (uint64 i = 0; i < result.count; i++) {
        Datum row = heap_copy_tuple_as_datum(result.rows[i], columns);
        text *object = DatumGetTextPP(DirectFunctionCall1(row_to_json, row));
        if (i > 0)
            appendStringInfoChar(&rows, ',');
        appendBinaryStringInfo(&rows, VARDATA_ANY(object), VARSIZE_ANY_EXHDR(object));
        pfree(object);
        pfree(DatumGetPointer(row));
    }
    appendStringInfoChar(&rows, ']');
    return {rows.data, static_cast<size_t>(rows.len)};
}

} // namespace

const char *shape_name(ResultShape shape) {
    return shape == ResultShape::value ? "value" : "rows";
}

ResultShape decide_shape(const std::string &topic, const OutputColumns &columns,
                         const std::optional<std::string> &declared,
                         std::optional<ResultShape> before) {
    if (declared == "value" && !can_be_value(columns))
        throw Error(ERRCODE_DATATYPE_MISMATCH,
                    "the result of topic \"" + topic + "\" cannot be one value",
                    "Its query returns " + description_of(columns) +
                        "; a value is one column of type json, jsonb, text or varchar.",
                    columns.size() == 1 ? "Convert the column, as with to_jsonb()."
                                        : "Compose one, as with jsonb_build_object().");
    if (declared)
        return *declared == "value" ? ResultShape::value : ResultShape::rows;
    bool stays_value = before == ResultShape::value && can_be_value(columns);
    bool is_one_json = columns.size() == 1 && is_json(columns[0]);
    return stays_value || is_one_json ? ResultShape::value : ResultShape::rows;
}

void explain_shape(const std::string &topic, const OutputColumns &columns, ResultShape shape) {
    if (!can_be_value(columns))
        return;
    std::string about = "Its query returns " + description_of(columns) + ".";
    if (shape == ResultShape::value)
        return notice("topic \"" + topic + "\" sends the value of column \"" + columns[0].name +
                          "\" as it is",
                      about + " No row is null, and more than one row is an error.",
                      "For an array of rows, say shape => 'rows'.");
    notice("topic \"" + topic + "\" sends an array of rows", about,
           "If the column holds JSON that is to be sent as it is, say shape => 'value'.");
}

void check_shape(const std::string &topic, const OutputColumns &columns, ResultShape shape) {
    if (shape == ResultShape::value && !can_be_value(columns))
        throw Error(ERRCODE_DATATYPE_MISMATCH,
                    "the result of topic \"" + topic + "\" is one value, but its query returns " +
                        description_of(columns) +
                        "; give the topic another query, or declare shape => 'rows'");
}

long row_limit(ResultShape shape) {
    return shape == ResultShape::value ? 2 : 0;
}

JsonText result_as_json(const char *topic, ResultShape shape, const ResultSet &result) {
    return shape == ResultShape::value ? value_as_json(topic, result) : rows_as_json(result);
}

} // namespace rtd::pg
