#include "pg/query/keyed_read.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "pg/server/settings.h"
#include "pg/value/json_value.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/array.h"
#include "utils/jsonb.h"
}

namespace rtd::pg {

namespace {

Error not_unique(const std::string &topic, const std::string &key) {
    return Error(ERRCODE_CARDINALITY_VIOLATION, "the key of topic \"" + topic +
                                                    "\" is not unique: " + key +
                                                    " is that of more than one row");
}

} // namespace

KeyedPlans::KeyedPlans(const std::string &topic, const std::string &query, size_t parameter_count,
                       const std::vector<std::string> &key)
    : topic_(topic), query_(query, parameter_count, key) {
    prepare_plans();
}

void KeyedPlans::prepare_plans() {
    std::vector<Oid> types = query_.parameter_types();
    all_ = std::make_unique<SavedPlan>(query_.select_all(row_type_), types);
    for (const KeyColumn &column : query_.key())
        types.push_back(call([&] { return get_array_type(column.type); }));
    // Its plan does not depend on the keys, and to make it takes longer than to run it.
    keys_ =
        std::make_unique<SavedPlan>(query_.select_keys(row_type_), types, CURSOR_OPT_GENERIC_PLAN);
}

void KeyedPlans::free_plans() {
    all_.reset();
    keys_.reset();
}

bool KeyedPlans::spell_out() {
    bool is_json = row_type_ == KeyedQuery::RowType::json;
    row_type_ = is_json ? KeyedQuery::RowType::jsonb : KeyedQuery::RowType::json;
    free_plans(); // the next read makes those of the other type
    return !is_json;
}

bool KeyedPlans::are_valid() const {
    if (keys_ == nullptr)
        return true; // not made yet
    return all_->is_valid() && keys_->is_valid();
}

void KeyedPlans::read(const std::vector<Datum> &values, const KeySelection &selection,
                      QueryOutcome &outcome) {
    if (keys_ == nullptr) {
        free_plans();
        prepare_plans();
    }
    std::vector<Datum> arguments = values;
    bool all = selection.all || !add_keys(selection.keys, arguments);
    with_spi(
        [&] { outcome.rows = collect((all ? all_ : keys_)->select(arguments), outcome.altered); });
    if (all)
        check_all_once(outcome.rows);
    else
        keep_once(outcome.rows);
    outcome.has_all = all;
    outcome.status = QueryOutcome::Status::ok;
}

// One array for each column of the key. False if a key cannot be one of this query's.
bool KeyedPlans::add_keys(const std::vector<Key> &keys, std::vector<Datum> &values) const {
    const std::vector<KeyColumn> &columns = query_.key();
    if (std::ranges::any_of(keys, [&](const Key &key) { return key.size() != columns.size(); }))
        return false;
    for (size_t i = 0; i < columns.size(); i++) {
        std::vector<Datum> elements(keys.size());
        try {
            values.push_back(call([&] {
                Oid input = InvalidOid, argument = InvalidOid;
                getTypeInputInfo(columns[i].type, &input, &argument);
                FmgrInfo function;
                fmgr_info(input, &function);
                for (size_t k = 0; k < keys.size(); k++)
                    elements[k] =
                        InputFunctionCall(&function, const_cast<char *>(keys[k][i].c_str()),
                                          argument, columns[i].typmod);
                int16 length = 0;
                bool by_value = false;
                char alignment = 0;
                get_typlenbyvalalign(columns[i].type, &length, &by_value, &alignment);
                return PointerGetDatum(
                    construct_array(elements.data(), static_cast<int>(keys.size()), columns[i].type,
                                    length, by_value, alignment));
            }));
        } catch (const Error &error) {
            if (ERRCODE_TO_CATEGORY(error.sqlstate()) != ERRCODE_DATA_EXCEPTION)
                throw;
            return false;
        }
    }
    return true;
}

// The rows of a result: key, row or NULL, and of all rows how many columns of the key are NULL.
std::vector<KeyedRow> KeyedPlans::collect(const ResultSet &result, std::string &altered) const {
    struct Text {
        const char *data;
        int size;
    };
    MemoryContext row_context = call([] {
        return AllocSetContextCreate(CurrentMemoryContext, "rtd keyed row", ALLOCSET_DEFAULT_SIZES);
    });
    auto as_text = [](Datum datum) -> Text {
        Jsonb *value = DatumGetJsonbP(datum);
        StringInfoData text;
        initStringInfo(&text);
        JsonbToCString(&text, &value->root, static_cast<int>(VARSIZE(value)));
        return {text.data, text.len};
    };
    auto text_of = [&](uint64 i, int column) {
        MemoryContext caller = MemoryContextSwitchTo(row_context);
        bool is_json = false;
        Text made = call([&]() -> Text {
            bool null = false;
            Datum datum = result.value(i, column, null);
            is_json = !null && result.type(column) == JSONOID;
            if (null)
                return {"", 0};
            if (!is_json)
                return as_text(datum);
            char *json = TextDatumGetCString(datum);
            return {json, static_cast<int>(strlen(json))};
        });
        if (is_json) {
            Datum value = jsonb_of_text(made.data, static_cast<size_t>(made.size), altered);
            made = call([&] { return as_text(value); });
        }
        MemoryContextSwitchTo(caller);
        return made;
    };
    auto has_null_key = [&](uint64 i) {
        return result.columns->natts > 2 && call([&] {
                   bool null = false;
                   return DatumGetInt32(result.value(i, 3, null)) > 0;
               });
    };
    size_t limit = static_cast<size_t>(max_message_kilobytes) * 1024, bytes = 0;
    std::vector<KeyedRow> rows;
    rows.reserve(result.count);
    for (uint64 i = 0; i < result.count; i++) {
        Text key = text_of(i, 1), row = text_of(i, 2);
        rows.push_back(
            {{key.data, static_cast<size_t>(key.size)}, {row.data, static_cast<size_t>(row.size)}});
        bytes += rows.back().row.size() + 1;
        if (has_null_key(i))
            throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                        "the key of topic \"" + topic_ + "\" is NULL in a row: " + rows.back().key);
        if (bytes > limit)
            throw Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                        "the rows of topic \"" + topic_ + "\" are larger than " +
                            std::to_string(limit) + " bytes, the limit of rtd.max_message_size");
        MemoryContextReset(row_context);
    }
    MemoryContextDelete(row_context);
    return rows;
}

void KeyedPlans::check_all_once(const std::vector<KeyedRow> &rows) const {
    std::unordered_set<std::string_view> keys;
    keys.reserve(rows.size());
    for (const KeyedRow &row : rows)
        if (!keys.insert(row.key).second)
            throw not_unique(topic_, row.key);
}

// A key that was asked for in two spellings comes twice, with the same row.
void KeyedPlans::keep_once(std::vector<KeyedRow> &rows) const {
    std::unordered_map<std::string_view, const KeyedRow *> known;
    std::vector<KeyedRow> kept;
    for (const KeyedRow &row : rows) {
        auto [found, is_new] = known.emplace(row.key, &row);
        if (is_new)
            kept.push_back(row);
        else if (found->second->row != row.row)
            throw not_unique(topic_, row.key);
    }
    rows = std::move(kept);
}

} // namespace rtd::pg
