// InstanceIndex: which instances an event is for, without a look at the others.
//
//   all parameters known     by the hash of topic and parameters
//   some of them             by the known value that the fewest instances have
//   none                     all instances of the topic
//
// Hashes find candidates; what they have in common with the event is compared. Groups are ordered
// by id, that is by age.
#pragma once
#include "core/fence.h"
#include "router/event.h"
#include "router/instance.h"

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace rtd {

class InstanceIndex {
  public:
    using Group = std::map<uint64_t, Instance *>; // by id

    void add(Instance &instance);
    // Before its topic or parameters change, or it goes.
    void remove(Instance &instance);

    Instance *find(const std::string &topic, const std::vector<std::string> &params,
                   const Identity &identity) const;
    // Among which those that the event is for are: matches() tells.
    const Group &candidates(const Event &event) const;
    const Group &of_topic(const std::string &topic) const;

    static bool matches(const Event &event, const Instance &instance);

  private:
    using Groups = std::unordered_map<uint64_t, Group>;
    using Name = std::tuple<std::string, std::vector<std::string>, Identity>;

    static void put(Groups &groups, uint64_t key, Instance &instance);
    static void take(Groups &groups, uint64_t key, const Instance &instance);
    static const Group &group(const Groups &groups, uint64_t key);

    std::map<Name, Instance *> by_name_;
    Groups by_params_; // by instance_key(): those of every identity
    Groups by_value_;  // by topic, position and value; only of topics with several parameters
    Groups by_topic_;  // by topic_key()
};

} // namespace rtd
