#include "pg/value/json_value.h"

#include <optional>
#include <utility>

#include "core/spelled_json.h"
#include "pg/server/boundary.h"

#include "pg/server/prelude.h"

extern "C" {
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
}

namespace rtd::pg {

namespace {

// What its input function says; nullopt: `value` is set. Nothing but memory is lost by an error of
// it, so it can be caught without a subtransaction.
template <class Input> std::optional<Error> try_input(Input input, const char *text, Datum &value) {
    try {
        value = call([&] { return input(text); });
        return std::nullopt;
    } catch (const Error &error) {
        return error;
    }
}

Datum jsonb_input(const char *text) {
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
}

Datum numeric_input(const char *text) {
    return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                               Int32GetDatum(-1));
}

bool fits_numeric(std::string_view number) {
    constexpr size_t kSurelyFits = 1000; // digits, without an exponent
    if (number.size() <= kSurelyFits && number.find_first_of("eE") == number.npos)
        return true;
    Datum value = 0;
    std::optional<Error> refusal = try_input(numeric_input, std::string(number).c_str(), value);
    if (refusal && !is_refusal_of_jsonb(refusal->sqlstate()))
        throw Error(*refusal);
    if (!refusal)
        pfree(DatumGetPointer(value));
    return !refusal;
}

} // namespace

bool is_refusal_of_jsonb(int sqlstate) {
    return sqlstate == ERRCODE_UNTRANSLATABLE_CHARACTER ||
           sqlstate == ERRCODE_INVALID_TEXT_REPRESENTATION ||
           sqlstate == ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
}

Datum jsonb_of_text(const char *text, size_t size, std::string &altered) {
    Datum value = 0;
    std::optional<Error> refusal = try_input(jsonb_input, text, value);
    if (!refusal)
        return value;
    SpelledJson spelled;
    if (is_refusal_of_jsonb(refusal->sqlstate()))
        spelled = spell_out({text, size}, fits_numeric);
    if (spelled.altered == 0)
        throw Error(*refusal);
    if (std::optional<Error> still = try_input(jsonb_input, spelled.text.c_str(), value))
        throw Error(*still);
    if (altered.empty())
        altered = "jsonb cannot hold " + std::to_string(spelled.altered) +
                  (spelled.altered == 1 ? " value" : " values") + ", first at " + spelled.where +
                  ": " + refusal->message();
    return value;
}

} // namespace rtd::pg
