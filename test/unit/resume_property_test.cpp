// Random events, losses, subscribers that leave and come back with the last id they saw, gateways
// that die with frames on the way, each at its own pace, and time: every client of an event topic
// gets exactly what a simple model of the rules says, number by number, and every client of a state
// topic ends with the current state. Prints the seed of a run that fails; RTD_SEED repeats it.
#include "core/envelope.h"
#include "router/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <random>
#include <set>

namespace rtd {
namespace {

using link::Audience;
using link::TopicKind;

constexpr int64_t kLingerMs = 6000;

// What a client of an event topic must get next.
struct Expected {
    int what;          // index in the topic's timeline; kResumeGap
    uint64_t sequence; // of the message
};
constexpr int kResumeGap = -1;

// All that ever happened to a topic, and what the instance that is there knows of it.
struct Model {
    std::shared_ptr<Topic> topic;
    std::vector<bool> is_loss; // the timeline
    int stored = -1;           // newest event that is stored
    // The instance.
    bool exists = false;
    int number = 0; // how many there were before
    uint64_t epoch = 0;
    std::vector<int> made; // its messages, as indexes in the timeline; sequences from 1
    bool loaded = false;
    int unstored = -1;
    std::optional<int64_t> left_ms;

    int newest(bool loss) const {
        for (int i = static_cast<int>(is_loss.size()) - 1; i >= 0; i--)
            if (is_loss[static_cast<size_t>(i)] == loss)
                return i;
        return -1;
    }
};

struct Client {
    std::string topic;
    uint64_t subscription = 0; // as the hub names it; 0: not connected
    std::string last_id;
    // Of an event topic:
    std::deque<Expected> expected;
    int instance_number = -1; // where it was when it saw last_id
    uint64_t sequence = 0;
    // Of a state topic:
    std::string shown;
};

// One of several; what it knows has its own ids.
struct Gateway {
    std::vector<link::HubFrame> frames;                             // on their way to it
    std::map<uint64_t, std::map<bool, std::set<uint64_t>>> rosters; // by instance and waiting
    uint64_t last_subscription = 0;
};
constexpr GatewayNumber kGateways = 3;

class World : public RouterHost {
  public:
    explicit World(uint32_t seed) : random_(seed), router_(*this, 1000) {
        router_.set_settings({.linger_ms = kLingerMs});
        for (bool retain : {false, true})
            for (int64_t history : {0, 2, 20})
                add("e" + std::to_string(history) + (retain ? "r" : ""), TopicKind::event, history,
                    retain);
        add("state", TopicKind::state, 10, false);
        router_.set_topics(topics_, now_);
        for (GatewayNumber gateway = 1; gateway <= kGateways; gateway++)
            gateways_[gateway];
        for (auto &[name, topic] : topics_)
            for (int i = 0; i < 4; i++)
                clients_.emplace_back().topic = name;
    }

    void run(int steps) {
        for (int step = 0; step < steps && !testing::Test::HasFailure(); step++) {
            for (int acts = between(1, 4); acts > 0; acts--) {
                now_.steady_ms += between(1, 20);
                now_.wall_us = now_.steady_ms * 1000;
                act();
            }
            end_turn();
        }
        settle();
    }

    int resumed() const { return resumed_; }
    int gaps() const { return gaps_; }

    // RouterHost
    void send(link::HubFrame frame) override {
        // One that waits for a query that no worker takes for long is told so, and comes back.
        if (const auto *ended = std::get_if<link::Ended>(&frame))
            for (Client &client : clients_)
                if (client.topic == "state" && client.subscription == ended->subscription)
                    client.subscription = 0;
        std::optional<GatewayNumber> gateway = to_own_ids(frame);
        ASSERT_TRUE(gateway.has_value());
        gateways_.at(*gateway).frames.push_back(std::move(frame));
    }
    void send(const link::HubFrame &frame, const Subscribers &subscribers) override {
        for (const Subscribers::Share &share : subscribers.gateways())
            gateways_.at(share.gateway).frames.push_back(frame);
    }
    std::optional<link::Ended> refuse(const Identity &, const Topic *) override {
        return std::nullopt;
    }
    bool add_interest(Interest, uint64_t instance, uint64_t) override {
        interest_[instance]++;
        return true;
    }
    void remove_interest(Interest, uint64_t instance, uint64_t) override {
        ASSERT_GT(interest_[instance]--, 0);
    }
    void clear_changed(uint64_t, uint64_t) override { is_marked_ = false; }
    bool logs_events() const override { return false; }
    void log_event(const std::string &) override {}
    void log_warning(const std::string &) override {}

  private:
    int between(int least, int most) {
        return std::uniform_int_distribution<int>(least, most)(random_);
    }

    void add(const std::string &name, TopicKind kind, int64_t history, bool retain) {
        auto topic = std::make_shared<Topic>();
        topic->name = topic->type = name;
        topic->kind = kind;
        topic->history = history;
        topic->retain = retain;
        topic->throttle_ms = 50;
        topics_[name] = topic;
        models_[name].topic = topic;
    }

    // ---- what happens ----

    void act() {
        switch (between(0, 9)) {
        case 0:
        case 1:
        case 2:
            return event(some_topic());
        case 3:
            return change_state();
        case 4:
            return lose(some_topic());
        case 5:
            return connect(clients_[static_cast<size_t>(between(0, int(clients_.size()) - 1))]);
        case 6: {
            Client &client = clients_[static_cast<size_t>(between(0, int(clients_.size()) - 1))];
            if (client.subscription != 0 && between(0, 2) == 0)
                disconnect(client);
            return;
        }
        case 7:
            if (between(0, 9) == 0)
                lose_gateway();
            return;
        case 8:
            return between(0, 1) ? work() : store();
        case 9:
            if (between(0, 9) == 0)
                now_.steady_ms += between(0, 2 * int(kLingerMs));
            return;
        }
    }

    std::string some_topic() {
        return std::next(topics_.begin(), between(0, int(topics_.size()) - 1))->first;
    }

    bool is_heard(const std::string &topic) {
        return interest_[instance_key(topic, {})] > 0 || topics_[topic]->retain;
    }

    void event(const std::string &name) {
        if (name == "state")
            return;
        Model &model = models_[name];
        int index = static_cast<int>(model.is_loss.size());
        model.is_loss.push_back(false);
        if (!is_heard(name))
            return;
        if (!model.exists && model.topic->retain)
            begin(model);
        made(model, index);
        if (model.topic->retain) {
            model.loaded = true;
            model.unstored = index;
        }
        Event event;
        event.kind = EventKind::broadcast;
        event.topic = name;
        event.payload = std::to_string(index);
        router_.handle(event, now_);
    }

    void lose(const std::string &name) {
        Model &model = models_[name];
        int index = static_cast<int>(model.is_loss.size());
        model.is_loss.push_back(true);
        made(model, index);
        router_.handle_loss([&](uint64_t key) { return key == topic_key(name); },
                            std::to_string(index), now_);
    }

    void change_state() {
        version_ += between(0, 1);
        if (!is_heard("state") || is_marked_)
            return;
        is_marked_ = true;
        Event event;
        event.topic = "state";
        router_.handle(event, now_);
    }

    // A query worker: takes a job, or is done with one.
    void work() {
        if (job_) {
            router_.finish_job(job_->first,
                               {QueryOutcome::Status::ok, std::to_string(job_->second),
                                static_cast<uint64_t>(job_->second), 0},
                               now_);
            job_.reset();
        } else if (std::optional<QueryJob> job = router_.take_job(now_, 1)) {
            EXPECT_TRUE(std::ranges::any_of(clients_, [](const Client &client) {
                return client.topic == "state" && client.subscription != 0;
            })) << "a query without a subscriber";
            job_ = {job->instance, version_};
        }
    }

    void store() {
        for (const RetainedMessage &message : router_.unstored_messages(100, 1 << 20)) {
            stored_[message.topic] = message.message;
            Model &model = models_[message.topic];
            model.stored = std::exchange(model.unstored, -1);
            EXPECT_EQ(json_member(message.message, "data"), std::to_string(model.stored));
            router_.mark_stored(message.instance, message.sequence);
            if (model.topic->retain && subscribers(message.topic) == 0 && !model.left_ms)
                model.exists = false;
        }
    }

    // ---- clients ----

    int subscribers(const std::string &topic) {
        return static_cast<int>(std::ranges::count_if(clients_, [&](const Client &client) {
            return client.topic == topic && client.subscription != 0;
        }));
    }

    void connect(Client &client) {
        if (client.subscription != 0)
            return;
        auto &[number, gateway] = some_gateway();
        client.subscription = hub_id(number, ++gateway.last_subscription);
        std::string since = between(0, 4) > 0 ? client.last_id : "";
        if (client.topic != "state")
            expect(client, !since.empty());
        router_.subscribe({client.subscription, 1, client.topic, {}, since}, {}, now_);
        for (const RetainedRead &read : router_.take_retained_reads(1)) {
            auto found = stored_.find(read.topic);
            router_.finish_retained_read(
                {read.instance, false, found != stored_.end() ? found->second : ""}, now_);
        }
    }

    void disconnect(Client &client) {
        router_.unsubscribe(std::exchange(client.subscription, 0), now_);
        left(client.topic);
    }

    std::pair<const GatewayNumber, Gateway> &some_gateway() {
        return *std::next(gateways_.begin(), between(0, int(kGateways) - 1));
    }

    // Everything on the way to it is lost too; another one takes its place.
    void lose_gateway() {
        auto &[number, gateway] = some_gateway();
        gateway.frames.resize(static_cast<size_t>(between(0, int(gateway.frames.size()))));
        deliver(number, gateway);
        std::set<std::string> topics;
        for (Client &client : clients_) {
            if (client.subscription == 0 || gateway_of(client.subscription) != number)
                continue;
            client.subscription = 0;
            topics.insert(client.topic);
        }
        router_.forget_gateway(number, now_);
        gateways_[gateways_.rbegin()->first + 1];
        gateways_.erase(GatewayNumber(number));
        for (const std::string &topic : topics)
            left(topic);
    }

    // ---- the model ----

    void begin(Model &model) {
        model.exists = true;
        model.number++;
        model.epoch = 0;
        model.made.clear();
        model.loaded = false;
        model.left_ms.reset();
    }

    void made(Model &model, int index) {
        if (!model.exists)
            return;
        model.made.push_back(index);
        for (Client &client : clients_)
            if (models_.find(client.topic)->second.topic == model.topic && client.subscription != 0)
                client.expected.push_back({index, model.made.size()});
    }

    void left(const std::string &topic) {
        Model &model = models_[topic];
        if (!model.exists || subscribers(topic) > 0)
            return;
        if (model.topic->history > 0)
            model.left_ms = now_.steady_ms;
        else if (model.unstored < 0)
            model.exists = false;
    }

    void expect(Client &client, bool resumes) {
        Model &model = models_[client.topic];
        client.expected.clear();
        if (!model.exists)
            begin(model);
        model.left_ms.reset();
        int newest_loss = model.newest(true);
        if (!std::exchange(model.loaded, true) && model.topic->retain) {
            if (model.stored >= 0)
                model.made.push_back(model.stored);
            if (newest_loss > model.stored)
                model.made.push_back(newest_loss);
        }
        uint64_t all = model.made.size();
        auto history = static_cast<uint64_t>(model.topic->history);
        if (resumes && client.instance_number == model.number && all - client.sequence <= history) {
            resumed_++;
            for (uint64_t n = client.sequence; n < all; n++)
                client.expected.push_back({model.made[n], n + 1});
            return;
        }
        std::deque<Expected> greeting;
        if (model.topic->retain) {
            for (uint64_t n = all; n > 0; n--) {
                bool loss = model.is_loss[static_cast<size_t>(model.made[n - 1])];
                if (!loss || greeting.empty())
                    greeting.push_front({model.made[n - 1], n});
                if (!loss)
                    break;
            }
        }
        if (resumes) {
            gaps_++;
            uint64_t next = greeting.empty() ? all + 1 : greeting.front().sequence;
            greeting.push_front({kResumeGap, next - 1});
        }
        client.expected = greeting;
    }

    void end_turn() {
        router_.finish_turn(now_);
        for (auto &[name, model] : models_)
            if (model.left_ms && *model.left_ms + kLingerMs <= now_.steady_ms) {
                model.left_ms.reset();
                model.exists = model.unstored >= 0;
            }
        for (auto &[number, gateway] : gateways_)
            if (between(0, 2) > 0)
                deliver(number, gateway);
    }

    // ---- the gateways ----

    void deliver(GatewayNumber number, Gateway &gateway) {
        for (const link::HubFrame &frame : std::exchange(gateway.frames, {})) {
            if (const auto *subscribed = std::get_if<link::Subscribed>(&frame)) {
                Client *client = owner(number, subscribed->subscription);
                if (client == nullptr)
                    continue;
                gateway.rosters[subscribed->instance][subscribed->awaits_first].insert(
                    subscribed->subscription);
            } else if (const auto *replayed = std::get_if<link::Replayed>(&frame)) {
                if (Client *client = owner(number, replayed->subscription))
                    receive(*client, replayed->id, replayed->body);
            } else if (const auto *message = std::get_if<link::Message>(&frame)) {
                bool waiting = message->audience == Audience::waiting;
                auto &roster = gateway.rosters[message->instance];
                for (uint64_t subscription : roster[waiting])
                    if (Client *client = owner(number, subscription))
                        receive(*client, message->id, message->body);
                if (waiting)
                    roster[false].merge(roster[true]);
            }
        }
    }

    Client *owner(GatewayNumber number, uint64_t subscription) {
        for (Client &client : clients_)
            if (client.subscription == hub_id(number, subscription))
                return &client;
        return nullptr;
    }

    void receive(Client &client, const std::string &id, const std::string &body) {
        std::string previous = std::exchange(client.last_id, id);
        if (client.topic == "state") {
            client.shown = json_member(body, "data");
            return;
        }
        ASSERT_FALSE(client.expected.empty()) << client.topic << " should not get " << body;
        Expected expected = client.expected.front();
        client.expected.pop_front();
        bool is_gap = json_member(body, "kind") == "gap";
        if (expected.what == kResumeGap) {
            ASSERT_TRUE(is_gap) << client.topic << " should get a gap, not " << body;
        } else {
            auto index = static_cast<size_t>(expected.what);
            ASSERT_EQ(is_gap, models_[client.topic].is_loss[index]) << body;
            std::string said = is_gap ? json_member(json_member(body, "data"), "reason")
                                      : json_member(body, "data");
            ASSERT_EQ(said, std::to_string(expected.what)) << "after " << previous << ": " << body;
        }
        std::optional<MessageId> number = parse_message_id(id);
        ASSERT_TRUE(number.has_value()) << id;
        ASSERT_EQ(number->sequence, expected.sequence) << body;
        client.sequence = expected.sequence;
        // Frames still on their way were sent by the instance it subscribed to, which is there.
        client.instance_number = models_[client.topic].number;
    }

    // Nothing more happens: everybody must have everything.
    void settle() {
        for (int round = 0; round < 10; round++) {
            now_.steady_ms += 100;
            router_.finish_turn(now_);
            work();
            work();
        }
        for (auto &[number, gateway] : gateways_)
            deliver(number, gateway);
        for (const Client &client : clients_) {
            if (client.subscription == 0)
                continue;
            if (client.topic == "state")
                EXPECT_EQ(client.shown, std::to_string(version_));
            else
                EXPECT_TRUE(client.expected.empty()) << client.topic << " waits for more";
        }
    }

    std::mt19937 random_;
    Now now_{1'000'000, 1'000'000'000};
    Topics topics_;
    std::map<std::string, Model> models_;
    std::vector<Client> clients_;
    std::map<uint64_t, int> interest_;
    std::map<std::string, std::string> stored_;
    std::map<GatewayNumber, Gateway> gateways_;
    int version_ = 1;
    bool is_marked_ = false;
    std::optional<std::pair<uint64_t, int>> job_; // instance, and the version its snapshot has
    int resumed_ = 0;
    int gaps_ = 0;
    Router router_;
};

TEST(ResumeProperty, every_client_gets_what_it_missed_once_in_order_or_is_told) {
    const char *given = std::getenv("RTD_SEED");
    uint32_t first = given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10))
                                      : std::random_device{}();
    int runs = given != nullptr ? 1 : 20;
    int resumed = 0, gaps = 0;
    for (int run = 0; run < runs; run++) {
        uint32_t seed = first + static_cast<uint32_t>(run);
        World world(seed);
        world.run(1000);
        resumed += world.resumed();
        gaps += world.gaps();
        ASSERT_FALSE(HasFailure()) << "RTD_SEED=" << seed;
    }
    EXPECT_GT(resumed, 0) << "the run tried nothing";
    EXPECT_GT(gaps, 0);
    std::cout << "RTD_SEED=" << first << ": " << resumed << " resumed, " << gaps
              << " were told of a gap\n";
}

} // namespace
} // namespace rtd
