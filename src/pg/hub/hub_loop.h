// HubLoop: what the hub does, turn by turn, once it is connected. See hub.h for the process.
#pragma once
#include "core/complaints.h"
#include "core/memory_return.h"
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

Now read_clock();

class HubLoop final : private RouterHost {
  public:
    HubLoop();
    ~HubLoop() override;
    // Until the server asks the hub to end.
    void run();

  private:
    static constexpr uint64_t kMostLines = 20; // about one problem in a while
    // Events that one turn hands to the router, so that clients and queries are looked after in
    // between; and those that wait for a turn at most, while later ones stay in the queue.
    static constexpr size_t kEventsPerTurn = 1000;
    static constexpr size_t kEventsPerBatch = 16; // see Router::expect()
    static constexpr size_t kMostWaiting = 16 * kEventsPerTurn;
    // Numbers that were not given within this time wait for a synchronous standby.
    static constexpr int64_t kNumberingPatienceMs = 100;
    // What a turn consists of. One that fails is tried again with a backoff; the others go on.
    enum class Part : uint8_t {
        catalog,
        notifications,
        replies,
        intake,
        gateways,
        queries,
        publishing,
        store,
        waiting
    };
    static constexpr size_t kParts = static_cast<size_t>(Part::waiting) + 1;
    // A retained message that a worker has, to be stored.
    struct Storing {
        uint64_t instance;
        uint64_t sequence;
        std::string topic;
    };
    struct PartState {
        int failures = 0; // in a row
        int64_t not_before_ms = 0;
    };

    void turn();
    template <class Body> void run_part(Part part, Now now, Body body);
    void after_error(Part part, const std::string &message, const std::string &hint, Now now);
    void sleep();
    std::optional<int64_t> next_deadline_ms() const;
    void make_wait_set();

    static void watch_roles();
    void reload_settings(Now now);
    void reload_catalog_if_changed(Now now);
    bool follow_catalog(Now now);
    void meet_registry_lock(const std::string &message, Now now);
    void compare_versions();
    void check_access(Now now);
    void start_serving(Catalog catalog, Now now);
    void stop_serving(Now now);

    void drain_queue(Now now, size_t most);
    LostEvents take_events(Now now);
    LostEvents drain_into_order(Now now);
    void release_events(Now now, size_t most);
    std::optional<std::string> decode_batch(size_t most, std::vector<Event> &batch);
    bool may_go() const;
    void tell_lost(const LostEvents &lost, Now now);
    void tell_losses(const LostEvents &lost, const char *reason, Now now);
    void lose_held_events(Now now);
    void tell_early_losses_again(Now now);
    bool holds_events() const { return !order_.empty() || early_losses_.count > 0; }
    bool may_release() const;
    void lose_undecoded(const std::string &problem, Now now);
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
    void give_memory_back(Now now);
    void collect_replies(Now now);
    void give_queries(Now now);
    void give_publishing();
    void give_store_jobs(Now now);
    bool give_log_job(Now now);
    bool give_retained_reads(Now now);
    bool give_notifications(Now now);
    bool give_retained(Now now);
    bool wants_store() const;
    QueryPool &pool_or_any(QueryPool &pool);
    const QueryPool &pool_or_any(const QueryPool &pool) const;
    void lose_notifications(Now now);
    void keep_notification(Event event);
    void finish_storing(const StoreNotificationsDone &done, Now now);
    std::optional<ReadMore> handle(const WorkerReply &reply, Now now);
    std::optional<ReadMore> finish_job(const QueryDone &done, Now now);
    void handle_lost(const WorkerRequest &request, const char *why, Now now);
    void handle_lost(const LogJob &job, const char *why, Now now);
    void finish_log_job(const LogOutcome &outcome, Now now);
    bool numbers_wait(Now now) const;
    QueryPool &store_workers(Now now);
    std::optional<int64_t> next_store_deadline_ms(Now now) const;
    void take_back_query(Now now);
    void forget_gateway(GatewayNumber gateway, Now now);
    void prove_ready(uint64_t nonce);
    void finish_store(const StoreDone &store);
    void finish_retained_reads(const ReadRetainedDone &done, Now now);
    // One line of a problem now and then: see complaints.h. False if it was left out.
    bool complain(const std::string &problem, int level, const std::string &message,
                  const std::string &hint = {}, uint64_t most = 1);
    void store_all_retained();
    void store_all_notifications();
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
    bool has_query_workers() const override { return pool_.has_workers(); }
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
    // Each of the last two does one job at a time, never behind a slow query, and starts when there
    // is something for it.
    QueryPool pool_;
    std::optional<uint64_t> query_in_hand_; // its instance, between the router and the pool
    QueryPool store_pool_{1};               // rtd's own tables: durable and retained messages
    QueryPool publish_pool_{1};             // what clients publish
    Readiness readiness_;
    Complaints complaints_;
    PartState parts_[kParts];
    MemoryContext turn_context_; // reset every turn
    CommitOrder order_;          // events that came in, until all before them have
    uint64_t release_bound_ = 0; // those up to here may go
    LostEvents early_losses_{};  // told while events from before them were held back
    LoadMeter load_;
    MemoryReturn memory_return_{16 << 20, 1 << 20}; // bytes of instances and for gateways
    bool more_events_ = false;

    uint64_t seen_generation_ = 0;
    int64_t next_reload_ms_ = 0;                // after a failed reload
    bool is_outdated_ = false;                  // it failed: there is what the hub has not read
    int registry_locks_ = 0;                    // that reloads met, in a row
    std::vector<Event> unstored_notifications_; // for durable topics
    size_t unstored_bytes_ = 0;
    size_t storing_notifications_ = 0; // the first so many, by a query worker
    int64_t next_notification_store_ms_ = 0;
    int notification_failures_ = 0;
    uint32_t last_store_kind_ = 0;              // of job; they take turns
    std::optional<int64_t> numbering_since_ms_; // numbers of durable messages are being given
    bool waiting_logged_ = false;
    std::string told_version_; // of the extension, when the log last said something about it

    PublishQueue publishing_;
    std::optional<int64_t> publish_queue_noted_ms_;
    uint64_t untold_losses_ = 0, untold_held_losses_ = 0; // that the log has no line about yet

    std::optional<std::vector<Storing>> storing_; // handed to a query worker
    int64_t next_store_ms_ = 0;

    WaitEventSet *wait_set_ = nullptr;
    uint64_t wait_set_changes_ = 0; // of the gateways, when it was made
};

} // namespace rtd::pg
