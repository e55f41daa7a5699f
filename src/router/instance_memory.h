// InstanceMemory: what all instances and subscriptions take, and how much that may be. Clients make
// instances up, of any parameters, so their number alone is no bound. Counted are what an instance
// keeps and, by an estimate that errs to the safe side, what there is of each in any case.
//
// Above the bound those that linger go, histories are not kept, and a subscription that would make
// one more instance is refused; a little above it, any subscription is.
#pragma once
#include "core/fence.h"
#include "core/link.h"

#include <cstddef>
#include <string>
#include <vector>

namespace rtd {

class InstanceMemory {
  public:
    // What an instance takes whatever it keeps: of a topic without a query, or with one. It has its
    // parameters in two forms.
    static size_t fixed_bytes(link::TopicKind kind, const std::vector<std::string> &params) {
        size_t bytes = kind == link::TopicKind::event ? kEventBytes : kQueryBytes;
        for (const std::string &param : params)
            bytes += kForms * (sizeof param + param.size());
        return bytes;
    }

    void set_most(size_t bytes) { most_ = bytes; }
    // An instance takes so many bytes now, and took so many before.
    void change(size_t before, size_t now) { bytes_ += now - before; }
    size_t bytes(size_t subscriptions) const { return bytes_ + subscriptions * kSubscriptionBytes; }
    bool is_full(size_t subscriptions) const { return bytes(subscriptions) > most_; }
    bool is_overfull(size_t subscriptions) const {
        return bytes(subscriptions) > most_ + most_ / 4;
    }

  private:
    static constexpr size_t kEventBytes = 1100;
    static constexpr size_t kQueryBytes = 1400;
    static constexpr size_t kSubscriptionBytes = 250;
    static constexpr size_t kForms = 2;

    size_t most_ = SIZE_MAX / 2;
    size_t bytes_ = 0;
};

} // namespace rtd
