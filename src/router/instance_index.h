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
#include "router/flat_map.h"
#include "router/instance.h"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace rtd {

class InstanceIndex {
  public:
    using Group = std::map<uint64_t, Instance *>; // by id

    // Among which those that an event is for are: matches() tells.
    class Candidates {
      public:
        explicit Candidates(Instance *only) : only_(only) {}
        explicit Candidates(const Group &group) : group_(&group) {}

        size_t size() const { return group_ != nullptr ? group_->size() : 1; }
        // Calls `visit(Instance &)`, which must not add or remove any.
        template <class Visit> void each(const Visit &visit) const {
            if (group_ == nullptr)
                return visit(*only_);
            for (const auto &[id, instance] : *group_)
                visit(*instance);
        }

      private:
        Instance *only_ = nullptr;
        const Group *group_ = nullptr;
    };

    // `seed`: see flat_map.h.
    explicit InstanceIndex(uint64_t seed) : alone_(seed) {}

    void add(Instance &instance);
    // Before its topic or parameters change, or it goes.
    void remove(Instance &instance);

    Instance *find(const std::string &topic, const std::vector<std::string> &params,
                   const Identity &identity) const;
    Candidates candidates(const Event &event) const;
    // These come next: has the memory fetched that they need.
    void prefetch(std::span<const Event> events) const;
    const Group &of_topic(const std::string &topic) const;

    static bool matches(const Event &event, const Instance &instance);

  private:
    using Groups = std::unordered_map<uint64_t, Group>;
    // What tells an instance from all others.
    struct Name {
        const std::string &topic;
        const std::vector<std::string> &params;
        const Identity &identity;
    };
    struct HashName {
        using is_transparent = void;
        size_t operator()(const Name &name) const;
        size_t operator()(const Instance *instance) const;
    };
    struct EqualName {
        using is_transparent = void;
        bool operator()(const Name &name, const Instance *instance) const;
        bool operator()(const Instance *a, const Instance *b) const { return a == b; }
    };

    static void put(Groups &groups, uint64_t key, Instance &instance);
    static void take(Groups &groups, uint64_t key, const Instance &instance);
    static const Group &group(const Groups &groups, uint64_t key);
    void put_by_params(Instance &instance);
    void take_by_params(const Instance &instance);

    std::unordered_set<Instance *, HashName, EqualName> by_name_;
    // By instance_key(): those of every identity. Nearly always it is one.
    FlatMap<Instance> alone_;
    Groups together_; // of keys that more than one has, or had
    Groups by_value_; // by topic, position and value; only of topics with several parameters
    Groups by_topic_; // by topic_key()
};

} // namespace rtd
