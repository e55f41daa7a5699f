// What a topic is declared with: read from the arguments of rtd_create_topic() and
// rtd_alter_topic(), or from rtd_topic, and checked in one place, so that a change is refused
// exactly where the changed declaration would be. Runs in backends; looks at nothing but the
// declaration itself.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/registry/registry.h"
#include "pg/registry/topic.h"
#include "pg/server/sql_function.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

// Refuses what can be neither a message type nor told from rtd's own.
void check_message_type(const std::string &type);
void check_channel_name(const std::string &channel);
void check_declared_name(const std::string &name);

// The function by its OID, where it was given, and by its name, where the topic has it.
struct SignificantFunction {
    Oid oid = InvalidOid;
    std::optional<std::string> name;

    bool is_named() const { return OidIsValid(oid) || name.has_value(); }
};

// An option that is not set has its default in a new topic, and is left as it is by a change.
struct TopicDeclaration {
    std::string name;
    std::optional<std::string> query, type, security, shape;
    std::optional<std::vector<std::string>> key; // empty: none
    std::optional<TextList> parameters;
    std::optional<int64> throttle_usec, debounce_usec, refresh_usec; // 0: none
    std::optional<SignificantFunction> significant;
    std::optional<bool> retain, durable;
    std::optional<int32> history;

    bool has_query() const { return query.has_value(); }
    bool is_keyed() const { return key && !key->empty(); }
    bool is_invoker() const { return security == "invoker"; }
    bool is_durable() const { return durable.value_or(false); }
    size_t parameter_count() const { return parameters ? parameters->size() : 0; }
    std::vector<std::string> key_columns() const;
    const char *kind() const;
};

// The arguments after the name are the same, in the same order, in both functions.
enum TopicArgument {
    kName,
    kQuery,
    kKey,
    kParameters,
    kType,
    kSecurity,
    kThrottle,
    kDebounce,
    kRefresh,
    kSignificant,
    kRetain,
    kHistory,
    kDurable,
    kShape,
    kIfNotExists,          // rtd_create_topic() only
    kOwner = kIfNotExists, // rtd_alter_topic() only
};

TopicDeclaration read_declaration(const Arguments &arguments);

// As the topic is registered. What would be otherwise in another kind of topic is not set where it
// has its default: the throttle; nor is the shape, which may have been inferred.
TopicDeclaration stored_declaration(const Registry &registry, const Topic &topic);

TopicDeclaration with_change(const TopicDeclaration &declared, const TopicDeclaration &change);

// Throws what is wrong with a declaration as a whole, whatever its query is.
void check_declaration(const TopicDeclaration &topic);
void check_significant_function(const TopicDeclaration &topic, Oid owner);

// The columns of rtd_topic that a declaration sets, and their values in that order.
extern const char *const kDeclaredColumns;
std::vector<Value> declared_values(const TopicDeclaration &topic);

} // namespace rtd::pg
