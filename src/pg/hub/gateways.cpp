#include "pg/hub/gateways.h"

#include <algorithm>
#include <chrono>
#include <poll.h>
#include <utility>

#include "pg/hub/link_settings.h"
#include "pg/server/boundary.h"
#include "pg/server/report.h"
#include "pg/server/settings.h"

#include "pg/server/prelude.h"

namespace rtd::pg {

namespace {

// What clients get to take their close frame.
constexpr std::chrono::milliseconds kShutdownTime(2000);
// The Ping that asks for a sign of life; those of probes have other numbers.
constexpr uint64_t kSignOfLife = 0;
// One that starts may wait for a name server, and no client waits for it.
constexpr int64_t kStartPatience = 4;

int64_t patience_ms(bool listens) {
    return int64_t{gateway_timeout_s} * 1000 * (listens ? 1 : kStartPatience);
}

std::string where_to_listen() {
    return std::string(listen_addresses) + ":" + std::to_string(port);
}

std::string placement() {
    return where_to_listen() + " " + std::to_string(gateways);
}

} // namespace

Gateways::Gateways(OnFrame on_frame, OnEnd on_end)
    : on_frame_(std::move(on_frame)), on_end_(std::move(on_end)) {}

// ---- start ----

size_t Gateways::running() const {
    return static_cast<size_t>(std::ranges::count_if(
        gateways_, [](const auto &gateway) { return gateway->process.is_running(); }));
}

bool Gateways::any_listens() const {
    return std::ranges::any_of(gateways_, [](const auto &gateway) { return gateway->listens; });
}

// While one has the port to itself and does not listen yet, the others wait.
bool Gateways::may_start() const {
    return any_listens() || running() == 0;
}

// As many as are wanted now.
void Gateways::make_room() {
    if (running() > 0 || placement_ == placement())
        return;
    placement_ = placement();
    gateways_.clear();
    for (int i = 0; i < gateways; i++)
        gateways_.push_back(std::make_unique<Gateway>());
}

void Gateways::start_due(Now now) {
    make_room();
    for (const auto &gateway : gateways_) {
        GatewayProcess &process = gateway->process;
        if (!may_start())
            return;
        if (process.is_running() || process.next_start_ms() > now.steady_ms)
            continue;
        link::Settings settings = gateway_settings();
        if (gateways_.size() > 1)
            settings.port_use = any_listens() ? link::PortUse::joined : link::PortUse::first;
        last_number_ = last_number_ % kMaxGatewayNumber + 1;
        process.start(last_number_, now);
        changes_++;
        process.send(link::encode(settings));
    }
}

std::optional<int64_t> Gateways::next_start_ms() const {
    if (!may_start())
        return std::nullopt; // it wakes the hub when it listens or ends
    std::optional<int64_t> next;
    for (const auto &gateway : gateways_)
        if (!gateway->process.is_running())
            next = std::min(next.value_or(INT64_MAX), gateway->process.next_start_ms());
    return next;
}

std::optional<int64_t> Gateways::next_deadline_ms() const {
    std::optional<int64_t> next = next_start_ms();
    for (const auto &gateway : gateways_)
        if (gateway->process.is_running() && gateway->process.has_frames())
            return 0;
    for (const auto &gateway : gateways_)
        if (gateway->process.is_running())
            if (auto look = gateway->process.next_look_ms(patience_ms(gateway->listens)))
                next = std::min(next.value_or(INT64_MAX), *look);
    return next;
}

// ---- what comes from them ----

void Gateways::tend(Now now) {
    start_due(now);
    for (const auto &gateway : gateways_)
        if (gateway->process.is_running() && (gateway->is_ready || gateway->process.has_frames()))
            transfer(*gateway, now);
    for (const auto &gateway : gateways_)
        if (gateway->process.is_running())
            look_after(*gateway, now);
}

void Gateways::look_after(Gateway &gateway, Now now) {
    Liveness::Verdict verdict = gateway.process.look(now, patience_ms(gateway.listens));
    if (verdict == Liveness::Verdict::silent) {
        transfer(gateway, now); // its answer may be there, in a turn that took long
        if (gateway.process.is_running())
            verdict = gateway.process.look(now, patience_ms(gateway.listens));
    }
    if (!gateway.process.is_running())
        return;
    if (verdict == Liveness::Verdict::silent)
        give_up(gateway, now);
    else if (verdict == Liveness::Verdict::ask)
        gateway.process.send(link::encode(link::Ping{kSignOfLife}));
}

// One that a debugger has stopped is somebody's work, and does not look like one that went wrong.
void Gateways::give_up(Gateway &gateway, Now now) {
    pid_t tracer = gateway.process.tracer();
    if (tracer == 0)
        return gateway.process.give_up("did not answer for " +
                                       std::to_string(patience_ms(gateway.listens) / 1000) +
                                       " s (rtd.gateway_timeout)");
    gateway.process.bear_with(now);
    if (!std::exchange(gateway.is_traced, true))
        report(LOG, "rtd hub: " + name(gateway) +
                        " does not answer, and is not ended, because process " +
                        std::to_string(tracer) + " traces it");
}

void Gateways::transfer(Gateway &gateway, Now now) {
    std::optional<std::string> end = gateway.process.transfer(
        [&](link::GatewayFrame &frame) { take(gateway, frame, now); }, now);
    if (!end)
        return;
    bool had_listened = gateway.listens;
    forget(gateway, now);
    // The others could not listen either: one attempt at a time is enough.
    if (!had_listened && running() == 0)
        for (const auto &other : gateways_)
            other->process.start_no_sooner(gateway.process.next_start_ms());
    report(WARNING, "rtd hub: " + name(gateway) + " " + *end + "; starting it again",
           "Clients reconnect by themselves; the server is not affected.");
}

void Gateways::take(Gateway &gateway, link::GatewayFrame &frame, Now now) {
    if (const auto *pong = std::get_if<link::Pong>(&frame); pong && pong->probe == kSignOfLife)
        return; // that it came is all there is to it
    if (const auto *listening = std::get_if<link::Listening>(&frame))
        return take(gateway, *listening);
    if (const auto *failure = std::get_if<link::ListenFailed>(&frame))
        return take(gateway, *failure);
    if (const auto *failure = std::get_if<link::TlsFailed>(&frame))
        return take(gateway, *failure);
    if (auto *connected = std::get_if<link::ClientConnected>(&frame)) {
        gateway.clients = connected->total;
        connected->total = count_clients();
    } else if (auto *gone = std::get_if<link::ClientDisconnected>(&frame)) {
        gateway.clients = gone->remaining;
        gone->remaining = count_clients();
    }
    on_frame_(frame, now);
}

void Gateways::take(Gateway &gateway, const link::Listening &listening) {
    std::string whose = gateways_.size() > 1 ? " (" + name(gateway) + ")" : "";
    for (const std::string &address : listening.addresses)
        report(LOG, "rtd hub: listening on " + address + whose);
    gateway.listens = true;
    gateway.process.mark_healthy();
    if (unanswered_ping_ != 0)
        ping(std::exchange(unanswered_ping_, 0));
}

void Gateways::take(Gateway &gateway, const link::ListenFailed &failure) {
    gateway.process.count_failure();
    report(WARNING, "rtd hub could not listen on " + failure.address + ": " + failure.error,
           "Is another server using that port? Set rtd.port or rtd.listen_addresses; the next "
           "attempt comes by itself.");
}

void Gateways::take(Gateway &gateway, const link::TlsFailed &failure) {
    if (!failure.goes_on)
        gateway.process.count_failure();
    report(WARNING, "rtd hub could not load the TLS certificate: " + failure.problem,
           failure.goes_on ? "The gateway goes on as before. Mend the files and reload."
                           : "The gateway does not listen. Mend the files and reload.");
}

void Gateways::end(Gateway &gateway, Now now) {
    if (!gateway.process.is_running())
        return;
    gateway.process.kill_and_reap();
    forget(gateway, now);
}

void Gateways::forget(Gateway &gateway, Now now) {
    changes_++;
    gateway.listens = false;
    gateway.is_traced = false;
    gateway.clients = 0;
    on_end_(gateway.process.number(), now);
}

uint32_t Gateways::count_clients() const {
    uint32_t clients = 0;
    for (const auto &gateway : gateways_)
        clients += gateway->clients;
    return clients;
}

std::string Gateways::name(const Gateway &gateway) const {
    if (gateways_.size() == 1)
        return "rtd-gateway";
    auto found = std::ranges::find(gateways_, &gateway, &std::unique_ptr<Gateway>::get);
    return "rtd-gateway " + std::to_string(found - gateways_.begin() + 1) + " of " +
           std::to_string(gateways_.size());
}

// ---- what goes to them ----

Gateways::Gateway *Gateways::find(GatewayNumber number) {
    auto found = std::ranges::find_if(gateways_, [&](const auto &gateway) {
        return gateway->process.is_running() && gateway->process.number() == number;
    });
    return found != gateways_.end() ? found->get() : nullptr;
}

void Gateways::send(link::HubFrame frame) {
    std::optional<GatewayNumber> number = to_own_ids(frame);
    if (Gateway *gateway = number ? find(*number) : nullptr)
        gateway->process.send(link::encode(frame));
}

void Gateways::send(const link::HubFrame &frame, const Subscribers &subscribers) {
    std::string bytes = link::encode(frame);
    for (const Subscribers::Share &share : subscribers.gateways())
        if (Gateway *gateway = find(share.gateway))
            gateway->process.send(bytes);
}

void Gateways::ping(uint64_t nonce) {
    if (!any_listens())
        unanswered_ping_ = std::max(unanswered_ping_, nonce);
    std::string bytes = link::encode(link::Ping{nonce});
    for (const auto &gateway : gateways_)
        if (gateway->listens)
            gateway->process.send(bytes);
}

void Gateways::flush() {
    for (const auto &gateway : gateways_)
        gateway->process.flush();
}

size_t Gateways::waiting_bytes() const {
    size_t bytes = 0;
    for (const auto &gateway : gateways_)
        bytes += gateway->process.waiting_bytes();
    return bytes;
}

void Gateways::reload(Now now) {
    for (const auto &gateway : gateways_)
        gateway->process.forget_failures(); // what failed may work now
    if (running() == 0)
        return;
    if (placement_ != placement()) {
        report(LOG, "rtd hub: starting rtd-gateway again to listen on " + where_to_listen());
        return shut_down(CloseCode::going_away, "the server starts its gateways again", now);
    }
    std::string settings = link::encode(gateway_settings());
    for (const auto &gateway : gateways_)
        gateway->process.send(settings);
}

// ---- end ----

void Gateways::shut_down(CloseCode code, std::string_view reason, Now now) {
    std::string farewell = link::encode(link::Shutdown{code, std::string(reason)});
    for (const auto &gateway : gateways_)
        gateway->process.send(farewell);
    auto deadline = std::chrono::steady_clock::now() + kShutdownTime;
    while (true) {
        std::vector<pollfd> links;
        for (const auto &gateway : gateways_) {
            GatewayProcess &process = gateway->process;
            if (!process.is_running())
                continue;
            if (process.drain())
                links.push_back({process.socket(),
                                 static_cast<short>(POLLIN | (process.wants_write() ? POLLOUT : 0)),
                                 0});
            else
                end(*gateway, now);
        }
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (links.empty() || left.count() <= 0)
            break;
        poll(links.data(), links.size(), static_cast<int>(left.count()));
    }
    for (const auto &gateway : gateways_)
        end(*gateway, now);
}

// ---- waiting ----

void Gateways::add_to(WaitEventSet *set) {
    for (const auto &gateway : gateways_)
        if (gateway->process.is_running())
            gateway->wait_event = AddWaitEventToSet(
                set, WL_SOCKET_READABLE, gateway->process.socket(), nullptr, gateway.get());
}

void Gateways::update(WaitEventSet *set) {
    for (const auto &gateway : gateways_) {
        uint32 events = (gateway->process.is_backed_up() ? 0 : WL_SOCKET_READABLE) |
                        (gateway->process.wants_write() ? WL_SOCKET_WRITEABLE : 0);
        if (gateway->process.is_running())
            ModifyWaitEvent(set, gateway->wait_event, events, nullptr);
    }
}

void Gateways::mark_ready(const WaitEvent *events, int count) {
    for (const auto &gateway : gateways_)
        gateway->is_ready = false;
    for (int i = 0; i < count; i++)
        if (events[i].user_data != nullptr)
            static_cast<Gateway *>(events[i].user_data)->is_ready = true;
}

} // namespace rtd::pg
