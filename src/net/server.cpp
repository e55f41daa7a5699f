#include "net/server.h"

#include "core/close_code.h"
#include "net/event_stream.h"
#include "net/lws_log.h"
#include "net/multiplexed.h"
#include "net/snapshot.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <sys/socket.h>
#include <utility>

namespace rtd::net {

namespace {

constexpr size_t kReceiveBytes = 1024; // buffer per client: clients send next to nothing
constexpr uint64_t kShutdownDeadlineMs = 1000;
constexpr int kAnswerSeconds = 20; // for an answer to be read: longer than /readyz may take
constexpr int kGoodbyeSeconds = 5;
constexpr const char *kProtocol = "rtd";

// What lws is told instead of the client's own request, see core/http_request.h.
std::string upgrade_head(const HttpRequest &request) {
    return "GET / HTTP/1.1\r\nHost: rtd\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
           request.websocket_key + "\r\n\r\n";
}

Connection *connection_of(lws *wsi) {
    return static_cast<Connection *>(lws_get_opaque_user_data(wsi));
}

// Only a WebSocket receives messages and close frames.
WebSocket &websocket_of(Connection &connection) {
    return static_cast<WebSocket &>(*connection.session);
}

} // namespace

Server::Server(uv_loop_t *loop, Hub &hub)
    : loop_(loop), hub_(hub),
      listener_(loop, [this](Fd fd, const Address &address) { on_accept(std::move(fd), address); }),
      arrivals_(loop,
                [this](Arrivals::Guest guest, const Result<HttpRequest> &request) {
                    on_request(std::move(guest), request);
                }),
      keepalive_(
          loop,
          [this](Session &session) {
              if (!session.ping())
                  keepalive_.saw_life(session);
          },
          [](Session &session) { session.kill("the client did not answer a ping"); }),
      deadlines_(
          loop, [](Session &session) { session.ping(); },
          [](Session &session) { session.kill("the client did not read its answer"); }),
      readiness_(loop, hub), subscriptions_(hub) {
    deadlines_.set_interval(kSnapshotDeadlineMs);
    uv_timer_init(loop_, shutdown_deadline_.get());
    shutdown_deadline_->data = this;
    uv_timer_init(loop_, refusals_due_.get());
    refusals_due_->data = this;
    create_context();
}

// The context is left to the exiting process: with a foreign loop lws 4.1 can only be destroyed in
// several turns of that loop, and there is nothing in it to save.
Server::~Server() = default;

void Server::create_context() {
    static const lws_protocols protocols[] = {
        // The last number lets a whole frame go out in one write.
        {kProtocol, on_lws, 0, kReceiveBytes, 0, nullptr, kFragmentBytes + kLongHeaderBytes},
        {nullptr, nullptr, 0, 0, 0, nullptr, 0},
    };
    log_lws_errors();
    void *loops[] = {loop_};
    lws_context_creation_info info{};
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = protocols;
    info.user = this;
    info.gid = static_cast<gid_t>(-1);
    info.uid = static_cast<uid_t>(-1);
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info.foreign_loops = loops;
    info.timeout_secs = kAnswerSeconds;
    context_ = lws_create_context(&info);
    vhost_ = context_ ? lws_create_vhost(context_, &info) : nullptr;
    if (!vhost_) {
        std::fprintf(stderr,
                     "rtd-gateway cannot start libwebsockets with its libuv event library\n");
        std::exit(1);
    }
}

// ---- settings ----

std::optional<ListenFailure> Server::start(const link::Settings &settings) {
    apply_limits(settings);
    return listener_.listen(settings.listen_addresses, settings.port);
}

void Server::reload(const link::Settings &settings) {
    bool moves =
        settings.port != settings_.port || settings.listen_addresses != settings_.listen_addresses;
    link::Settings before = settings_;
    apply_limits(settings);
    if (!moves)
        return;
    if (auto failure = listener_.listen(settings.listen_addresses, settings.port)) {
        settings_.listen_addresses = before.listen_addresses;
        settings_.port = before.port;
        return hub_.send(link::Note{"cannot listen on " + failure->address + ": " + failure->error +
                                    "; the gateway stays where it was until it is restarted"});
    }
    std::string list;
    for (const std::string &address : addresses())
        list += (list.empty() ? "" : ", ") + address;
    hub_.send(link::Note{"now listening on " + list});
}

void Server::apply_limits(const link::Settings &settings) {
    settings_ = settings;
    admission_.set_limits(settings);
    keepalive_.set_interval(settings.ping_interval_ms);
}

// ---- at the door ----

void Server::on_accept(Fd fd, const Address &address) {
    Admission::Ticket ticket = admission_.admit(address, uv_now(loop_));
    if (ticket.is_turned_away())
        return turn_away(std::move(fd), address, *ticket.refusal());
    if (admission_.is_overcrowded()) {
        std::optional<Arrivals::Guest> oldest = arrivals_.take_oldest();
        if (!oldest)
            return turn_away(std::move(fd), address, Refusal::under_way);
        turn_away(std::move(oldest->fd), oldest->address, Refusal::under_way);
    }
    arrivals_.add({std::move(fd), address, std::move(ticket)});
}

// Closes at once. The answer is there if the client looks; what it has sent already is read first,
// because a close with unread bytes is a reset, which may overtake the answer.
void Server::turn_away(Fd fd, const Address &address, Refusal refusal) {
    char unread[kMaxHeadBytes];
    (void)!recv(fd.get(), unread, sizeof unread, MSG_DONTWAIT);
    std::string text = render(limit_answer(refusal), true);
    (void)!send(fd.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    count_refusal(refusal, address);
}

void Server::count_refusal(Refusal refusal, const Address &address) {
    if (!refusals_.count(refusal, address))
        return;
    uv_timer_start(
        refusals_due_.get(),
        [](uv_timer_t *timer) { static_cast<Server *>(timer->data)->report_refusals(); },
        Refusals::kPeriodMs, 0);
}

void Server::report_refusals() {
    for (std::string &line : refusals_.report())
        hub_.send(link::Note{std::move(line)});
}

// ---- connections ----

void Server::on_request(Arrivals::Guest guest, const Result<HttpRequest> &request) {
    auto connection = std::make_unique<Connection>();
    connection->address = to_string(guest.address);
    std::optional<Refusal> refusal = guest.ticket.refusal();
    if (!refusal && sessions_.size() >= settings_.max_clients)
        refusal = Refusal::max_clients;
    connection->route = route(request, {settings_.allowed_origins, refusal});
    connection->with_body = !request || request->method != "HEAD";
    const Join *join = std::get_if<Join>(&connection->route);
    if (join)
        guest.ticket.become_client();
    connection->ticket = std::move(guest.ticket);
    const Answer *answer = std::get_if<Answer>(&connection->route);
    if (answer && answer->refusal)
        count_refusal(*answer->refusal, guest.address);
    if (join && (join->as == Join::As::websocket || join->as == Join::As::multiplexed))
        adopt_websocket(std::move(guest.fd), std::move(connection), upgrade_head(*request));
    else
        adopt_raw(std::move(guest.fd), std::move(connection));
}

void Server::adopt_websocket(Fd fd, std::unique_ptr<Connection> connection,
                             const std::string &head) {
    adopting_ = std::move(connection);
    // lws closes the socket if it fails; a null result may also mean that it is answered and gone.
    lws_adopt_socket_vhost_readbuf(vhost_, fd.release(), head.data(), head.size());
    adopting_.reset();
}

void Server::adopt_raw(Fd fd, std::unique_ptr<Connection> connection) {
    adopting_ = std::move(connection);
    lws_sock_file_fd_type socket{};
    socket.sockfd = fd.release();
    lws_adopt_descriptor_vhost(vhost_, LWS_ADOPT_SOCKET, socket, kProtocol, nullptr);
    adopting_.reset();
}

int Server::on_lws(lws *wsi, lws_callback_reasons reason, void *, void *in, size_t size) noexcept {
    auto *server = static_cast<Server *>(lws_context_user(lws_get_context(wsi)));
    bool is_new =
        reason == LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED || reason == LWS_CALLBACK_RAW_ADOPT;
    if (is_new && server->adopting_) {
        server->adopting_->wsi = wsi;
        lws_set_opaque_user_data(wsi, server->adopting_.release());
    }
    Connection *connection = connection_of(wsi);
    if (!connection)
        return 0; // lws's own affairs
    try {
        std::string_view bytes(static_cast<const char *>(in), in ? size : 0);
        return server->dispatch(wsi, *connection, reason, bytes);
    } catch (const std::exception &exception) {
        std::fprintf(stderr, "client %s: %s\n", connection->address.c_str(), exception.what());
        if (connection->session)
            connection->session->close(CloseCode::internal_error,
                                       meaning(CloseCode::internal_error));
        return connection->session ? 0 : -1;
    }
}

int Server::dispatch(lws *wsi, Connection &connection, lws_callback_reasons reason,
                     std::string_view bytes) {
    switch (static_cast<int>(reason)) { // of some hundred reasons, these are ours
    case LWS_CALLBACK_RAW_ADOPT:
        if (std::holds_alternative<Join>(connection.route))
            open_session(connection);
        else if (std::holds_alternative<AskReadiness>(connection.route))
            readiness_.ask(connection);
        else
            answer(connection);
        return 0;
    case LWS_CALLBACK_ESTABLISHED:
        open_session(connection);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_RAW_WRITEABLE:
        on_writable(connection);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        receive(websocket_of(connection), bytes);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        keepalive_.saw_life(*connection.session);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return peer_closes(websocket_of(connection), bytes);
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_RAW_CLOSE:
        if (connection.session)
            close_session(connection);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        readiness_.forget(connection);
        lws_set_opaque_user_data(wsi, nullptr);
        delete &connection;
        return 0;
    }
    return 0; // what a client sends after its request is not looked at
}

void Server::on_writable(Connection &connection) {
    if (!connection.session)
        return answer(connection);
    Session &session = *connection.session;
    keepalive_of(connection).saw_life(session);
    session.on_writable();
    if (session.has_nothing_waiting())
        subscriptions_.revive(session);
}

// Called when the request is there and when the socket is writable, as the answer may come late and
// may take more than one write. At the end only our side is shut: see HttpSession::on_drained().
void Server::answer(Connection &connection) {
    const Answer *answer = std::get_if<Answer>(&connection.route);
    if (!answer || connection.is_shut)
        return;
    if (!std::exchange(connection.is_answered, true)) {
        lws_set_timeout(connection.wsi, PENDING_TIMEOUT_HTTP_CONTENT, kAnswerSeconds);
        std::string text = render(*answer, connection.with_body);
        if (lws_write(connection.wsi, reinterpret_cast<unsigned char *>(text.data()), text.size(),
                      LWS_WRITE_RAW) < 0)
            return lws_set_timeout(connection.wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
    }
    bool is_written = !lws_partial_buffered(connection.wsi);
    lws_rx_flow_control(connection.wsi, is_written); // see HttpSession::on_stuck()
    if (!is_written) {
        lws_callback_on_writable(connection.wsi);
        return;
    }
    connection.is_shut = true;
    shutdown(lws_get_socket_fd(connection.wsi), SHUT_WR);
    lws_set_timeout(connection.wsi, PENDING_TIMEOUT_CLOSE_SEND, kGoodbyeSeconds);
}

// ---- sessions ----

std::unique_ptr<Session> Server::make_session(Connection &connection, Join &join) {
    Client client{connection.wsi, ++last_client_, connection.address, settings_};
    switch (join.as) {
    case Join::As::websocket:
        return std::make_unique<WebSocket>(std::move(client));
    case Join::As::multiplexed:
        return std::make_unique<MultiplexedWebSocket>(std::move(client), subscriptions_, hub_);
    case Join::As::event_stream:
        return std::make_unique<EventStream>(std::move(client), std::move(join.headers));
    case Join::As::snapshot:
        return std::make_unique<Snapshot>(std::move(client), std::move(join.headers),
                                          connection.with_body, std::move(join.if_none_match));
    }
    return nullptr;
}

void Server::open_session(Connection &connection) {
    Join &join = std::get<Join>(connection.route);
    connection.session = make_session(connection, join);
    Session &session = *connection.session;
    keepalive_of(connection).add(session);
    sessions_.emplace(session.id(), &session);
    hub_.send(link::ClientConnected{session.id(), session.address(),
                                    static_cast<uint32_t>(sessions_.size())});
    if (join.as != Join::As::multiplexed)
        subscriptions_.open(session, std::move(join.topic), std::move(join.since), "");
}

void Server::close_session(Connection &connection) {
    Session &session = *connection.session;
    session.on_closed();
    subscriptions_.close_all(session);
    keepalive_of(connection).remove(session);
    sessions_.erase(session.id());
    if (session.dropped() > 0)
        hub_.send(link::Note{"client " + session.address() + " read slowly and skipped " +
                             std::to_string(session.dropped()) + " messages"});
    hub_.send(link::ClientDisconnected{session.id(), session.address(), session.close_code(),
                                       session.close_reason(),
                                       static_cast<uint32_t>(sessions_.size())});
    connection.session.reset();
    finish_if_done();
}

Keepalive &Server::keepalive_of(const Connection &connection) {
    bool is_answered_once = std::get<Join>(connection.route).as == Join::As::snapshot;
    return is_answered_once ? deadlines_ : keepalive_;
}

void Server::receive(WebSocket &socket, std::string_view bytes) {
    if (socket.is_closing())
        return;
    keepalive_.saw_life(socket);
    if (socket.accept_data(bytes.size()))
        return socket.on_data(bytes);
    subscriptions_.end(socket, CloseCode::too_big,
                       "a message may have at most " +
                           std::to_string(settings_.max_client_message_bytes) + " bytes");
}

int Server::peer_closes(WebSocket &socket, std::string_view payload) {
    if (socket.is_closing())
        return -1; // the answer to our close frame: done
    constexpr uint16_t kNoCode = 1005;
    uint16_t code = kNoCode;
    if (payload.size() >= 2)
        code = static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                                     static_cast<uint8_t>(payload[1]));
    bool may_be_sent = payload.size() != 1 && (payload.empty() || is_sendable_close_code(code));
    if (may_be_sent)
        socket.on_peer_close(code, payload.substr(payload.size() >= 2 ? 2 : payload.size()));
    else
        socket.close(CloseCode::protocol_error, "a close frame must have a code that may be sent");
    subscriptions_.close_all(socket);
    return may_be_sent ? 0 : -1; // 0: lws answers the frame with the same
}

void Server::handle(const link::Published &published) {
    auto found = sessions_.find(published.client);
    if (found != sessions_.end())
        found->second->on_published(published);
}

// ---- the end ----

void Server::shut_down(CloseCode code, const std::string &reason, std::function<void()> done) {
    if (done_)
        return;
    done_ = std::move(done);
    report_refusals();
    listener_.stop();
    arrivals_.clear();
    for (auto &[client, session] : sessions_)
        subscriptions_.end(*session, code, reason);
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
