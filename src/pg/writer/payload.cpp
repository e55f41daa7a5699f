#include "pg/writer/payload.h"

#include <algorithm>
#include <functional>

#include "pg/registry/watch_columns.h"
#include "pg/server/attempt.h"
#include "pg/server/settings.h"
#include "pg/value/json_time.h"
#include "pg/value/output_settings.h"
#include "pg/writer/type_code.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
}

namespace rtd::pg {

namespace {

// Growth of types of which a page holds no payload that fails: compression makes a byte 91 at most.
constexpr uint32 kCompactGrowth = 128;
static_assert(size_t{91} * BLCKSZ * kCompactGrowth <= kSureBytes);

std::string json_string(const std::string &text) {
    return call([&] {
        StringInfoData json;
        initStringInfo(&json);
        escape_json(&json, text.c_str());
        return json.data;
    });
}

const char *keep(MemoryContext memory, const std::string &text) {
    return call([&] { return MemoryContextStrdup(memory, text.c_str()); });
}

// to_json(anyelement) as an expression of this type would call it.
FmgrInfo to_json_of(MemoryContext memory, Oid type) {
    return call([&] {
        MemoryContext caller = MemoryContextSwitchTo(memory);
        FmgrInfo function;
        fmgr_info_cxt(F_TO_JSON, &function, memory);
        auto *argument = makeNullConst(type, -1, InvalidOid);
        auto *expression = makeFuncExpr(F_TO_JSON, JSONOID, list_make1(argument), InvalidOid,
                                        InvalidOid, COERCE_EXPLICIT_CALL);
        fmgr_info_set_expr(reinterpret_cast<Node *>(expression), &function);
        MemoryContextSwitchTo(caller);
        return function;
    });
}

} // namespace

bool PayloadColumns::has_key() const {
    return std::ranges::any_of(columns,
                               [](const PayloadColumn &c) { return c.is_key && c.attribute != 0; });
}

PayloadColumns resolve_columns(MemoryContext memory, Relation relation, const TextList &entries,
                               const std::string &table, std::string &missing) {
    TupleDesc description = RelationGetDescr(relation);
    std::vector<ColumnEntry> named;
    for (const std::optional<std::string> &entry : entries)
        named.push_back(parse_column_entry(entry.value_or(""), description));
    std::vector<bool> is_key = key_columns(relation, named);
    PayloadColumns resolved;
    for (size_t i = 0; i < named.size(); i++) {
        PayloadColumn column{};
        column.label = keep(memory, ", " + json_string(named[i].name) + ": ");
        column.is_key = is_key[i];
        if (named[i].is_table()) {
            column.constant = keep(memory, json_string(table));
        } else {
            column.attribute = find_attribute(description, named[i].column);
            if (column.attribute == 0) {
                missing += (missing.empty() ? "\"" : ", \"") + named[i].column + "\"";
            } else {
                Oid type = TupleDescAttr(description, column.attribute - 1)->atttypid;
                column.to_json = to_json_of(memory, type);
                column.code_owner = call([&] { return owner_of_json_code(type); });
                column.bound = call([&] { return text_bound(type); });
                column.type = call([&] { return getBaseType(type); });
                if (column.type != TIMESTAMPTZOID) // see json_of()
                    resolved.dependence |= call([&] { return dependence_of_json(type); });
                resolved.is_compact = resolved.is_compact && column.bound.is_trusted &&
                                      column.bound.most_growth <= kCompactGrowth;
            }
        }
        resolved.columns.push_back(column);
    }
    return resolved;
}

namespace {

// ---- composing, inside call() ----

size_t max_bytes() {
    return static_cast<size_t>(max_message_kilobytes) * 1024;
}

// A time with zone is told in UTC, whatever the session's zone.
text *json_of(const PayloadColumn &column, Datum value) {
    if (column.type == TIMESTAMPTZOID) {
        const int utc = 0;
        char text[MAXDATELEN + 3] = "\"";
        JsonEncodeDateTime(text + 1, value, TIMESTAMPTZOID, &utc);
        strlcat(text, "\"", sizeof text);
        return cstring_to_text(text);
    }
    auto *to_json = const_cast<FmgrInfo *>(&column.to_json);
    if (OidIsValid(column.code_owner))
        return DatumGetTextPP(json_as_owner(to_json, value, column.code_owner));
    return DatumGetTextPP(FunctionCall1(to_json, value));
}

// The types of most columns, as to_json() writes them, without its look-up of the type for each
// value. False for others.
bool append_plain(StringInfo json, const PayloadColumn &column, Datum value) {
    char digits[MAXINT8LEN + 1];
    switch (column.type) {
    case BOOLOID:
        appendStringInfoString(json, DatumGetBool(value) ? "true" : "false");
        return true;
    case TEXTOID:
    case VARCHAROID:
        escape_json(json, TextDatumGetCString(value));
        return true;
    case INT2OID:
        pg_itoa(DatumGetInt16(value), digits);
        break;
    case INT4OID:
        pg_ltoa(DatumGetInt32(value), digits);
        break;
    case INT8OID:
        pg_lltoa(DatumGetInt64(value), digits);
        break;
    default:
        return false;
    }
    appendStringInfoString(json, digits);
    return true;
}

// The value as JSON, or that JSON as a JSON string. False if it is too large.
bool append_value(StringInfo json, const PayloadColumn &column, Datum value, bool as_string) {
    if (!as_string && append_plain(json, column, value))
        return true;
    text *value_json = json_of(column, value);
    if (VARSIZE_ANY_EXHDR(value_json) > max_bytes())
        return false;
    if (as_string)
        escape_json(json, text_to_cstring(value_json));
    else
        appendBinaryStringInfo(json, VARDATA_ANY(value_json),
                               static_cast<int>(VARSIZE_ANY_EXHDR(value_json)));
    return true;
}

// False if the text became too large on the way.
bool append_columns(StringInfo json, const PayloadColumns &columns, const Change &change,
                    bool only_key, bool as_strings = false) {
    for (const PayloadColumn &column : columns.columns) {
        if (only_key && !column.is_key)
            continue;
        if (column.constant != nullptr) {
            appendStringInfoString(json, column.label);
            appendStringInfoString(json, column.constant);
            continue;
        }
        if (change.row == nullptr || column.attribute == 0)
            continue;
        bool null;
        Datum value = heap_getattr(change.row, column.attribute, change.description, &null);
        appendStringInfoString(json, column.label);
        if (null) {
            appendStringInfoString(json, "null");
            continue;
        }
        if (!append_value(json, column, value, as_strings) ||
            static_cast<size_t>(json->len) > max_bytes())
            return false;
    }
    return true;
}

// Null if it became too large.
const char *compose_payload(const PayloadColumns &columns, const Change &change, Content content) {
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfoString(&json, "{\"operation\": \"");
    appendStringInfoString(&json, change.operation);
    appendStringInfoChar(&json, '"');
    if (content != Content::operation &&
        !append_columns(&json, columns, change, content == Content::key))
        return nullptr;
    appendStringInfoString(&json, ", \"timestamp\": ");
    append_json_timestamp(&json, GetCurrentTimestamp());
    appendStringInfoChar(&json, '}');
    return json.data;
}

// Null if it became too large. `{}` if the columns make no key.
const char *compose_key(const PayloadColumns &columns, const Change &change, bool as_strings) {
    StringInfoData json;
    initStringInfo(&json);
    if (!append_columns(&json, columns, change, true, as_strings))
        return nullptr;
    json.data[0] = '{'; // in place of the first comma
    appendStringInfoChar(&json, '}');
    return json.data;
}

// ---- what a row will come to ----

enum class Fit { surely, perhaps, not_at_all };

Fit fit_of(const PayloadColumns &columns, const Change &change, bool only_key) {
    if (change.row == nullptr ||
        (columns.is_compact && change.row->t_len <= BLCKSZ && !HeapTupleHasExternal(change.row)))
        return Fit::surely;
    return call([&] {
        bool is_trusted = true;
        size_t least = 0, most = 0;
        for (const PayloadColumn &column : columns.columns) {
            if (column.attribute == 0 || (only_key && !column.is_key))
                continue;
            size_t stored = stored_bytes(change.row, column.attribute, change.description);
            is_trusted = is_trusted && column.bound.is_trusted;
            least += least_text_bytes(column.bound, stored);
            most += stored * column.bound.most_growth;
        }
        return least > max_bytes()                ? Fit::not_at_all
               : is_trusted && most <= kSureBytes ? Fit::surely
                                                  : Fit::perhaps;
    });
}

// Runs `compose` in a context of its own, so that what a failure leaves behind is freed at once.
template <class Compose>
std::optional<Error> attempt_in_context(const char *&composed, Compose &&compose) {
    MemoryContext memory = call([] {
        return AllocSetContextCreate(CurrentMemoryContext, "rtd payload", ALLOCSET_DEFAULT_SIZES);
    });
    std::optional<Error> failure = attempt([&] {
        composed = call([&] {
            MemoryContext caller = MemoryContextSwitchTo(memory);
            const char *made = compose();
            MemoryContextSwitchTo(caller);
            return made;
        });
    });
    if (failure || composed == nullptr)
        MemoryContextDelete(memory);
    return failure;
}

bool says_too_large(const Error &error) {
    return error.sqlstate() == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
           error.sqlstate() == ERRCODE_OUT_OF_MEMORY;
}

Payload too_large() {
    return {nullptr, "is larger than rtd.max_message_size",
            "Its event would have more than " + std::to_string(max_bytes()) + " bytes."};
}

} // namespace

Payload build_payload(const PayloadColumns &columns, const Change &change, Content content) {
    OutputSettings fixed(columns.dependence);
    auto compose = [&] { return compose_payload(columns, change, content); };
    const char *json = nullptr;
    Fit fit = content == Content::operation ? Fit::surely
                                            : fit_of(columns, change, content == Content::key);
    if (fit == Fit::surely) {
        json = call(compose);
    } else if (fit == Fit::perhaps) {
        std::optional<Error> failure = attempt_in_context(json, compose);
        if (failure && !says_too_large(*failure))
            return {nullptr, "could not be made JSON", "The error was: " + failure->message()};
    }
    return json != nullptr ? Payload{json, {}, {}} : too_large();
}

Datum audited_key(const PayloadColumns &columns, const Change &change) {
    OutputSettings fixed(columns.dependence);
    Fit fit = fit_of(columns, change, true);
    bool may_be_refused = std::ranges::any_of(columns.columns, [](const PayloadColumn &column) {
        return column.is_key && column.attribute != 0 && column.bound.may_refuse_jsonb;
    });
    auto to_jsonb = [](const char *json) {
        return json != nullptr ? DirectFunctionCall1(jsonb_in, CStringGetDatum(json)) : Datum{0};
    };
    if (fit == Fit::not_at_all)
        return 0;
    if (fit == Fit::surely && !may_be_refused)
        return call([&] { return to_jsonb(compose_key(columns, change, false)); });
    Datum key = 0;
    for (bool as_strings : {false, true})
        if (!attempt([&] {
                key = call([&] { return to_jsonb(compose_key(columns, change, as_strings)); });
            }))
            return key;
    return 0;
}

} // namespace rtd::pg
