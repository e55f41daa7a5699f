// Parameters of topics as values of their types: the same value in another spelling is the same
// instance. Every text that names an instance (a client's, an argument of rtd_broadcast(), a member
// of a notification's payload, a row's column) is brought to one form here.
//
// The form is the type's own output under fixed settings, for dates and timestamps in the spelling
// of JSON, for numeric without trailing zeros: equal values have equal texts. Where a type's
// equality is not that of its texts (nondeterministic collations, arrays of numeric, jsonb), the
// instance is found by two hashes of the type's own hash function, and its text is that of whoever
// came first.
//
// The hub runs this too, so no function of a user is called: domains count as their base type, with
// the modifier that they give it, and values of types whose functions are not in C are opaque,
// which is to say that their text is taken as it is and that events of a topic with a query concern
// every instance.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/server/boundary.h"
#include "router/topic.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// How values of one type are brought to their form. Trivial, because it is used inside call().
struct ValueForm {
    enum class Kind : uint8_t {
        opaque,
        as_is, // text, whose every value is its form
        plain, // the output function
        boolean,
        numeric,
        padded, // without the blanks at its end
        float4,
        float8,
        date_or_time,
        interval,
        case_folded, // citext
        hashed,
    };
    Kind kind = Kind::as_is;
    Oid type = TEXTOID; // no domain
    Oid collation = InvalidOid;
    unsigned dependence = 0; // see output_settings.h
    Oid input_argument = InvalidOid;
    int32 typmod = -1; // of the domain: numeric(8,1) rounds, varchar(3) cuts blanks off
    FmgrInfo input = {}, output = {}, hash = {};
};

// What a topic does with the values: it asks a query, or keeps messages by them. Those of a durable
// topic are kept by the text.
enum class Purpose : uint8_t { query, events, durable_events };

inline Purpose purpose_of(bool has_query, bool is_durable) {
    return has_query ? Purpose::query : is_durable ? Purpose::durable_events : Purpose::events;
}

struct FormedValue {
    const char *text;
    const char *match; // instead of the text, to find the instance by; or null
};

// Of a parameter. The functions' memory is of `memory`.
ValueForm form_of(const ParameterType &parameter, Purpose purpose, MemoryContext memory);
// Of a watched table's column that holds a parameter's value. nullopt: its rows concern instances
// with any value, which only a query can mean.
std::optional<ValueForm> form_of_column(const ParameterType &parameter, Purpose purpose, Oid column,
                                        MemoryContext memory);
// Under fixed settings, in the current memory context and the server's encoding.
FormedValue formed(const ValueForm &form, Datum value);

// Whether rtd knows the type well enough to match its values.
bool is_opaque(Oid type);

// Throws with the server's sentence if one of the texts is no value of its type. `topic` is named
// in it. Inside a transaction.
InstanceParams formed_params(const std::string &topic, const std::vector<ParameterType> &types,
                             Purpose purpose, const std::vector<std::string> &texts);
// Whether that error is the value's fault.
bool is_fault_of_value(const Error &error);

} // namespace rtd::pg
