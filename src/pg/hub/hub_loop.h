// HubLoop: what the hub does, turn by turn, once it is connected. See hub.h for the process.
#pragma once
#include "pg/hub/access.h"
#include "pg/hub/gateways.h"
#include "pg/hub/notification_listener.h"
#include "pg/hub/publish_queue.h"
#include "pg/hub/query_pool.h"
#include "pg/hub/readiness.h"
#include "pg/hub/topic_loader.h"
#include "pg/server/boundary.h"
#include "pg/shared/event_queue.h"
#include "router/commit_order.h"
#include "router/load_meter.h"
#include "router/router.h"

#include <optional>
#include <string>

#include "pg/server/prelude.h"

extern "C" {
#include "storage/latch.h"
}

namespace rtd::pg {

class HubLoop final : private RouterHost {
  public:
    HubLoop();
    ~HubLoop() override;
    // Until the server asks the hub to end.
    void run();

  private:
    void turn();
    void sleep();
    void make_wait_set();
    void after_error(const std::string &message, const std::string &hint);

    static void watch_roles();
    void reload_settings(Now now);
    void reload_catalog_if_changed(Now now);
    bool follow_catalog(Now now);
    void check_access(Now now);
    void start_serving(Catalog catalog, Now now);
    void stop_serving(Now now);

    void drain_queue(Now now, size_t most);
    LostEvents take_events(Now now);
    void release_events(Now now, size_t most);
    void tell_lost(const LostEvents &lost, Now now);
    bool may_release() const;
    void drain_notifications(Now now);
    void handle(const link::GatewayFrame &frame, Now now);
    void handle(const link::Listening &, Now) {} // what concerns no client is for Gateways
    void handle(const link::ListenFailed &, Now) {}
    void handle(const link::TlsFailed &, Now) {}
    void handle(const link::ClientConnected &frame, Now now);
    void handle(const link::ClientDisconnected &frame, Now now);
    void handle(const link::Subscribe &frame, Now now);
    void handle(const link::Unsubscribe &frame, Now now);
    void handle(const link::Probe &frame, Now now);
    void handle(const link::Pong &frame, Now now);
    void handle(const link::Note &frame, Now now);
    void handle(const link::Publish &frame, Now now);
    std::optional<link::Ended> accept_publish(const link::Publish &frame);
    void note_full_publish_queue();
    void tend_queries(Now now);
    void give_memory_back();
    void tend_publishing();
    void tend_retained(Now now);
    void tend_messages(Now now);
    void lose_notifications(Now now);
    void keep_notification(Event event);
    void store_notifications(Now now);
    std::optional<ReadMore> handle(const WorkerReply &reply, Now now);
    std::optional<ReadMore> finish_job(const QueryDone &done, Now now);
    void handle_lost(const WorkerRequest &request, Now now);
    void forget_gateway(GatewayNumber gateway, Now now);
    void prove_ready(uint64_t nonce);
    void finish_store(const StoreDone &store);
    void store_all_retained();
    void answer_gateways(uint64_t nonce); // whose probes are proved by this one, if it is not 0
    void shut_down();

    // RouterHost
    void send(link::HubFrame frame) override { gateways_.send(std::move(frame)); }
    void send(const link::HubFrame &frame, const Subscribers &subscribers) override {
        gateways_.send(frame, subscribers);
    }
    std::optional<link::Ended> refuse(const Identity &identity, const Topic *topic) override;
    Result<InstanceParams> canonical(const Topic &topic,
                                     const std::vector<std::string> &params) override;
    bool add_interest(Interest interest, uint64_t instance_key, uint64_t topic_key) override;
    void remove_interest(Interest interest, uint64_t instance_key, uint64_t topic_key) override;
    void clear_changed(uint64_t instance_key, uint64_t topic_key) override;
    Result<std::optional<std::string>>
    load_retained(const std::string &topic, const std::vector<std::string> &params) override;
    bool has_query_workers() const override { return pool_.has_workers(); }
    std::optional<ReadOutcome> read_messages(const ReadJob &job) override;
    bool logs_events() const override;
    void log_event(const std::string &line) override;
    void log_warning(const std::string &line) override;

    bool serving() const { return !catalog_.schema.empty(); }

    Router router_;
    Catalog catalog_;
    Access access_;
    Listener listener_;
    Gateways gateways_{[this](const link::GatewayFrame &frame, Now now) { handle(frame, now); },
                       [this](GatewayNumber gateway, Now now) { forget_gateway(gateway, now); }};
    QueryPool pool_;
    QueryPool log_pool_{1}; // one job at a time, and never behind a slow query
    Readiness readiness_;
    MemoryContext turn_context_; // reset every turn
    CommitOrder order_;          // events that came in, until all before them have
    uint64_t release_bound_ = 0; // those up to here may go
    std::string drain_buffer_;
    LoadMeter load_;
    size_t most_bytes_ = 0; // of instances and for gateways, since memory was given back
    bool more_events_ = false;

    uint64_t seen_generation_ = 0;
    int64_t next_reload_ms_ = 0;                // after a failed reload
    std::vector<Event> unstored_notifications_; // for durable topics
    size_t unstored_bytes_ = 0;
    int64_t next_notification_store_ms_ = 0;
    bool waiting_logged_ = false;

    PublishQueue publishing_;
    std::optional<int64_t> publish_queue_noted_ms_;
    bool published_last_ = false; // a query goes first now

    std::optional<std::vector<RetainedMessage>> storing_; // handed to a query worker
    int64_t next_store_ms_ = 0;

    WaitEventSet *wait_set_ = nullptr;
    uint64_t wait_set_changes_ = 0; // of the gateways, when it was made
};

} // namespace rtd::pg
