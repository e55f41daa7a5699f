// Admission: who may connect. It counts the connections of every address, and how fast they come,
// from accept to close, so that neither clients nor silent connections of one address lock others
// out. It only counts and says; who asks owns the sockets and acts. Time is passed in.
//
// A connection holds a Ticket. It is *under way* until it becomes a client: its request is still
// coming, or it is answered once. Refused connections are under way too, since a refusal is an
// answer like any other; but an address has places for few of those, and beyond them it is turned
// away: the connection is closed at once, with what can be said without reading its request.
//
// Memory: an address is forgotten once it has no connection and all of its burst to spend again, so
// at most those are known that are connected or were within kBurstSeconds (up to twice as many,
// because they are looked through only when their number has doubled).
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "gateway/admission/subnet.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace rtd::net {

// The limit that a connection is refused for.
enum class Refusal : uint8_t {
    max_clients,
    max_clients_per_address,
    connection_rate,
    under_way, // Admission::kMaxUnderWay
};

// As the log names it.
std::string name_of(Refusal refusal);

class Admission {
    struct Peer;

  public:
    static constexpr size_t kMaxUnderWay = 4096;
    // When no more may be under way, an address that has this many is refused; another one's
    // connection takes the place of the oldest.
    static constexpr size_t kFairShare = kMaxUnderWay / 4;
    static constexpr size_t kMaxRefusedPerAddress = 32; // being answered at a time
    // Who was quiet may open so many seconds' worth of connections at once: all browsers behind one
    // address come back together.
    static constexpr uint32_t kBurstSeconds = 10;

    // A connection's place, given back when it is destroyed. Must not outlive the Admission.
    class Ticket {
      public:
        Ticket() = default;
        Ticket(Ticket &&other) noexcept { swap(other); }
        Ticket &operator=(Ticket &&other) noexcept {
            Ticket taken(std::move(other)); // the old place is given back here
            swap(taken);
            return *this;
        }
        ~Ticket();

        std::optional<Refusal> refusal() const { return refusal_; }
        bool is_turned_away() const { return !peer_; }
        void become_client() { end_being_under_way(); }

      private:
        friend class Admission;
        explicit Ticket(Refusal refusal) : refusal_(refusal) {}
        Ticket(Admission *owner, Peer *peer, std::optional<Refusal> refusal);
        void swap(Ticket &other) noexcept;
        void end_being_under_way();

        Admission *owner_ = nullptr;
        Peer *peer_ = nullptr; // null: turned away, it has no place
        std::optional<Refusal> refusal_;
        bool is_under_way_ = false;
    };

    // Later calls change the limits from then on; who is there stays.
    void set_limits(const link::Settings &settings);

    // A new connection. `now_ms` never goes back.
    Ticket admit(const Address &address, uint64_t now_ms);

    // More than may be are under way: one must go, the oldest whose request has not come.
    bool is_overcrowded() const { return under_way_ > kMaxUnderWay; }
    size_t known_addresses() const { return peers_.size(); }

  private:
    // Tokens are counted from the other end: `spent` is 0 when all may be spent again, whatever the
    // rate is by then.
    struct Peer {
        uint32_t admitted = 0; // connections
        uint32_t refused = 0;
        uint32_t under_way = 0;
        double spent = 0;
        uint64_t since_ms = 0; // when `spent` was right
    };

    std::optional<Refusal> refusal_of(const Peer &peer) const;
    double spent_at(const Peer &peer, uint64_t now_ms) const;
    void forget_idle(uint64_t now_ms);

    uint32_t max_per_address_ = 0; // 0: any number
    uint32_t connection_rate_ = 0; // per second; 0: any
    size_t under_way_ = 0;
    std::map<Subnet, Peer> peers_; // in a tree: a hash table's cost is what an attacker makes it
    size_t look_through_at_ = 0;
};

} // namespace rtd::net
