#include "gateway/server.h"

#include "core/close_code.h"
#include "gateway/session/event_stream.h"
#include "gateway/session/multiplexed.h"
#include "gateway/session/reply.h"
#include "gateway/session/snapshot.h"
#include "gateway/session/websocket.h"

#include <array>
#include <malloc.h>
#include <utility>

namespace rtd::net {

namespace {

constexpr uint64_t kShutdownDeadlineMs = 1000;
constexpr size_t kMaxRoundBytes = 256 * 1024;
constexpr size_t kCrowd = 100; // clients that leave memory worth giving back
constexpr uint64_t kGiveBackMs = 10'000;

} // namespace

Server::Server(uv_loop_t *loop, Hub &hub)
    : hub_(hub), environment_(loop, hub), subscriptions_(hub, environment_.deflater),
      readiness_(loop, hub), listener_(loop, [this](Fd fd, const Address &address) {
          on_accept(std::move(fd), address);
      }) {
    environment_.connections.when_all_are_written([this] { on_all_written(); });
    uv_timer_init(loop, giving_back_.get());
    giving_back_->data = this;
    uv_timer_init(loop, shutdown_deadline_.get());
    shutdown_deadline_->data = this;
}

// ---- settings ----

std::optional<std::string> Server::load_tls(link::Settings &settings) {
    const link::Settings &before = environment_.settings;
    if (!settings.tls_problem.empty())
        return settings.tls_problem;
    if (settings.tls) {
        Result<TlsContext> made = TlsContext::make(
            settings.tls_certificate, std::move(settings.tls_key), settings.tls_min_version);
        if (!made)
            return made.error();
        tls_ = std::move(*made);
        if (!before.tls || settings.tls_certificate != before.tls_certificate)
            hub_.send(link::Note{"clients speak TLS; certificate: " + tls_->description()});
    } else {
        tls_.reset();
        if (before.tls)
            hub_.send(link::Note{"clients speak plain text"});
    }
    return std::nullopt;
}

std::optional<ListenFailure> Server::start(const link::Settings &settings) {
    apply_limits(settings);
    return listener_.listen(settings.listen_addresses, settings.port, settings.port_use);
}

void Server::reload(link::Settings settings) {
    link::Settings before = environment_.settings;
    if (std::optional<std::string> problem = load_tls(settings)) {
        hub_.send(link::TlsFailed{*problem, true});
        settings.tls = before.tls;
        settings.tls_certificate = before.tls_certificate;
    }
    apply_limits(settings);
}

void Server::apply_limits(const link::Settings &settings) {
    environment_.settings = settings;
    admission_.set_limits(settings);
    allowed_origins_ = AllowedOrigins(settings.allowed_origins);
    environment_.signs.set_wait(settings.ping_interval_ms);
}

// ---- at the door ----

void Server::on_accept(Fd fd, const Address &address) {
    AdmittedSocket socket(environment_.poller, std::move(fd));
    socket.ticket = admission_.admit(address, uv_now(environment_.loop));
    if (socket.ticket.is_turned_away()) {
        Refusal refusal = *socket.ticket.refusal();
        return turn_away(std::move(socket), address, refusal);
    }
    if (admission_.is_overcrowded()) {
        if (environment_.heads.empty())
            return turn_away(std::move(socket), address, Refusal::under_way);
        auto &oldest = static_cast<Arrival &>(environment_.heads.first()); // who else waits there
        turn_away(oldest.take_socket(), oldest.address(), Refusal::under_way);
    }
    if (tls_)
        socket.start_tls(*tls_);
    ArrivalOwner &owner = *this; // a private base
    auto arrival = std::make_unique<Arrival>(environment_, std::move(socket), address, owner);
    Arrival &added = *arrival;
    environment_.connections.add(std::move(arrival));
    added.begin();
}

// Closes at once. The answer is there if the client looks; what it has sent already is read first,
// because a close with unread bytes is a reset, which may overtake the answer.
void Server::turn_away(AdmittedSocket socket, const Address &address, Refusal refusal) {
    environment_.refusals.count(name_of(refusal), address);
    if (tls_)
        return; // an answer would cost the handshake that is to be spared
    std::array<char, kMaxHeadBytes> unread;
    (void)socket.read(unread.data(), unread.size());
    std::string text = render(answer_of(Limited{refusal}), true);
    iovec piece{text.data(), text.size()};
    (void)socket.write(&piece, 1);
}

// ---- requests ----

void Server::on_request(Arrival &arrival, const HttpRequest &request,
                        std::string_view what_follows) {
    std::optional<Refusal> refusal = arrival.ticket().refusal();
    if (!refusal && sessions_.size() >= environment_.settings.max_clients)
        refusal = Refusal::max_clients;
    Route to = route(request, {allowed_origins_, refusal, environment_.settings.compression});
    bool with_body = request.method != "HEAD";
    if (auto *join = std::get_if<Join>(&to))
        return open_session(arrival, *join, with_body, what_follows);
    if (std::holds_alternative<AskReadiness>(to))
        return readiness_.ask(environment_, arrival.take_socket(), with_body);
    if (auto *limited = std::get_if<Limited>(&to)) {
        environment_.refusals.count(name_of(limited->refusal), arrival.address());
        return answer(arrival, answer_of(*limited), with_body);
    }
    answer(arrival, std::get<Answer>(to), with_body);
}

void Server::on_bad_request(Arrival &arrival, RefusalReason reason, const std::string &sentence) {
    answer(arrival, error_answer(400, reason, sentence), true);
}

void Server::answer(Arrival &arrival, const Answer &answer, bool with_body) {
    if (answer.reason)
        environment_.refusals.count(*answer.reason, answer.sentence, arrival.address());
    auto reply = std::make_unique<Reply>(environment_, arrival.take_socket(), with_body);
    reply->answer(answer);
    environment_.connections.add(std::move(reply));
}

void Server::on_slow_request(Arrival &arrival) {
    environment_.refusals.count(RefusalReason::slow_request, "", arrival.address());
}

void Server::on_tls_failure(Arrival &arrival, const std::string &reason) {
    environment_.refusals.count("a TLS error (" + reason + ")", arrival.address());
}

// ---- sessions ----

std::unique_ptr<Session> Server::make_session(AdmittedSocket socket, Client client, Join &join,
                                              bool with_body) {
    switch (join.as) {
    case Join::As::websocket:
        return std::make_unique<WebSocket>(environment_, std::move(socket), std::move(client),
                                           join.upgrade);
    case Join::As::multiplexed:
        return std::make_unique<MultiplexedWebSocket>(environment_, std::move(socket),
                                                      std::move(client), join.upgrade);
    case Join::As::event_stream:
        return std::make_unique<EventStream>(environment_, std::move(socket), std::move(client),
                                             std::move(join.headers));
    case Join::As::snapshot:
        return std::make_unique<Snapshot>(environment_, std::move(socket), std::move(client),
                                          std::move(join.headers), with_body,
                                          std::move(join.if_none_match));
    }
    return nullptr;
}

void Server::open_session(Arrival &arrival, Join &join, bool with_body,
                          std::string_view what_follows) {
    arrival.ticket().become_client();
    Client client{++last_client_, to_string(arrival.address()), Subnet(arrival.address()), *this,
                  subscriptions_};
    auto made = make_session(arrival.take_socket(), std::move(client), join, with_body);
    Session &session = *made;
    environment_.connections.add(std::move(made));
    sessions_.emplace(session.id(), &session);
    hub_.send(link::ClientConnected{session.id(), session.address(),
                                    static_cast<uint32_t>(sessions_.size())});
    if (join.as != Join::As::multiplexed)
        subscriptions_.open(session, std::move(join.topic), std::move(join.since), "");
    session.receive(what_follows);
}

void Server::on_session_gone(Session &session) {
    subscriptions_.close_all(session);
    sessions_.erase(session.id());
    if (session.dropped() > 0)
        hub_.send(link::Note{"client " + session.address() + " read slowly and skipped " +
                             std::to_string(session.dropped()) + " messages"});
    hub_.send(link::ClientDisconnected{session.id(), session.address(), session.close_code(),
                                       session.close_reason(),
                                       static_cast<uint32_t>(sessions_.size())});
    if (++ended_sessions_ >= kCrowd)
        give_memory_back_later();
    finish_if_done();
}

// What a crowd of clients had, once it has gone: the allocator would keep it. It takes
// milliseconds, so not more often than this.
void Server::give_memory_back_later() {
    if (uv_is_active(reinterpret_cast<uv_handle_t *>(giving_back_.get())))
        return;
    uv_timer_start(
        giving_back_.get(),
        [](uv_timer_t *timer) {
            static_cast<Server *>(timer->data)->ended_sessions_ = 0;
            malloc_trim(0);
        },
        kGiveBackMs, 0);
}

void Server::handle(link::Published &published) {
    auto found = sessions_.find(published.client);
    if (found != sessions_.end())
        found->second->on_published(published);
}

// Whoever has not been written yet gets several messages in one write. How many is bounded, by
// less than a client may have waiting: beyond that the link waits until all are written.
void Server::end_of_frames() {
    subscriptions_.send_batches();
    round_bytes_ += subscriptions_.take_collected_bytes();
    if (round_bytes_ >= kMaxRoundBytes)
        hub_.hold_back(true);
}

void Server::on_all_written() {
    if (std::exchange(round_bytes_, 0) >= kMaxRoundBytes)
        hub_.hold_back(false);
}

// ---- the end ----

void Server::shut_down(CloseCode code, const std::string &reason, std::function<void()> done) {
    if (done_)
        return;
    done_ = std::move(done);
    listener_.stop();
    while (!environment_.heads.empty())
        environment_.heads.first().vanish("");
    for (auto &[client, session] : sessions_)
        subscriptions_.end(*session, code, reason);
    environment_.refusals.report();
    uv_timer_start(
        shutdown_deadline_.get(),
        [](uv_timer_t *timer) { static_cast<Server *>(timer->data)->done_(); }, kShutdownDeadlineMs,
        0);
    finish_if_done();
}

void Server::finish_if_done() {
    if (!done_ || !sessions_.empty())
        return;
    uv_timer_stop(shutdown_deadline_.get());
    done_();
}

} // namespace rtd::net
