// Gateways: the rtd-gateway processes of the hub, rtd.gateways of them, which share the port with
// SO_REUSEPORT. Each has its own link, its own state and its own restart: one that dies takes its
// subscriptions along and nobody else's. A frame goes only where somebody takes it, and is encoded
// once however many gateways that are.
//
// One that is silent for rtd.gateway_timeout, stopped or caught in a loop, is ended by the hub: its
// clients' connections would stay open, and nothing would come over them.
//
// The first one to start has the port to itself until it listens; only then the others start, and
// join it. So a foreign server on the port is an error, as it is for a single gateway.
#pragma once
#include "core/link.h"
#include "pg/hub/gateway_process.h"
#include "router/clock.h"
#include "router/gateway_id.h"
#include "router/subscribers.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pg/server/prelude.h"

extern "C" {
#include "storage/latch.h"
}

namespace rtd::pg {

class Gateways {
  public:
    // A frame of a client: with the hub's ids, and with totals over all gateways.
    using OnFrame = std::function<void(const link::GatewayFrame &, Now)>;
    // This one is gone, and all its clients with it.
    using OnEnd = std::function<void(GatewayNumber, Now)>;

    Gateways(OnFrame on_frame, OnEnd on_end);

    // Starts those that are due, and moves the bytes of those whose links woke the hub.
    void tend(Now now);
    // When tend() must be called at the latest; nullopt: only a link can cause work.
    std::optional<int64_t> next_deadline_ms() const;
    // Writes what the links take, without waiting.
    void flush();
    // What waits for all of them.
    size_t waiting_bytes() const;
    // The settings were read again. If the gateways are to listen elsewhere, or to be more or
    // fewer, they end, and tend() starts others.
    void reload(Now now);
    // Asks all to close their clients, and waits until they are gone or their time is over.
    void shut_down(CloseCode code, std::string_view reason, Now now);

    // To the gateway whose subscription, client or probe the frame names, if that still runs.
    void send(link::HubFrame frame);
    void send(const link::HubFrame &frame, const Subscribers &subscribers);
    // To all that listen; if none does, to the next one that will.
    void ping(uint64_t nonce);

    // The links as wait events of the hub. The set must be made anew when changes() is another one.
    uint64_t changes() const { return changes_; }
    size_t running() const;
    void add_to(WaitEventSet *set);
    void update(WaitEventSet *set);
    void mark_ready(const WaitEvent *events, int count);

  private:
    struct Gateway {
        GatewayProcess process;
        bool listens = false;
        bool is_ready = false;  // its link woke the hub
        bool is_traced = false; // which the log has said
        uint32_t clients = 0;
        int wait_event = 0; // its place in the set
    };

    bool any_listens() const;
    bool may_start() const;
    void make_room();
    void start_due(Now now);
    std::optional<int64_t> next_start_ms() const;
    void transfer(Gateway &gateway, Now now);
    void look_after(Gateway &gateway, Now now);
    void give_up(Gateway &gateway, Now now);
    void take(Gateway &gateway, link::GatewayFrame &frame, Now now);
    void take(Gateway &gateway, const link::Listening &listening);
    void take(Gateway &gateway, const link::ListenFailed &failure);
    void take(Gateway &gateway, const link::TlsFailed &failure);
    void end(Gateway &gateway, Now now);
    void forget(Gateway &gateway, Now now);
    Gateway *find(GatewayNumber number);
    uint32_t count_clients() const;
    std::string name(const Gateway &gateway) const;

    OnFrame on_frame_;
    OnEnd on_end_;
    std::vector<std::unique_ptr<Gateway>> gateways_; // remade only while none runs
    GatewayNumber last_number_ = 0;
    uint64_t changes_ = 0;
    uint64_t unanswered_ping_ = 0; // for the next one that listens
    std::string placement_;        // addresses, port and number they were started with
};

} // namespace rtd::pg
