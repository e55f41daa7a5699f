#include "pg/hub/readiness.h"

#include <cstdlib>

#include "router/event.h"

#include "pg/server/boundary.h"
#include "pg/server/sql_function.h"
#include "pg/server/worker_transaction.h"
#include "pg/shared/event_queue.h"
#include "pg/shared/shared_state.h"

#include "pg/server/prelude.h"

extern "C" {
#include "commands/async.h"
#include "pgstat.h"
}

namespace rtd::pg {

namespace {

// How long it is proved that a NOTIFY comes back.
constexpr int64_t kProofMs = 1000;

uint64_t start_probe() {
    uint64_t nonce = pg_atomic_add_fetch_u64(&shared->next_probe, 1);
    Event probe;
    probe.kind = EventKind::probe;
    probe.origin = std::to_string(nonce);
    publish_now(encode(probe), topic_key(probe.topic));
    return nonce;
}

} // namespace

uint64_t Readiness::on_event(const std::string &text, Now now) {
    uint64_t nonce = std::strtoull(text.c_str(), nullptr, 10);
    bool is_recent = sent_at_ms_ && now.steady_ms - *sent_at_ms_ < kProofMs;
    if (is_recent && gateway_probes_.contains(nonce)) {
        joined_ = nonce;
        return came_back_ ? nonce : 0;
    }
    in_transaction([&] { call([&] { Async_Notify(kProbeChannel, text.c_str()); }); });
    sent_at_ms_ = now.steady_ms;
    sent_ = joined_ = nonce;
    came_back_ = false;
    return 0;
}

uint64_t Readiness::on_notification(const std::string &payload) {
    // Anybody may NOTIFY any channel: a number we did not give out proves nothing.
    char *end = nullptr;
    uint64_t nonce = std::strtoull(payload.c_str(), &end, 10);
    if (end == payload.c_str() || *end != '\0' || nonce > pg_atomic_read_u64(&shared->next_probe))
        return 0;
    came_back_ = came_back_ || nonce == sent_;
    return nonce;
}

void Readiness::on_gateway_probe(uint64_t gateway_probe) {
    gateway_probes_[start_probe()] = gateway_probe;
}

std::set<uint64_t> Readiness::take_gateway_probes(uint64_t nonce) {
    std::set<uint64_t> proved;
    if (nonce == sent_)
        nonce = joined_;
    while (!gateway_probes_.empty() && gateway_probes_.begin()->first <= nonce) {
        proved.insert(gateway_probes_.begin()->second);
        gateway_probes_.erase(gateway_probes_.begin());
    }
    return proved;
}

void Readiness::forget_gateway(GatewayNumber gateway) {
    std::erase_if(gateway_probes_,
                  [&](const auto &probe) { return gateway_of(probe.second) == gateway; });
}

void Readiness::finish(uint64_t nonce) {
    if (nonce <= pg_atomic_read_u64(&shared->finished_probe))
        return;
    pg_atomic_write_u64(&shared->finished_probe, nonce);
    ConditionVariableBroadcast(&shared->probe_finished);
}

namespace {

constexpr int64 kMicrosecondsPerMillisecond = 1000;

int64 timeout_in_ms(const Interval *timeout) {
    if (timeout->month != 0)
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "timeout must not contain months");
    int64 us = timeout->time + timeout->day * USECS_PER_DAY;
    if (us < 0)
        throw Error(ERRCODE_INVALID_PARAMETER_VALUE, "timeout must not be negative");
    return us / kMicrosecondsPerMillisecond;
}

// True once a probe of this call has come all the way back.
bool wait_until_ready(int64 timeout_ms) {
    TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
    uint64_t nonce = 0;
    call([] { ConditionVariablePrepareToSleep(&shared->probe_finished); });
    while (true) {
        // A hub that starts later finds the probe in the queue.
        if (nonce == 0 && shared->hub_database == MyDatabaseId)
            nonce = start_probe();
        if (nonce != 0 && pg_atomic_read_u64(&shared->finished_probe) >= nonce)
            break;
        long left_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
        if (left_ms <= 0)
            break;
        // The hub announces its start on the same condition variable.
        call([&] {
            ConditionVariableTimedSleep(&shared->probe_finished, left_ms, PG_WAIT_EXTENSION);
        });
    }
    ConditionVariableCancelSleep();
    return nonce != 0 && pg_atomic_read_u64(&shared->finished_probe) >= nonce;
}

} // namespace

} // namespace rtd::pg

RTD_FUNCTION(rtd_wait_until_ready) {
    using namespace rtd::pg;
    return enter([&]() -> Datum {
        if (PG_ARGISNULL(0))
            throw Error(ERRCODE_NULL_VALUE_NOT_ALLOWED, "timeout must not be null");
        int64 timeout_ms = timeout_in_ms(PG_GETARG_INTERVAL_P(0));
        if (shared == nullptr)
            throw Error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "rtd is not loaded by the server",
                        {}, "Add rtd to shared_preload_libraries and restart the server.");
        return BoolGetDatum(wait_until_ready(timeout_ms));
    });
}
