// See watch_columns.h. Runs in backends; in the writer's too, but not per row.
#include "pg/registry/watch_columns.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/relation.h"
}

namespace rtd::pg {

namespace {

std::string trimmed(const std::string &text) {
    size_t first = text.find_first_not_of(' ');
    return first == std::string::npos ? ""
                                      : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// Which of the watch's columns are not there any more, as a sentence; empty if all are.
std::string missing_columns(Relation relation, const TextList &columns,
                            const TextList &parameters) {
    std::string missing;
    auto add = [&](const std::string &column) {
        missing += (missing.empty() ? "" : ", ") + quoted(column);
    };
    TupleDesc description = RelationGetDescr(relation);
    for (const std::optional<std::string> &entry : columns) {
        ColumnEntry column = parse_column_entry(entry.value_or(""), description);
        if (!column.is_table() && find_attribute(description, column.column) == 0)
            add(column.column);
    }
    for (const std::optional<std::string> &parameter : parameters)
        if (parameter && find_attribute(description, *parameter) == 0)
            add(*parameter + " (parameter)");
    return missing;
}

} // namespace

std::string quoted(const std::string &text) {
    return "\"" + text + "\"";
}

std::string upper(std::string text) {
    for (char &c : text)
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return text;
}

ColumnEntry parse_column_entry(const std::string &entry, TupleDesc description) {
    if (find_attribute(description, entry) != 0)
        return {entry, entry};
    std::string column = trimmed(entry), name;
    size_t as = upper(column).rfind(" AS ");
    if (as != std::string::npos) {
        name = trimmed(column.substr(as + 4));
        column = trimmed(column.substr(0, as));
    }
    if (column == "TABLE" && find_attribute(description, column) == 0)
        return {"", name.empty() ? "table" : name};
    return {column, name.empty() ? column : name};
}

AttrNumber find_attribute(TupleDesc description, const std::string &name) {
    for (int i = 0; i < description->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(description, i);
        if (attribute->attisdropped || name != NameStr(attribute->attname))
            continue;
#ifdef ATTRIBUTE_GENERATED_VIRTUAL
        if (attribute->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
            continue; // rows do not carry its value
#endif
        return static_cast<AttrNumber>(i + 1);
    }
    return 0;
}

std::vector<bool> key_columns(Relation relation, const std::vector<ColumnEntry> &columns) {
    Bitmapset *primary_key =
        call([&] { return RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_PRIMARY_KEY); });
    std::vector<bool> is_key(columns.size(), false);
    bool first = true;
    for (size_t i = 0; i < columns.size(); i++) {
        if (columns[i].is_table())
            continue;
        AttrNumber attribute = find_attribute(RelationGetDescr(relation), columns[i].column);
        bool primary = attribute > 0 &&
                       bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber, primary_key);
        if (!primary && !first)
            break;
        is_key[i] = true;
        if (!primary)
            break;
        first = false;
    }
    return is_key;
}

} // namespace rtd::pg

using namespace rtd::pg;

// (relation regclass, columns text[], parameters text[]) returns text, for rtd_watched_tables.
RTD_FUNCTION(rtd_watch_problem) {
    struct Text {
        Datum datum;
        bool null;
    };
    Text problem = enter([&]() -> Text {
        Arguments arguments(fcinfo);
        Oid oid = arguments.oid(0);
        Relation relation = call([&] { return try_relation_open(oid, AccessShareLock); });
        if (relation == nullptr)
            return {call([] { return CStringGetTextDatum("the table was dropped"); }), false};
        std::string missing = missing_columns(relation, arguments.texts(1).value_or(TextList{}),
                                              arguments.texts(2).value_or(TextList{}));
        call([&] { relation_close(relation, AccessShareLock); });
        if (missing.empty())
            return {0, true};
        std::string sentence = "columns are missing: " + missing;
        return {call([&] { return CStringGetTextDatum(sentence.c_str()); }), false};
    });
    if (problem.null)
        PG_RETURN_NULL();
    return problem.datum;
}
