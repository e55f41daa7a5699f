// Roster: the sessions of one audience of one instance. A message walks over it, so it is a plain
// vector; leaving is O(1), because a session knows its place.
#pragma once
#include "core/fence.h"
#include "net/session.h"

#include <cassert>
#include <vector>

namespace rtd::net {

class Roster {
  public:
    void add(Session &session) {
        session.roster_index = sessions_.size();
        sessions_.push_back(&session);
    }
    void remove(Session &session) {
        assert(sessions_[session.roster_index] == &session);
        sessions_[session.roster_index] = sessions_.back();
        sessions_[session.roster_index]->roster_index = session.roster_index;
        sessions_.pop_back();
    }
    bool empty() const { return sessions_.empty(); }

    // From the back, so that `action` may remove the session it is given.
    template <class Action> void for_each(Action action) {
        for (size_t i = sessions_.size(); i > 0; i--)
            action(*sessions_[i - 1]);
    }

  private:
    std::vector<Session *> sessions_;
};

} // namespace rtd::net
