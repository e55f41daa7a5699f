// See parameter.h. Runs in backends, in the writer's too, and in the hub.
#include "pg/value/parameter.h"

#include "pg/value/output_settings.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_collation_d.h"
#include "catalog/pg_language_d.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/json.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
}

namespace rtd::pg {

namespace {

using Kind = ValueForm::Kind;

// A form may be longer than what was written (1e100000), but not without bound.
constexpr size_t kMaxFormBytes = 8192;

// ---- which functions may run ----

bool is_c_function(Oid function) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        return false;
    Oid language = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->prolang;
    ReleaseSysCache(tuple);
    return language == INTERNALlanguageId || language == ClanguageId;
}

bool is_domain(Oid type) {
    return get_typtype(type) == TYPTYPE_DOMAIN;
}

bool is_known(Oid type);

bool is_known_element(Oid type) {
    return !is_domain(type) && is_known(type); // a domain's input function runs its checks
}

bool is_known_range(Oid type) {
    TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_RANGE_INFO);
    if (entry->rngelemtype == nullptr)
        return false;
    Oid canonical = entry->rng_canonical_finfo.fn_oid;
    return is_known_element(entry->rngelemtype->type_id) &&
           is_c_function(entry->rng_cmp_proc_finfo.fn_oid) &&
           (!OidIsValid(canonical) || is_c_function(canonical));
}

bool has_c_functions(Oid type) {
    Oid input, argument, output;
    bool is_varlena;
    getTypeInputInfo(type, &input, &argument);
    getTypeOutputInfo(type, &output, &is_varlena);
    return is_c_function(input) && is_c_function(output);
}

bool is_known(Oid type) {
    check_stack_depth();
    switch (get_typtype(type)) {
    case TYPTYPE_BASE: {
        Oid element = get_element_type(type);
        if (OidIsValid(element))
            return is_known_element(element);
        return !is_name_of_object(type) && has_c_functions(type);
    }
    case TYPTYPE_ENUM:
        return true;
    case TYPTYPE_RANGE:
        return is_known_range(type);
    case TYPTYPE_MULTIRANGE:
        return is_known_range(get_multirange_range(type));
    default:
        return false; // a composite type is looked up with a lock that others may hold
    }
}

// ---- which form ----

bool is_text(Oid type) {
    return type == TEXTOID || type == VARCHAROID;
}

bool is_whole_or_decimal(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID;
}

bool is_nondeterministic(Oid collation) {
    return OidIsValid(collation) && !get_collation_isdeterministic(collation);
}

bool is_citext(Oid type) {
    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
    if (!HeapTupleIsValid(tuple))
        return false;
    bool is_named =
        strcmp(NameStr(reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typname), "citext") == 0;
    ReleaseSysCache(tuple);
    return is_named &&
           getExtensionOfObject(TypeRelationId, type) == get_extension_oid("citext", true);
}

// The type whose hash function decides about a container's.
Oid innermost(Oid type) {
    for (;;) {
        Oid inner = get_element_type(type);
        if (!OidIsValid(inner))
            inner = get_range_subtype(type);
        if (!OidIsValid(inner))
            inner = get_multirange_range(type);
        if (!OidIsValid(inner))
            return type;
        type = inner;
    }
}

Oid hash_function(Oid type) {
    Oid inner =
        lookup_type_cache(innermost(type), TYPECACHE_HASH_EXTENDED_PROC)->hash_extended_proc;
    Oid own = lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC)->hash_extended_proc;
    return OidIsValid(own) && OidIsValid(inner) && is_c_function(inner) && is_c_function(own)
               ? own
               : InvalidOid;
}

Kind kind_of_equality(Oid type, Oid collation);

// Containers of values that are equal only if their texts are.
bool holds_plain_values(Oid container) {
    Oid inner = innermost(container);
    if (inner == container)
        return false;
    Kind kind = kind_of_equality(inner, InvalidOid);
    return kind == Kind::plain || kind == Kind::boolean || kind == Kind::date_or_time ||
           kind == Kind::as_is;
}

Kind kind_of_equality(Oid type, Oid collation) {
    switch (type) {
    case TEXTOID:
    case VARCHAROID:
        return is_nondeterministic(collation) ? Kind::hashed : Kind::as_is;
    case BPCHAROID:
        return is_nondeterministic(collation) ? Kind::hashed : Kind::padded;
    case BOOLOID:
        return Kind::boolean;
    case NUMERICOID:
        return Kind::numeric;
    case FLOAT4OID:
        return Kind::float4;
    case FLOAT8OID:
        return Kind::float8;
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        return Kind::date_or_time;
    case INTERVALOID:
        return Kind::interval;
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case OIDOID:
    case NAMEOID:
    case CHAROID:
    case UUIDOID:
    case BYTEAOID:
    case TIMEOID:
    case TIMETZOID:
    case INETOID:
    case CIDROID:
    case MACADDROID:
    case MACADDR8OID:
    case BITOID:
    case VARBITOID:
    case CASHOID:
    case XIDOID:
    case PG_LSNOID:
    case TSVECTOROID:
        return Kind::plain;
    default:
        break;
    }
    if (type_is_enum(type))
        return Kind::plain;
    if (is_citext(type))
        return Kind::case_folded;
    if (!is_nondeterministic(collation) && holds_plain_values(type))
        return Kind::plain;
    return OidIsValid(hash_function(type)) ? Kind::hashed : Kind::plain;
}

Oid type_of(const ParameterType &parameter) {
    return parameter.type == 0 ? TEXTOID : parameter.type;
}

// The value's own text, whatever it equals.
Kind kind_of_text(Oid type) {
    switch (type) {
    case TEXTOID:
    case VARCHAROID:
        return Kind::as_is;
    case BOOLOID:
        return Kind::boolean;
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
        return Kind::date_or_time;
    default:
        return Kind::plain;
    }
}

Kind kind_of(Oid type, const ParameterType &parameter, Purpose purpose) {
    if (!is_known(type))
        return Kind::opaque;
    if (!parameter.is_matched)
        return kind_of_text(type);
    Kind kind = kind_of_equality(type, parameter.collation);
    return kind == Kind::hashed && purpose == Purpose::durable_events ? kind_of_text(type) : kind;
}

// A type or collation that was dropped since it was looked up has no values, and must not fail a
// write.
bool is_there(const ParameterType &parameter) {
    return SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type_of(parameter))) &&
           (!OidIsValid(parameter.collation) ||
            SearchSysCacheExists1(COLLOID, ObjectIdGetDatum(parameter.collation)));
}

ValueForm make_form(Oid type, const ParameterType &parameter, Purpose purpose,
                    MemoryContext memory) {
    ValueForm form;
    form.type = getBaseTypeAndTypmod(type, &form.typmod);
    form.collation = parameter.collation;
    form.kind = kind_of(form.type, parameter, purpose);
    if (form.kind == Kind::as_is && form.typmod >= 0)
        form.kind = Kind::plain; // the input function has a say
    form.dependence = dependence_of_text(form.type);
    if (form.kind == Kind::date_or_time)
        form.dependence = kNothing; // see formed()
    Oid input, output;
    bool is_varlena;
    getTypeInputInfo(form.type, &input, &form.input_argument);
    getTypeOutputInfo(form.type, &output, &is_varlena);
    fmgr_info_cxt(input, &form.input, memory);
    fmgr_info_cxt(output, &form.output, memory);
    if (form.kind == Kind::hashed)
        fmgr_info_cxt(hash_function(form.type), &form.hash, memory);
    return form;
}

// The column's values as they compare with texts.
bool has_text_of_its_cast(Oid type) {
    return type == INT2OID || type == INT4OID || type == INT8OID || type == OIDOID ||
           type == UUIDOID || type == BOOLOID || type == NAMEOID || type == BPCHAROID ||
           type == NUMERICOID || type == DATEOID || type_is_enum(type);
}

// ---- values ----

// Intervals are equal if they are equally long, with months of 30 days and days of 24 hours.
Datum with_days_only(Datum value) {
    const Interval *given = DatumGetIntervalP(value);
    if (!RTD_INTERVAL_IS_FINITE(given))
        return value;
    __extension__ using Wide = __int128;
    Wide usecs = (static_cast<Wide>(given->month) * DAYS_PER_MONTH + given->day) * USECS_PER_DAY +
                 given->time;
    Wide days = usecs / USECS_PER_DAY;
    auto *result = static_cast<Interval *>(palloc0(sizeof(Interval)));
    result->time = static_cast<TimeOffset>(usecs % USECS_PER_DAY);
    if (days > PG_INT32_MAX || days < PG_INT32_MIN) {
        Wide months = days / DAYS_PER_MONTH;
        if (months > PG_INT32_MAX || months < PG_INT32_MIN)
            return value;
        result->month = static_cast<int32>(months);
        days %= DAYS_PER_MONTH;
    }
    result->day = static_cast<int32>(days);
    return IntervalPGetDatum(result);
}

const char *output(const ValueForm &form, Datum value) {
    return OutputFunctionCall(const_cast<FmgrInfo *>(&form.output), value);
}

const char *date_or_time_text(Oid type, Datum value) {
    const int utc = 0;
    return JsonEncodeDateTime(nullptr, value, type, type == TIMESTAMPTZOID ? &utc : nullptr);
}

const char *without_trailing_blanks(const char *text) {
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == ' ')
        size--;
    return pnstrdup(text, size);
}

const char *text_of(const ValueForm &form, Datum value) {
    switch (form.kind) {
    case Kind::opaque:
    case Kind::as_is:
    case Kind::plain:
    case Kind::hashed:
        return output(form, value);
    case Kind::boolean: // its cast to text, not its output
        return DatumGetBool(value) ? "true" : "false";
    case Kind::numeric:
        return output(form, DirectFunctionCall1(numeric_trim_scale, value));
    case Kind::padded:
        return without_trailing_blanks(output(form, value));
    case Kind::float4: // minus zero equals zero
        return output(form, DatumGetFloat4(value) == 0 ? Float4GetDatum(0) : value);
    case Kind::float8:
        return output(form, DatumGetFloat8(value) == 0 ? Float8GetDatum(0) : value);
    case Kind::date_or_time:
        return date_or_time_text(form.type, value);
    case Kind::interval:
        return output(form, with_days_only(value));
    case Kind::case_folded: {
        const char *text = output(form, value);
        return str_tolower(text, strlen(text), DEFAULT_COLLATION_OID);
    }
    }
    return "";
}

Datum text_without_padding(Datum value) {
    return CStringGetTextDatum(without_trailing_blanks(TextDatumGetCString(value)));
}

Datum array_without_padding(Datum value) {
    ArrayType *array = DatumGetArrayTypeP(value);
    Datum *elements;
    bool *nulls;
    int count;
    deconstruct_array(array, BPCHAROID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
    for (int i = 0; i < count; i++)
        if (!nulls[i])
            elements[i] = text_without_padding(elements[i]);
    return PointerGetDatum(construct_md_array(elements, nulls, ARR_NDIM(array), ARR_DIMS(array),
                                              ARR_LBOUND(array), TEXTOID, -1, false, TYPALIGN_INT));
}

// The server hashes the blanks at the end of character(n), which compare as if they were not there,
// if the collation is nondeterministic. Texts without them have the hashes that are meant.
Datum without_padding(Oid type, Datum value) {
    if (type == BPCHAROID)
        return text_without_padding(value);
    return get_element_type(type) == BPCHAROID ? array_without_padding(value) : value;
}

const char *match_of(const ValueForm &form, Datum value) {
    // Without a nondeterministic one, equal strings have equal bytes; to hash them, the server asks
    // for a collation all the same.
    Oid collation = OidIsValid(form.collation) ? form.collation : C_COLLATION_OID;
    Datum hashed = without_padding(form.type, value);
    auto hash = [&](int64 seed) {
        return static_cast<unsigned long long>(DatumGetUInt64(FunctionCall2Coll(
            const_cast<FmgrInfo *>(&form.hash), collation, hashed, Int64GetDatum(seed))));
    };
    constexpr int64 kSeeds[] = {INT64CONST(0x7274642d70617231), INT64CONST(0x7274642d70617232)};
    return psprintf("#%016llx%016llx", hash(kSeeds[0]), hash(kSeeds[1]));
}

FormedValue formed_text(const ValueForm &form, const std::string &text) {
    if (form.kind == Kind::opaque || form.kind == Kind::as_is)
        return {text.c_str(), nullptr};
    // A date without a zone, or with the month's place in doubt, means the same to everybody.
    OutputSettings fixed(form.kind == Kind::date_or_time ? kTimes : form.dependence);
    return call([&] {
        Datum value =
            InputFunctionCall(const_cast<FmgrInfo *>(&form.input), const_cast<char *>(text.c_str()),
                              form.input_argument, form.typmod);
        return FormedValue{text_of(form, value),
                           form.kind == Kind::hashed ? match_of(form, value) : nullptr};
    });
}

} // namespace

ValueForm form_of(const ParameterType &parameter, Purpose purpose, MemoryContext memory) {
    return call([&] {
        return is_there(parameter) ? make_form(type_of(parameter), parameter, purpose, memory)
                                   : make_form(TEXTOID, {}, purpose, memory);
    });
}

bool is_opaque(Oid type) {
    return call([&] { return !is_known(getBaseType(type)); });
}

std::optional<ValueForm> form_of_column(const ParameterType &parameter, Purpose purpose, Oid column,
                                        MemoryContext memory) {
    struct Choice {
        bool matches_all;
        ValueForm form;
    };
    Choice choice = call([&]() -> Choice {
        if (!is_there(parameter) && purpose == Purpose::query)
            return {true, {}};
        if (!is_there(parameter))
            return {false, make_form(column, {}, purpose, memory)};
        Oid wanted = getBaseType(type_of(parameter)), type = getBaseType(column);
        ParameterType own; // in the form of the column's own type
        bool is_same = type == wanted || (is_text(type) && is_text(wanted));
        if (is_same)
            own = parameter;
        if (purpose != Purpose::query || (is_same && parameter.is_matched && is_known(type)))
            return {false, make_form(type, own, purpose, memory)};
        if (is_same || !parameter.is_matched)
            return {true, {}};
        if (is_whole_or_decimal(type) && is_whole_or_decimal(wanted))
            return {false, make_form(type, own, purpose, memory)};
        if (is_text(wanted) && !is_nondeterministic(parameter.collation) &&
            has_text_of_its_cast(type)) {
            own.is_matched = type != NUMERICOID; // its cast keeps trailing zeros
            return {false, make_form(type, own, purpose, memory)};
        }
        return {true, {}};
    });
    return choice.matches_all ? std::nullopt : std::optional(choice.form);
}

FormedValue formed(const ValueForm &form, Datum value) {
    OutputSettings fixed(form.dependence);
    return call([&] {
        return FormedValue{text_of(form, value),
                           form.kind == Kind::hashed ? match_of(form, value) : nullptr};
    });
}

// Some types call what they cannot read a syntax error, and domains have checks.
bool is_fault_of_value(const Error &error) {
    int category = ERRCODE_TO_CATEGORY(error.sqlstate());
    return category == ERRCODE_DATA_EXCEPTION ||
           category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
           category == ERRCODE_PROGRAM_LIMIT_EXCEEDED || error.sqlstate() == ERRCODE_SYNTAX_ERROR;
}

InstanceParams formed_params(const std::string &topic, const std::vector<ParameterType> &types,
                             Purpose purpose, const std::vector<std::string> &texts) {
    InstanceParams params;
    for (size_t i = 0; i < texts.size(); i++) {
        std::string match;
        try {
            ValueForm form = form_of(i < types.size() ? types[i] : ParameterType{}, purpose,
                                     CurrentMemoryContext);
            FormedValue value = formed_text(form, texts[i]);
            params.texts.emplace_back(value.text);
            match = value.match != nullptr ? value.match : params.texts.back();
        } catch (const Error &error) {
            throw Error(error.sqlstate(),
                        "parameter " + std::to_string(i + 1) + " of topic \"" + topic +
                            "\": " + error.message(),
                        error.detail(), error.hint());
        }
        if (params.texts.back().size() > std::max(kMaxFormBytes, texts[i].size()))
            throw Error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                        "parameter " + std::to_string(i + 1) + " of topic \"" + topic +
                            "\" is longer than " + std::to_string(kMaxFormBytes) +
                            " bytes once it is written out");
        params.match.push_back(std::move(match));
    }
    if (params.match == params.texts)
        params.match.clear();
    return params;
}

} // namespace rtd::pg
