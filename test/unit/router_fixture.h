// What tests of the router share: a host that records, and topics, events and time in short words.
// No clock, no socket, no server.
#pragma once
#include "router/router.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace rtd {

using link::Audience;
using link::TopicKind;

class RecordingHost : public RouterHost {
  public:
    void send(link::HubFrame frame) override { frames.push_back(std::move(frame)); }
    void send(const link::HubFrame &frame, const Subscribers &subscribers) override {
        frames.push_back(frame);
        reached.clear();
        for (const Subscribers::Share &share : subscribers.gateways())
            reached.insert(share.gateway);
    }
    std::optional<link::Ended> refuse(const Identity &identity, const Topic *topic) override {
        if ((topic != nullptr && forbidden.contains(topic->name)) ||
            dropped_roles.contains(identity.role))
            return link::Ended{0, CloseCode::forbidden, "no"};
        return std::nullopt;
    }
    // As the topic's types have it: what a test says of a text, else the text.
    Result<InstanceParams> canonical(const Topic &,
                                     const std::vector<std::string> &params) override {
        InstanceParams found;
        for (const std::string &param : params) {
            if (bad.contains(param))
                return Problem{"no such value: " + param};
            found.texts.push_back(texts.contains(param) ? texts.at(param) : param);
            const std::string &text = found.texts.back();
            found.match.push_back(matches.contains(text) ? matches.at(text) : text);
        }
        return found;
    }
    bool add_interest(Interest kind, uint64_t instance, uint64_t topic) override {
        if (full)
            return false;
        for (uint64_t key : {instance, topic})
            counts(kind)[key]++;
        return true;
    }
    void remove_interest(Interest kind, uint64_t instance, uint64_t topic) override {
        for (uint64_t key : {instance, topic})
            if (--counts(kind)[key] == 0)
                counts(kind).erase(key);
    }
    void clear_changed(uint64_t instance, uint64_t topic) override { cleared = {instance, topic}; }
    // What a query worker would answer.
    RetainedAnswer load_retained(const RetainedRead &read) {
        loads++;
        if (cannot_load)
            return {read.instance, true, "broken"};
        auto found = stored.find(read.topic);
        return {read.instance, false, found != stored.end() ? found->second : ""};
    }
    bool has_query_workers() const override { return has_workers; }
    bool logs_events() const override { return true; }
    void log_event(const std::string &line) override { lines.push_back(line); }
    void log_warning(const std::string &line) override { warnings.push_back(line); }

    // What was sent since the last call.
    std::vector<link::HubFrame> take() { return std::exchange(frames, {}); }
    template <class Frame> std::vector<Frame> take_all() {
        std::vector<Frame> found;
        for (const link::HubFrame &frame : take())
            if (const Frame *match = std::get_if<Frame>(&frame))
                found.push_back(*match);
        return found;
    }

    std::map<uint64_t, int> &counts(Interest kind) {
        return kind == Interest::subscriber ? interest : lingering;
    }

    std::vector<link::HubFrame> frames;
    std::set<GatewayNumber> reached; // by the last frame for subscribers of an instance
    std::set<std::string> forbidden;
    std::map<std::string, std::string> texts, matches; // of parameters
    std::set<std::string> bad;
    std::set<uint32_t> dropped_roles;
    std::map<uint64_t, int> interest, lingering;
    std::map<std::string, std::string> stored;
    std::vector<std::string> lines, warnings;
    std::vector<uint64_t> cleared;
    bool full = false;
    bool cannot_load = false;
    int loads = 0; // how often a retained message was asked for
    bool has_workers = true;
};

class RouterTest : public testing::Test {
  protected:
    RouterTest() { router.set_topics(topics, now); }

    Topic &add(const std::string &name, TopicKind kind) {
        auto topic = std::make_shared<Topic>();
        topic->name = name;
        topic->kind = kind;
        topic->type = name + "_update";
        topic->version = 1;
        Topic &made = *topic;
        topics[name] = std::move(topic);
        return made;
    }
    // The topic as its next version, yet to be applied.
    Topic &alter(const std::string &name) {
        auto topic = std::make_shared<Topic>(*topics.at(name));
        topic->version++;
        topics[name] = topic;
        return *topic;
    }
    void apply() { router.set_topics(topics, now); }
    void subscribe(uint64_t subscription, const std::string &topic,
                   std::vector<std::string> params = {}, const std::string &since = {}) {
        subscribe_as({}, subscription, topic, std::move(params), since);
    }
    void subscribe_as(const Identity &identity, uint64_t subscription, const std::string &topic,
                      std::vector<std::string> params = {}, const std::string &since = {}) {
        router.subscribe({subscription, subscription, topic, std::move(params), since}, identity,
                         now);
        if (reads_at_once)
            read_retained();
        router.finish_turn(now);
    }
    void read_retained() {
        for (const RetainedRead &read : router.take_retained_reads(100))
            router.finish_retained_read(host.load_retained(read), now);
    }
    void resume(uint64_t subscription, const std::string &topic, const std::string &since) {
        subscribe(subscription, topic, {}, since);
    }
    void unsubscribe(uint64_t subscription) {
        router.unsubscribe(subscription, now);
        router.finish_turn(now);
    }
    void change(const std::string &topic, std::vector<std::optional<std::string>> params = {}) {
        Event event;
        event.topic = topic;
        event.params = std::move(params);
        event.payload = R"({"operation":"UPDATE","id":1})";
        router.handle(event, now);
        router.finish_turn(now);
    }
    void broadcast(const std::string &topic, const std::string &data,
                   std::vector<std::optional<std::string>> params = {}) {
        Event event;
        event.kind = EventKind::broadcast;
        event.topic = topic;
        event.params = std::move(params);
        event.payload = data;
        router.handle(event, now);
        router.finish_turn(now);
    }
    size_t jobs_due() {
        size_t count = 0;
        for (; std::optional<QueryJob> job = router.take_job(now, 8); count++)
            jobs.push_back(*job);
        return count;
    }
    void finish(uint64_t instance, const std::string &text, uint64_t hash) {
        router.finish_job(instance, {QueryOutcome::Status::ok, text, hash, 0}, now);
        router.finish_turn(now);
    }
    void pass(int64_t ms) {
        now.steady_ms += ms;
        now.wall_us += ms * 1000;
        router.finish_turn(now);
    }

    Now now{1'000'000, 1'790'000'000'000'000};
    RecordingHost host;
    Topics topics;
    Router router{host, 100};
    std::vector<QueryJob> jobs;
    bool reads_at_once = true;
};

} // namespace rtd
