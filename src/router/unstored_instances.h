// UnstoredInstances: instances with a retained message that is not in its table yet, by turns: who
// was given goes to the end, so that one that cannot be stored holds up nobody.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>

namespace rtd {

class UnstoredInstances {
  public:
    bool empty() const { return waiting_ == 0; }
    size_t size() const { return waiting_; }

    // One that is not there.
    void add(uint64_t instance) {
        auto [known, is_new] = waits_.try_emplace(instance);
        if (is_new)
            turns_.push_back(instance);
        known->second = true;
        waiting_++;
    }
    // One that is there.
    void remove(uint64_t instance) {
        waits_.at(instance) = false; // it leaves when its turn comes
        waiting_--;
    }
    // Whose turn it is. Only if not empty().
    uint64_t next() {
        while (true) {
            uint64_t instance = turns_.front();
            turns_.pop_front();
            auto known = waits_.find(instance);
            if (known->second) {
                turns_.push_back(instance);
                return instance;
            }
            waits_.erase(known);
        }
    }

  private:
    std::deque<uint64_t> turns_;
    std::unordered_map<uint64_t, bool> waits_; // those of turns_; false: no longer
    size_t waiting_ = 0;
};

} // namespace rtd
