#include "pg/hub_params.h"

#include <algorithm>

#include "pg/parameter.h"
#include "pg/worker_transaction.h"

#include "pg/prelude.h"

namespace rtd::pg {

namespace {

bool is_plain_text(const ParameterType &type) {
    return (type.type == 0 || type.type == TEXTOID || type.type == VARCHAROID) &&
           type.collation == 0;
}

bool has_query(const Topic &topic) {
    return topic.kind != link::TopicKind::event;
}

} // namespace

Result<InstanceParams> canonical_params(const Topic &topic,
                                        const std::vector<std::string> &params) {
    if (std::ranges::any_of(
            params, [](const std::string &param) { return param.find('\0') != std::string::npos; }))
        return Problem{"a parameter must not contain a zero byte"};
    InstanceParams canonical{params};
    if (std::ranges::all_of(topic.parameter_types, is_plain_text))
        return canonical;
    try {
        in_transaction([&] {
            canonical = formed_params(topic.name, topic.parameter_types, has_query(topic), params);
        });
    } catch (const Error &error) {
        // Where it is not the value, the query says what is wrong.
        if (is_fault_of_value(error) || !has_query(topic))
            return Problem{error.message()};
        return InstanceParams{params};
    }
    return canonical;
}

Result<Event> with_canonical_params(Event event, const Catalog &catalog) {
    auto found = catalog.topics.find(event.topic);
    if (found == catalog.topics.end())
        return event;
    // One parameter at a time: some may not be known.
    for (size_t i = 0; i < event.params.size(); i++) {
        if (!event.params[i])
            continue;
        Topic only = *found->second; // its parameter of this number alone
        only.parameter_types.clear();
        if (i < found->second->parameter_types.size())
            only.parameter_types.push_back(found->second->parameter_types[i]);
        if (has_query(only) && !only.parameter_types.empty() &&
            !only.parameter_types[0].is_matched) {
            event.params[i].reset();
            continue;
        }
        Result<InstanceParams> canonical = canonical_params(only, {*event.params[i]});
        if (canonical)
            event.params[i] = canonical->name()[0];
        else if (has_query(only))
            event.params[i].reset(); // whatever it means to the query
        else
            return Problem{canonical.error()};
    }
    return event;
}

} // namespace rtd::pg
