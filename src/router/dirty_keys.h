// DirtyKeys: which rows of a keyed instance may have changed, as a set of keys, or "all of them".
//
// Bounded: with more keys than it is worth to look up one by one it becomes "all", so that a busy
// topic whose query is slow costs the hub no memory.
#pragma once
#include "core/fence.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace rtd {

// The key columns' values as text, in the order of the topic's key.
using Key = std::vector<std::string>;

// What a query is to read: the rows of these keys, or all rows.
struct KeySelection {
    bool all = false;
    std::vector<Key> keys; // each once; none if all

    bool empty() const { return !all && keys.empty(); }
};

class DirtyKeys {
  public:
    static constexpr size_t kMaxKeys = 10'000;

    void add_all() {
        all_ = true;
        keys_.clear();
    }
    // An empty key stands for all.
    void add(Key key) {
        if (all_)
            return;
        if (key.empty() || (keys_.size() == kMaxKeys && !keys_.contains(key)))
            return add_all();
        keys_.insert(std::move(key));
    }
    void add(const KeySelection &selection) {
        if (selection.all)
            add_all();
        for (const Key &key : selection.keys)
            add(key);
    }

    bool empty() const { return !all_ && keys_.empty(); }

    KeySelection take() {
        KeySelection taken{all_, {}};
        while (!keys_.empty())
            taken.keys.push_back(std::move(keys_.extract(keys_.begin()).value()));
        all_ = false;
        return taken;
    }

    // What is dirty and not in `read`.
    KeySelection beyond(const KeySelection &read) const {
        KeySelection rest;
        if (read.all)
            return rest;
        rest.all = all_;
        std::set<Key> known(read.keys.begin(), read.keys.end());
        std::ranges::set_difference(keys_, known, std::back_inserter(rest.keys));
        return rest;
    }

  private:
    bool all_ = false;
    std::set<Key> keys_;
};

} // namespace rtd
