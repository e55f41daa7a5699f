#include "pg/hub/hub_params.h"

#include <algorithm>

#include "pg/server/worker_transaction.h"
#include "pg/value/parameter.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

bool is_plain_text(const ParameterType &type) {
    return (type.type == 0 || type.type == TEXTOID || type.type == VARCHAROID) &&
           type.collation == 0;
}

bool has_query(const Topic &topic) {
    return topic.kind != link::TopicKind::event;
}

void take(Event &event, size_t i, const InstanceParams &param) {
    event.params[i] = param.name()[0];
    event.shown.resize(event.params.size());
    event.shown[i] = param.texts[0];
}

// In a transaction of its own, if a parameter is not text.
Result<InstanceParams> canonical(const Topic &topic, const std::vector<ParameterType> &types,
                                 const std::vector<std::string> &params) {
    if (std::ranges::any_of(
            params, [](const std::string &param) { return param.find('\0') != std::string::npos; }))
        return Problem{"a parameter must not contain a zero byte"};
    InstanceParams canonical{params};
    if (std::ranges::all_of(types, is_plain_text))
        return canonical;
    try {
        in_transaction([&] {
            canonical = formed_params(topic.name, types,
                                      purpose_of(has_query(topic), topic.is_durable), params);
        });
    } catch (const Error &error) {
        // Where it is not the value, the query says what is wrong.
        if (is_fault_of_value(error) || !has_query(topic))
            return Problem{error.message()};
        return InstanceParams{params};
    }
    return canonical;
}

} // namespace

Result<InstanceParams> canonical_params(const Topic &topic,
                                        const std::vector<std::string> &params) {
    return canonical(topic, topic.parameter_types, params);
}

Result<Event> with_canonical_params(Event event, const Catalog &catalog) {
    auto found = catalog.topics.find(event.topic);
    if (found == catalog.topics.end())
        return event;
    const Topic &topic = *found->second;
    // One by one: some may not be known.
    for (size_t i = 0; i < std::min(event.params.size(), topic.parameter_types.size()); i++) {
        if (!event.params[i])
            continue;
        const ParameterType &type = topic.parameter_types[i];
        Result<InstanceParams> known = canonical(topic, {type}, {*event.params[i]});
        if (known && (type.is_matched || !has_query(topic)))
            take(event, i, *known);
        else if (has_query(topic))
            event.params[i].reset(); // whatever it means to the query
        else
            return Problem{known.error()};
    }
    return event;
}

} // namespace rtd::pg
