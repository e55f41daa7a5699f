// Roster: the subscriptions of one audience of one instance. A message walks over it, so it is a
// plain vector; leaving is O(1), because a subscription knows its place.
#pragma once
#include "core/fence.h"
#include "gateway/session/subscription.h"

#include <cassert>
#include <vector>

namespace rtd::net {

class Roster {
  public:
    void add(Subscription &subscription) {
        subscription.roster_index = members_.size();
        members_.push_back(&subscription);
    }
    void remove(Subscription &subscription) {
        assert(members_[subscription.roster_index] == &subscription);
        members_[subscription.roster_index] = members_.back();
        members_[subscription.roster_index]->roster_index = subscription.roster_index;
        members_.pop_back();
    }
    bool empty() const { return members_.empty(); }
    size_t size() const { return members_.size(); }

    // From the back, so that `action` may remove the one it is given, but no other.
    template <class Action> void for_each(Action action) {
        for (size_t i = members_.size(); i > 0; i--)
            action(*members_[i - 1]);
    }

  private:
    std::vector<Subscription *> members_;
};

} // namespace rtd::net
