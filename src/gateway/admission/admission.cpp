#include "gateway/admission/admission.h"

#include <algorithm>
#include <utility>

namespace rtd::net {

namespace {

constexpr size_t kFewAddresses = 1024; // not worth looking through

} // namespace

std::string name_of(Refusal refusal) {
    switch (refusal) {
    case Refusal::max_clients:
        return "rtd.max_clients";
    case Refusal::max_clients_per_address:
        return "rtd.max_clients_per_address";
    case Refusal::connection_rate:
        return "rtd.connection_rate";
    case Refusal::under_way:
        return std::to_string(Admission::kMaxUnderWay) + " requests under way";
    }
    return "";
}

// ---- tickets ----

Admission::Ticket::Ticket(Admission *owner, Peer *peer, std::optional<Refusal> refusal)
    : owner_(owner), peer_(peer), refusal_(refusal), is_under_way_(true) {
    (refusal_ ? peer_->refused : peer_->admitted)++;
    peer_->under_way++;
    owner_->under_way_++;
}

Admission::Ticket::~Ticket() {
    if (!peer_)
        return;
    end_being_under_way();
    (refusal_ ? peer_->refused : peer_->admitted)--;
}

void Admission::Ticket::end_being_under_way() {
    if (!std::exchange(is_under_way_, false))
        return;
    peer_->under_way--;
    owner_->under_way_--;
}

void Admission::Ticket::swap(Ticket &other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(peer_, other.peer_);
    std::swap(refusal_, other.refusal_);
    std::swap(is_under_way_, other.is_under_way_);
}

// ---- admission ----

void Admission::set_limits(const link::Settings &settings) {
    max_per_address_ = settings.max_clients_per_address;
    connection_rate_ = settings.connection_rate;
}

Admission::Ticket Admission::admit(const Address &address, uint64_t now_ms) {
    if (peers_.size() >= std::max(look_through_at_, kFewAddresses))
        forget_idle(now_ms);
    Peer &peer = peers_[Subnet(address)];
    peer.spent = spent_at(peer, now_ms);
    peer.since_ms = now_ms;
    std::optional<Refusal> refusal = refusal_of(peer);
    if (refusal && peer.refused >= kMaxRefusedPerAddress)
        return Ticket(*refusal);
    if (under_way_ >= kMaxUnderWay && peer.under_way >= kFairShare)
        return Ticket(Refusal::under_way);
    // A refused connection spends nothing: a crowd that keeps trying gets in as fast as the rate.
    if (!refusal && connection_rate_ != 0)
        peer.spent += 1;
    return Ticket(this, &peer, refusal);
}

std::optional<Refusal> Admission::refusal_of(const Peer &peer) const {
    if (max_per_address_ != 0 && peer.admitted >= max_per_address_)
        return Refusal::max_clients_per_address;
    double burst = static_cast<double>(connection_rate_) * kBurstSeconds;
    if (connection_rate_ != 0 && peer.spent + 1 > burst)
        return Refusal::connection_rate;
    return std::nullopt;
}

double Admission::spent_at(const Peer &peer, uint64_t now_ms) const {
    double earned = static_cast<double>(now_ms - peer.since_ms) * connection_rate_ / 1000;
    return connection_rate_ == 0 ? 0 : std::max(peer.spent - earned, 0.0);
}

void Admission::forget_idle(uint64_t now_ms) {
    std::erase_if(peers_, [&](const auto &entry) {
        const Peer &peer = entry.second;
        return peer.admitted == 0 && peer.refused == 0 && spent_at(peer, now_ms) == 0;
    });
    look_through_at_ = peers_.size() * 2;
}

} // namespace rtd::net
