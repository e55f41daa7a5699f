// A topic as rtd_topic has it, for functions that are given its name, and the instance that its
// parameters name. Runs in backends.
#include "pg/registry/topic.h"

#include <algorithm>

#include "pg/value/parameter.h"
#include "pg/value/stored_parameter.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

std::optional<Topic> find_topic(const Registry &registry, const std::string &name) {
    Rows found = registry.run_fresh("SELECT owner::oid, query, search_path, parameters, retain,"
                                    " security = 'invoker', durable, coalesce(key, '{}'), shape,"
                                    " parameter_types, parameter_collations, significant"
                                    " FROM @.rtd_topic WHERE name = $1",
                                    {text_value(name)});
    if (found.rows.empty())
        return std::nullopt;
    const Row &row = found.rows[0];
    Topic topic;
    topic.name = name;
    topic.owner = row[0].oid();
    topic.query = row[1].text;
    topic.search_path = row[2].text.value_or("");
    for (const std::optional<std::string> &parameter : row[3].elements)
        topic.parameters.push_back(parameter.value_or(""));
    topic.retain = row[4].boolean();
    topic.is_invoker = row[5].boolean();
    topic.is_durable = row[6].boolean();
    for (const std::optional<std::string> &column : row[7].elements)
        topic.key.push_back(column.value_or(""));
    if (row[8].text)
        topic.shape = row[8].text == "value" ? ResultShape::value : ResultShape::rows;
    topic.parameter_types = parameter_types_of(row[9], row[10]);
    topic.significant = row[11].text;
    return topic;
}

namespace {

[[noreturn]] void throw_no_topic(const std::string &name) {
    throw Error(ERRCODE_UNDEFINED_OBJECT, "topic \"" + name + "\" does not exist", {},
                "Create it with rtd_create_topic(), or look for its name in rtd_topics.");
}

} // namespace

// The lock leaves rows that refer to the topic alone, such as those of durable messages. Strangers
// do not get it, nor wait for it.
std::optional<Topic> lock_topic(const Registry &registry, const std::string &name) {
    std::optional<Topic> topic = find_topic(registry, name);
    if (!topic)
        return std::nullopt;
    check_owner(*topic);
    registry.run("SELECT FROM @.rtd_topic WHERE name = $1 FOR NO KEY UPDATE", {text_value(name)});
    topic = find_topic(registry, name); // as others left it
    if (topic)
        check_owner(*topic);
    return topic;
}

Topic needed_locked_topic(const Registry &registry, const std::string &name) {
    std::optional<Topic> topic = lock_topic(registry, name);
    if (!topic)
        throw_no_topic(name);
    return *topic;
}

Topic needed_topic(const Registry &registry, const std::string &name) {
    std::optional<Topic> topic = find_topic(registry, name);
    if (!topic)
        throw_no_topic(name);
    return *topic;
}

void check_owner(const Topic &topic) {
    if (!call([&] { return has_privs_of_role(GetUserId(), topic.owner); }))
        throw Error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                    "must be owner of topic \"" + topic.name + "\"");
}

std::vector<ParameterType> parameter_types_of(const Cell &types, const Cell &collations) {
    std::vector<ParameterType> read;
    size_t count = std::min(types.elements.size(), collations.elements.size());
    if (count == 0)
        return read;
    SearchPath path(kOwnSearchPath); // under which the names were written
    for (size_t i = 0; i < count; i++)
        read.push_back(stored_parameter_type(types.elements[i], collations.elements[i]));
    return read;
}

InstanceParams checked_instance(const Topic &topic, const TextList &params) {
    if (params.size() != topic.parameters.size()) {
        std::string names;
        for (const std::string &name : topic.parameters)
            names += (names.empty() ? "" : ", ") + name;
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                    "topic \"" + topic.name + "\" has " +
                        counted(topic.parameters.size(), "parameter") + ", not " +
                        std::to_string(params.size()),
                    names.empty() ? "" : "Its parameters are: " + names + ".");
    }
    std::vector<std::string> instance;
    for (const std::optional<std::string> &param : params) {
        if (!param)
            throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                        "a parameter of topic \"" + topic.name + "\" must not be null");
        instance.push_back(*param);
    }
    InstanceParams formed =
        formed_params(topic.name, topic.parameter_types,
                      purpose_of(topic.has_query(), topic.is_durable), instance);
    for (std::vector<std::string> *texts : {&formed.texts, &formed.match})
        for (std::string &text : *texts)
            text = to_utf8(text);
    return formed;
}

} // namespace rtd::pg
