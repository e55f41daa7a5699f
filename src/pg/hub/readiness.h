// Readiness: a proof that events really travel. A probe goes through the event queue into the hub,
// from there as a NOTIFY through the server's own LISTEN machinery back into the hub, and last to
// the gateway and back. On demand only: a NOTIFY assigns a transaction id and writes WAL. Anybody
// who reaches the gateway may ask it, so what gateways ask shares one NOTIFY a second; the other
// legs are cheap, and taken for each question.
#pragma once
#include "core/fence.h"
#include "router/clock.h"
#include "router/gateway_id.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace rtd::pg {

inline constexpr char kProbeChannel[] = "rtd_probe";

// The hub's side.
class Readiness {
  public:
    // A probe came out of the event queue: sends it on as a notification, unless it is a gateway's
    // and one was sent just now. Returns the nonce if that one has come back, else 0.
    uint64_t on_event(const std::string &nonce, Now now);
    // Channels are others now: what came back before proves nothing about them.
    void forget_proof() { sent_at_ms_.reset(); }
    // It came back through LISTEN. Returns the nonce, 0 if it is none of ours.
    uint64_t on_notification(const std::string &payload);
    // A gateway asks whether the server is ready: starts a probe for it.
    void on_gateway_probe(uint64_t gateway_probe);
    // The gateways' probes that are proved by this nonce.
    std::set<uint64_t> take_gateway_probes(uint64_t nonce);
    // A gateway answered: wakes the backends that wait for it.
    static void finish(uint64_t nonce);
    void forget_gateway(GatewayNumber gateway);

  private:
    std::map<uint64_t, uint64_t> gateway_probes_; // nonce to the gateway's probe
    std::optional<int64_t> sent_at_ms_;           // the last notification
    uint64_t sent_ = 0;                           // its nonce
    uint64_t joined_ = 0; // the newest probe that waits for it instead of sending its own
    bool came_back_ = false;
};

} // namespace rtd::pg
