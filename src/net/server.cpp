#include "net/server.h"

#include "net/lws_log.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

namespace rtd::net {

namespace {

constexpr size_t kReceiveBytes = 1024; // buffer per client: clients send next to nothing
constexpr uint64_t kShutdownDeadlineMs = 1000;
constexpr unsigned kLwsTimeoutSeconds = 20; // for an answer: longer than /readyz may take

// What lws is told instead of the client's own request, see core/http_request.h.
constexpr std::string_view kPlainHead = "GET / HTTP/1.1\r\nHost: rtd\r\nConnection: close\r\n\r\n";
std::string upgrade_head(const HttpRequest &request) {
    return "GET / HTTP/1.1\r\nHost: rtd\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
           request.websocket_key + "\r\n\r\n";
}

Connection *connection_of(lws *wsi) {
    return static_cast<Connection *>(lws_get_opaque_user_data(wsi));
}

} // namespace

Server::Server(uv_loop_t *loop, Hub &hub)
    : loop_(loop), hub_(hub),
      listener_(loop,
                [this](Fd fd, const Address &address) { arrivals_.add(std::move(fd), address); }),
      arrivals_(loop,
                [this](Fd fd, const Address &address, const Result<HttpRequest> &request) {
                    on_request(std::move(fd), address, request);
                }),
      keepalive_(
          loop, [](Session &session) { session.ping(); },
          [](Session &session) { session.kill("the client did not answer a ping"); }),
      readiness_(loop, hub) {
    uv_timer_init(loop_, shutdown_deadline_.get());
    shutdown_deadline_->data = this;
    create_context();
}

// The context is left to the exiting process: with a foreign loop lws 4.1 can only be destroyed in
// several turns of that loop, and there is nothing in it to save.
Server::~Server() = default;

void Server::create_context() {
    static const lws_protocols protocols[] = {
        // The last number lets a whole frame go out in one write.
        {"rtd", on_lws, 0, kReceiveBytes, 0, nullptr, kFragmentBytes + kLongHeaderBytes},
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
    info.timeout_secs = kLwsTimeoutSeconds;
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
    keepalive_.set_interval(settings.ping_interval_ms);
}

// ---- connections ----

void Server::on_request(Fd fd, const Address &address, const Result<HttpRequest> &request) {
    auto connection = std::make_unique<Connection>();
    connection->address = to_string(address);
    connection->route =
        route(request, {settings_.allowed_origins, sessions_.size() >= settings_.max_clients});
    connection->with_body = !request || request->method != "HEAD";
    bool upgrades = std::holds_alternative<TopicPath>(connection->route);
    adopt(std::move(fd), std::move(connection),
          upgrades ? upgrade_head(*request) : std::string(kPlainHead));
}

void Server::adopt(Fd fd, std::unique_ptr<Connection> connection, const std::string &head) {
    adopting_ = std::move(connection);
    // lws closes the socket if it fails; a null result may also mean that it is answered and gone.
    lws_adopt_socket_vhost_readbuf(vhost_, fd.release(), head.data(), head.size());
    adopting_.reset();
}

int Server::on_lws(lws *wsi, lws_callback_reasons reason, void *, void *in, size_t size) noexcept {
    auto *server = static_cast<Server *>(lws_context_user(lws_get_context(wsi)));
    if (reason == LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED) {
        server->adopting_->wsi = wsi;
        lws_set_opaque_user_data(wsi, server->adopting_.release());
        return 0;
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
            connection->session->close(static_cast<uint16_t>(CloseCode::internal_error),
                                       meaning(CloseCode::internal_error));
        return connection->session ? 0 : -1;
    }
}

int Server::dispatch(lws *wsi, Connection &connection, lws_callback_reasons reason,
                     std::string_view bytes) {
    Session *session = connection.session.get();
    switch (static_cast<int>(reason)) { // of some hundred reasons, these are ours
    case LWS_CALLBACK_HTTP:
        if (std::holds_alternative<AskReadiness>(connection.route))
            readiness_.ask(connection);
        return answer(connection);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return answer(connection);
    case LWS_CALLBACK_ESTABLISHED:
        open_session(connection);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        keepalive_.saw_life(*session);
        session->on_writable();
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return receive(*session, bytes);
    case LWS_CALLBACK_RECEIVE_PONG:
        keepalive_.saw_life(*session);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return peer_closes(*session, bytes);
    case LWS_CALLBACK_CLOSED:
        if (session)
            close_session(connection);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        readiness_.forget(connection);
        lws_set_opaque_user_data(wsi, nullptr);
        delete &connection;
        return 0;
    }
    return 0;
}

// Called when the request is there and when the socket is writable, as the answer may come late.
int Server::answer(Connection &connection) {
    const Answer *answer = std::get_if<Answer>(&connection.route);
    if (!answer || connection.is_answered)
        return 0;
    connection.is_answered = true;
    std::string text = render(*answer, connection.with_body);
    if (lws_write(connection.wsi, reinterpret_cast<unsigned char *>(text.data()), text.size(),
                  LWS_WRITE_HTTP) < 0)
        return -1;
    return lws_http_transaction_completed(connection.wsi) ? -1 : 0;
}

// ---- sessions ----

void Server::open_session(Connection &connection) {
    connection.session =
        std::make_unique<Session>(connection.wsi, ++last_client_, connection.address,
                                  std::get<TopicPath>(std::move(connection.route)));
    Session &session = *connection.session;
    keepalive_.add(session);
    sessions_.emplace(session.client, &session);
    session.subscription = ++last_subscription_;
    subscriptions_.emplace(session.subscription, &session);
    hub_.send(link::ClientConnected{session.client, session.address,
                                    static_cast<uint32_t>(sessions_.size())});
    hub_.send(link::Subscribe{session.subscription, session.client, session.topic.topic,
                              session.topic.params, session.topic.since});
}

void Server::close_session(Connection &connection) {
    Session &session = *connection.session;
    session.on_closed();
    unsubscribe(session);
    keepalive_.remove(session);
    sessions_.erase(session.client);
    if (session.dropped() > 0)
        hub_.send(link::Note{"client " + session.address + " read slowly and skipped " +
                             std::to_string(session.dropped()) + " messages"});
    hub_.send(link::ClientDisconnected{session.client, session.address, session.close_code(),
                                       session.close_reason(),
                                       static_cast<uint32_t>(sessions_.size())});
    connection.session.reset();
    finish_if_done();
}

// Data from the client has no meaning on /ws/<topic>; it only has to keep within its limit.
int Server::receive(Session &session, std::string_view bytes) {
    if (session.is_closing())
        return 0;
    keepalive_.saw_life(session);
    if (!session.accept_data(bytes.size(), settings_.max_client_message_bytes))
        end(session, CloseCode::too_big,
            "a message may have at most " + std::to_string(settings_.max_client_message_bytes) +
                " bytes");
    return 0;
}

int Server::peer_closes(Session &session, std::string_view payload) {
    if (session.is_closing())
        return -1; // the answer to our close frame: done
    constexpr uint16_t kNoCode = 1005;
    uint16_t code = kNoCode;
    if (payload.size() >= 2)
        code = static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                                     static_cast<uint8_t>(payload[1]));
    session.on_peer_close(code, payload.substr(payload.size() >= 2 ? 2 : payload.size()));
    unsubscribe(session);
    return 0; // lws answers the frame
}

void Server::end(Session &session, CloseCode code, std::string_view reason) {
    session.close(static_cast<uint16_t>(code), reason);
    unsubscribe(session);
}

void Server::unsubscribe(Session &session) {
    if (session.subscription == 0)
        return;
    hub_.send(link::Unsubscribe{session.subscription});
    detach(session);
}

// Ends the subscription on this side.
void Server::detach(Session &session) {
    subscriptions_.erase(session.subscription);
    session.subscription = 0;
    if (!session.instance)
        return;
    auto found = instances_.find(*std::exchange(session.instance, std::nullopt));
    Instance &instance = found->second;
    instance.roster(session.audience).remove(session);
    if (instance.live.empty() && instance.waiting.empty())
        instances_.erase(found);
}

// ---- frames of the hub ----

void Server::handle(const link::Subscribed &subscribed) {
    auto found = subscriptions_.find(subscribed.subscription);
    if (found == subscriptions_.end() || found->second->instance)
        return; // the client went away meanwhile, and Unsubscribe is on its way
    Session &session = *found->second;
    session.instance = subscribed.instance;
    session.kind = subscribed.kind;
    session.audience = subscribed.awaits_first ? link::Audience::waiting : link::Audience::live;
    instances_[subscribed.instance].roster(session.audience).add(session);
}

void Server::handle(const link::Ended &ended) {
    auto found = subscriptions_.find(ended.subscription);
    if (found == subscriptions_.end())
        return;
    Session &session = *found->second;
    detach(session); // the hub knows: no Unsubscribe
    session.close(static_cast<uint16_t>(ended.code), ended.reason);
}

void Server::handle(const link::Message &message) {
    auto found = instances_.find(message.instance);
    if (found == instances_.end())
        return;
    // `end` of a client that is too slow may remove the instance: only the roster in hand is used,
    // and a roster does not become empty before its walk is over.
    Instance &instance = found->second;
    auto framed = std::make_shared<const WsMessage>(message.body);
    if (message.audience == link::Audience::live) {
        instance.live.for_each([&](Session &session) { deliver(session, framed); });
        return;
    }
    instance.waiting.for_each([&](Session &session) {
        instance.waiting.remove(session);
        session.audience = link::Audience::live;
        instance.live.add(session);
        deliver(session, framed);
    });
}

void Server::handle(const link::Replayed &replayed) {
    auto found = subscriptions_.find(replayed.subscription);
    if (found != subscriptions_.end())
        deliver(*found->second, std::make_shared<const WsMessage>(replayed.body));
}

void Server::deliver(Session &session, const SendQueue::MessagePtr &message) {
    if (!session.deliver(message, settings_.client_buffer_bytes))
        end(session, CloseCode::too_slow, meaning(CloseCode::too_slow));
}

// ---- the end ----

void Server::shut_down(CloseCode code, const std::string &reason, std::function<void()> done) {
    if (done_)
        return;
    done_ = std::move(done);
    listener_.stop();
    arrivals_.clear();
    for (auto &[client, session] : sessions_)
        end(*session, code, reason);
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
