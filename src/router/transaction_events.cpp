// What becomes of a transaction's events; the rules are in transaction_events.h.
#include "router/transaction_events.h"

#include "core/json_text.h"

#include <algorithm>

namespace rtd {

void TransactionEvents::add(int level, const PreparedEvent &event, const std::string &topic,
                            Delivery delivery, const Bounds &bounds) {
    const HeldEvents::Tally *tally = held_.find_tally(event.topic_key);
    if (tally != nullptr && tally->is_collapsed)
        return;
    if (event.bytes.size() > bounds.bytes) {
        add_lost(level, topic, "an event was larger than rtd.queue_size", delivery);
    } else if (tally != nullptr &&
               (tally->events >= bounds.events || tally->bytes > bounds.bytes)) {
        held_.collapse(level, event.topic_key);
        add_lost(level, topic, "a transaction made more events than rtd.max_transaction_events",
                 delivery);
    } else {
        held_.add(level, event, delivery);
    }
}

void TransactionEvents::add_lost(int level, const std::string &topic, const std::string &reason,
                                 Delivery delivery) {
    Event lost;
    lost.kind = EventKind::lost;
    lost.topic = topic;
    lost.payload = "{\"reason\": " + json_quote(reason) + "}";
    // A retained or stored message is lost also if nobody subscribes, and a keyed topic's loss has
    // no more need of a place in the order than its changes.
    bool keeps = delivery == Delivery::always || delivery == Delivery::stored ||
                 delivery == Delivery::keyed_change;
    held_.add(level, prepare(lost), keeps ? delivery : Delivery::if_subscribed);
}

bool TransactionEvents::has_or_add_key(int level, uint64_t key, uint64_t topic_key) {
    return held_.is_collapsed(topic_key) || !held_.add_key(level, key);
}

bool TransactionEvents::must_be_announced() const {
    return std::ranges::any_of(held_.events(), is_announced);
}

} // namespace rtd
