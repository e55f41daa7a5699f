// rtd_listen() and rtd_unlisten(): NOTIFY channels that feed a topic. Runs in backends; the hub
// reads rtd_channel and LISTENs.
#include "pg/registry/topic.h"
#include "pg/sql/topic_declaration.h"
#include "pg/writer/pending_events.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

void listen(const Arguments &arguments) {
    std::string channel = arguments.needed_text(0, "the channel");
    std::string name = arguments.needed_text(1, "the topic");
    TextList parameters = arguments.texts(2).value_or(TextList{});
    check_channel_name(channel);
    Registry registry(arguments.function());
    Topic topic = needed_locked_topic(registry, name);
    if (parameters.size() != topic.parameters.size())
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE,
                    "topic \"" + name + "\" has " + counted(topic.parameters.size(), "parameter") +
                        ", not " + std::to_string(parameters.size()),
                    {},
                    "parameters names, for each parameter of the topic, the field of the JSON "
                    "payload that holds its value.");
    for (const std::optional<std::string> &parameter : parameters)
        if (!parameter || parameter->empty())
            throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "a field of the payload must be named");
    registry.run("INSERT INTO @.rtd_channel (channel, topic, parameters) VALUES ($1, $2, $3)"
                 " ON CONFLICT (channel, topic) DO UPDATE SET parameters = excluded.parameters",
                 {text_value(channel), text_value(name), texts_value(parameters)});
    note_catalog_change();
}

void unlisten(const Arguments &arguments) {
    std::string channel = arguments.needed_text(0, "the channel");
    std::optional<std::string> name = arguments.text(1);
    Registry registry(arguments.function());
    Rows feeds = registry.run("SELECT topic FROM @.rtd_channel"
                              " WHERE channel = $1 AND ($2 IS NULL OR topic = $2) ORDER BY topic",
                              {text_value(channel), text_value(name)});
    if (feeds.rows.empty())
        throw Error(ERRCODE_UNDEFINED_OBJECT, "channel \"" + channel + "\" does not feed " +
                                                  (name ? "topic \"" + *name + "\"" : "any topic"));
    for (const Row &row : feeds.rows)
        check_owner(needed_topic(registry, row[0].text.value_or("")));
    registry.run("DELETE FROM @.rtd_channel WHERE channel = $1 AND ($2 IS NULL OR topic = $2)",
                 {text_value(channel), text_value(name)});
    note_catalog_change();
}

} // namespace

} // namespace rtd::pg

using namespace rtd::pg;

RTD_FUNCTION(rtd_listen) {
    return enter([&]() -> Datum {
        listen(Arguments(fcinfo));
        return 0;
    });
}

RTD_FUNCTION(rtd_unlisten) {
    return enter([&]() -> Datum {
        unlisten(Arguments(fcinfo));
        return 0;
    });
}
