// Refusals: what the log says of what was refused. A flood is a line per reason and period, with
// the addresses it came from and the first sentence, never a line per connection.
#pragma once
#include "core/fence.h"
#include "gateway/admission/subnet.h"
#include "gateway/transport/address.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rtd::net {

class Refusals {
  public:
    static constexpr uint64_t kPeriodMs = 10'000;
    static constexpr size_t kMaxNamed = 5;    // addresses in a line; the others are one sum
    static constexpr size_t kMaxReasons = 16; // free ones; the others are one line
    static constexpr size_t kMaxSentenceBytes = 200;

    // What is refused: a connection that becomes no client, a client's subscription, or a message
    // that a client sends.
    enum class Thing : uint8_t { connection, subscription, message };

    // True for the first one of a period: report() is due kPeriodMs later. `reason` is free: who
    // connects may influence how many there are.
    bool count(const std::string &reason, const Address &address);
    // The same for a word of a closed list, which always has its line. `sentence` is what the
    // client was told, and may hold what it sent.
    bool count(Thing thing, std::string_view word, std::string_view sentence, const Subnet &from);

    // The lines of the period, which is over with that.
    std::vector<std::string> report();

  private:
    struct Burst {
        uint64_t total = 0;
        std::string sentence;             // the first one
        std::map<Subnet, uint64_t> named; // the first ones
    };
    using Key = std::pair<Thing, std::string>;

    bool add(const Key &key, const Subnet &from, std::string_view sentence);
    static std::string line_of(const Key &key, const Burst &burst);

    std::map<Key, Burst> bursts_;
    size_t free_reasons_ = 0;
};

} // namespace rtd::net
