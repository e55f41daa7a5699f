// The key of a watch into a keyed topic: the columns of the table that tell which of the topic's
// rows a change of a row concerns. It is derived from the topic's query (topic_key.h), stored in
// rtd_watch, and derived anew whenever the query, or what it reads, is defined anew.
#pragma once
#include "core/fence.h"

#include <optional>
#include <string>
#include <vector>

#include "pg/registry/topic.h"

#include "pg/server/prelude.h"

extern "C" {
#include "access/tupdesc.h"
}

namespace rtd::pg {

struct WatchKey {
    std::optional<std::vector<std::string>> columns; // nullopt: a change concerns any row
    bool is_named = false; // by the caller, for a table that the query reads in a function
};

// `given` are the watch's columns, if the caller named them. A NOTICE says if there is no key.
WatchKey derive_watch_key(const Topic &topic, Oid table, TupleDesc description,
                          const std::optional<TextList> &given);

enum class Telling : bool { silent, by_notice };
// Derives the keys of all watches into the topic, and stores those that are others now; true if any
// is. Keys that the caller named are kept if `keeps_named`.
bool derive_watch_keys(const Registry &registry, const Topic &topic, bool keeps_named,
                       Telling telling);
// Every change then reads the topic as a whole, which is right whatever its definition.
bool forget_watch_keys(const Registry &registry, const Topic &topic);

} // namespace rtd::pg
