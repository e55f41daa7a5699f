#include "gateway/session/subscriptions.h"

#include <algorithm>
#include <utility>

namespace rtd::net {

namespace {

QueuePolicy policy_of(link::TopicKind kind) {
    return kind == link::TopicKind::state ? QueuePolicy::replace : QueuePolicy::limit;
}

// The hub knows the types: 042 is 42, and messages say so.
void take_params(Subscription &subscription, std::vector<std::string> &params) {
    std::vector<std::string> &known = subscription.topic.params;
    if (params.size() != known.size() || params == known)
        return;
    if (subscription.asked.empty())
        subscription.asked = std::move(known);
    known = std::move(params);
}

// The first message of an event topic is one, and must not count as a flood.
QueuePolicy first_policy_of(link::TopicKind kind) {
    return kind == link::TopicKind::event ? QueuePolicy::keep : policy_of(kind);
}

} // namespace

// ---- coming and going ----

void Subscriptions::open(Session &session, TopicPath topic, std::string since, std::string ref) {
    // clang 14 cannot make_unique() an aggregate.
    session.subscriptions.push_back(std::unique_ptr<Subscription>(
        new Subscription{session, std::move(topic), 0, std::move(ref)}));
    subscribe(*session.subscriptions.back(), std::move(since));
}

void Subscriptions::subscribe(Subscription &subscription, std::string since) {
    subscription.id = ++last_subscription_;
    subscription.has_lapsed = false;
    subscriptions_.emplace(subscription.id, &subscription);
    hub_.send(link::Subscribe{subscription.id, subscription.session.id(), subscription.topic.topic,
                              subscription.topic.params, std::move(since)});
}

void Subscriptions::unsubscribe(Subscription &subscription) {
    if (!subscriptions_.contains(subscription.id))
        return; // it has lapsed, or the hub has ended it
    hub_.send(link::Unsubscribe{subscription.id});
    detach(subscription);
}

// Ends the subscription on this side.
void Subscriptions::detach(Subscription &subscription) {
    subscriptions_.erase(subscription.id);
    if (!subscription.instance)
        return;
    auto found = instances_.find(*std::exchange(subscription.instance, std::nullopt));
    Instance &instance = found->second;
    instance.roster(subscription.audience).remove(subscription);
    instance.multiplexed -= subscription.session.is_multiplexed();
    if (instance.live.empty() && instance.waiting.empty())
        instances_.erase(found);
}

std::unique_ptr<Subscription> Subscriptions::take(Subscription &subscription) {
    auto &all = subscription.session.subscriptions;
    auto found = std::ranges::find(all, &subscription, &std::unique_ptr<Subscription>::get);
    std::unique_ptr<Subscription> taken = std::move(*found);
    all.erase(found);
    return taken;
}

void Subscriptions::close(Subscription &subscription) {
    unsubscribe(subscription);
    take(subscription);
}

void Subscriptions::close_all(Session &session) {
    for (const auto &subscription : session.subscriptions)
        unsubscribe(*subscription);
    session.subscriptions.clear();
}

void Subscriptions::end(Session &session, CloseCode code, std::string_view reason) {
    session.close(code, reason);
    close_all(session);
}

void Subscriptions::revive(Session &session) {
    for (const auto &subscription : session.subscriptions)
        if (subscription->has_lapsed)
            subscribe(*subscription, {});
}

// ---- frames of the hub ----

void Subscriptions::handle(link::Subscribed &subscribed) {
    send_batches();
    auto found = subscriptions_.find(subscribed.subscription);
    if (found == subscriptions_.end() || found->second->instance)
        return; // the client went away meanwhile, and Unsubscribe is on its way
    Subscription &subscription = *found->second;
    subscription.instance = subscribed.instance;
    subscription.kind = subscribed.kind;
    take_params(subscription, subscribed.params);
    subscription.audience =
        subscribed.awaits_first ? link::Audience::waiting : link::Audience::live;
    Instance &instance = instances_[subscribed.instance];
    instance.roster(subscription.audience).add(subscription);
    instance.multiplexed += subscription.session.is_multiplexed();
    if (std::exchange(subscription.is_accepted, true))
        return; // it had lapsed
    Consequences consequences;
    note(subscribed.subscription, subscription.session.on_subscribed(subscription, subscribed),
         consequences);
    draw(consequences);
}

void Subscriptions::handle(link::Ended &ended) {
    send_batches();
    auto found = subscriptions_.find(ended.subscription);
    if (found == subscriptions_.end())
        return;
    std::unique_ptr<Subscription> subscription = take(*found->second);
    detach(*subscription); // the hub knows: no Unsubscribe
    subscription->session.on_ended(*subscription, ended.code, ended.reason);
}

void Subscriptions::handle(link::Message &message) {
    bool is_live = message.audience == link::Audience::live;
    if (!is_live)
        send_batches(); // which may end the instance's last subscription, and so the instance
    auto found = instances_.find(message.instance);
    if (found == instances_.end())
        return;
    if (is_live)
        collect(found->second, message);
    else
        welcome(found->second, message);
}

// A session with several instances gets their messages in the order of the link: so a batch of one
// of them is continued only while it is the newest.
void Subscriptions::collect(Instance &instance, link::Message &message) {
    instance.first_deflated.reset();
    collected_bytes_ += message.body.size();
    bool is_newest = instance.batch + 1 == batches_.size();
    if (instance.batch != kNoBatch && (is_newest || instance.multiplexed == 0))
        return batches_[instance.batch].messages.add(std::move(message.body),
                                                     std::move(message.id));
    instance.batch = batches_.size();
    batches_.push_back(
        {message.instance, Outgoing(std::move(message.body), std::move(message.id), &deflater_)});
}

void Subscriptions::welcome(Instance &instance, link::Message &message) {
    Outgoing outgoing(std::move(message.body), std::move(message.id), &deflater_);
    if (instance.first_deflated && instance.first_id == outgoing.id())
        outgoing.reuse_deflated_frames(instance.first_deflated);
    Consequences consequences;
    instance.waiting.for_each([&](Subscription &subscription) {
        instance.waiting.remove(subscription);
        subscription.audience = link::Audience::live;
        instance.live.add(subscription);
        deliver(subscription, outgoing, first_policy_of(subscription.kind), consequences);
    });
    if (instance.live.size() > 1 && outgoing.made_deflated_frames()) {
        instance.first_id = outgoing.id();
        instance.first_deflated = outgoing.made_deflated_frames();
    }
    draw(consequences);
}

void Subscriptions::send_batches() {
    if (batches_.empty())
        return;
    std::vector<Batch> batches;
    batches.swap(batches_);
    for (Batch &batch : batches)
        if (auto found = instances_.find(batch.instance); found != instances_.end())
            found->second.batch = kNoBatch;
    for (Batch &batch : batches) {
        auto found = instances_.find(batch.instance);
        if (found == instances_.end())
            continue; // the last subscriber went because of an earlier batch
        Consequences consequences;
        found->second.live.for_each([&](Subscription &subscription) {
            deliver(subscription, batch.messages, policy_of(subscription.kind), consequences);
        });
        draw(consequences);
    }
}

// What was missed is bounded by the topic's history; a limit here would close a client that comes
// back, time and again, before it has got past it.
void Subscriptions::handle(link::Replayed &replayed) {
    send_batches();
    auto found = subscriptions_.find(replayed.subscription);
    if (found == subscriptions_.end())
        return;
    Outgoing outgoing(std::move(replayed.body), std::move(replayed.id));
    Consequences consequences;
    deliver(*found->second, outgoing, QueuePolicy::keep, consequences);
    draw(consequences);
}

void Subscriptions::handle(link::Control &control) {
    send_batches();
    auto found = instances_.find(control.instance);
    if (found == instances_.end())
        return;
    Outgoing outgoing(std::move(control.body), "");
    Consequences consequences;
    found->second.live.for_each([&](Subscription &subscription) {
        note(subscription.id, subscription.session.notify(subscription, outgoing), consequences);
    });
    draw(consequences);
}

void Subscriptions::handle(link::EndUntold &ended) {
    send_batches();
    auto found = instances_.find(ended.instance);
    if (found == instances_.end())
        return;
    std::vector<uint64_t> untold;
    found->second.live.for_each([&](Subscription &subscription) {
        if (!subscription.session.takes_control_messages())
            untold.push_back(subscription.id);
    });
    for (uint64_t subscription : untold)
        if (auto one = subscriptions_.find(subscription); one != subscriptions_.end())
            end(one->second->session, ended.code, ended.reason);
}

void Subscriptions::deliver(Subscription &subscription, Outgoing &messages, QueuePolicy policy,
                            Consequences &consequences) {
    note(subscription.id, subscription.session.deliver(subscription, messages, policy),
         consequences);
}

void Subscriptions::note(uint64_t subscription, Session::Delivery delivery,
                         Consequences &consequences) {
    if (delivery != Session::Delivery::taken)
        consequences.push_back({subscription, delivery});
}

void Subscriptions::draw(const Consequences &consequences) {
    for (const Consequence &consequence : consequences) {
        auto found = subscriptions_.find(consequence.subscription);
        if (found == subscriptions_.end())
            continue; // ended with its session
        Subscription &subscription = *found->second;
        if (consequence.delivery == Session::Delivery::enough) {
            close(subscription);
        } else if (subscription.kind == link::TopicKind::keyed) {
            unsubscribe(subscription);
            subscription.session.forget_waiting(subscription);
            subscription.has_lapsed = true;
        } else {
            end(subscription.session, CloseCode::too_slow, meaning(CloseCode::too_slow));
        }
    }
}

} // namespace rtd::net
