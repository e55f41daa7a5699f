// Server: the port and the clients. It runs in the gateway process on one libuv loop and owns
// everything of libwebsockets. A connection's way: Listener accepts it, Arrivals reads its request,
// route() decides. A WebSocket is adopted by lws together with a head of our making, which lws
// upgrades; everything else is a raw socket to lws, and what is written to it is ours. A client of
// topics, of whatever kind, is a Session, which subscribes at the hub.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "net/arrival.h"
#include "net/connection.h"
#include "net/hub.h"
#include "net/keepalive.h"
#include "net/listener.h"
#include "net/readiness.h"
#include "net/refusals.h"
#include "net/subscriptions.h"
#include "net/websocket.h"

#include <functional>
#include <libwebsockets.h>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace rtd::net {

class Server {
  public:
    Server(uv_loop_t *loop, Hub &hub);
    ~Server();

    // The first settings: listens, or says why not.
    std::optional<ListenFailure> start(const link::Settings &settings);
    std::vector<std::string> addresses() const { return listener_.addresses(); }

    // Later settings: new limits count from now on. What cannot be changed is noted to the hub, and
    // stays as it was.
    void reload(const link::Settings &settings);

    template <class Frame> void handle(const Frame &frame) { subscriptions_.handle(frame); }
    void handle(const link::Published &published);
    void handle(const link::Probed &probed) { readiness_.answered(probed); }

    // Accepts nobody any more and closes every client; `done` is called once all are gone, or after
    // a second. A second call does nothing.
    void shut_down(CloseCode code, const std::string &reason, std::function<void()> done);

  private:
    void create_context();
    void apply_limits(const link::Settings &settings);
    void on_accept(Fd fd, const Address &address);
    void on_request(Arrivals::Guest guest, const Result<HttpRequest> &request);
    void turn_away(Fd fd, const Address &address, Refusal refusal);
    void count_refusal(Refusal refusal, const Address &address);
    void report_refusals();
    void adopt_websocket(Fd fd, std::unique_ptr<Connection> connection, const std::string &head);
    void adopt_raw(Fd fd, std::unique_ptr<Connection> connection);

    // The shim that libwebsockets calls, and what it calls with a connection found.
    static int on_lws(lws *wsi, lws_callback_reasons reason, void *user, void *in,
                      size_t size) noexcept;
    int dispatch(lws *wsi, Connection &connection, lws_callback_reasons reason,
                 std::string_view bytes);
    void on_writable(Connection &connection);
    void answer(Connection &connection);
    void open_session(Connection &connection);
    std::unique_ptr<Session> make_session(Connection &connection, Join &join);
    void close_session(Connection &connection);
    Keepalive &keepalive_of(const Connection &connection);
    void receive(WebSocket &socket, std::string_view bytes);
    int peer_closes(WebSocket &socket, std::string_view payload);
    void finish_if_done();

    uv_loop_t *loop_;
    Hub &hub_;
    link::Settings settings_;
    Admission admission_;
    Refusals refusals_;
    UvHandle<uv_timer_t> refusals_due_; // runs while there are some to tell
    Listener listener_;
    Arrivals arrivals_;
    Keepalive keepalive_;
    Keepalive deadlines_; // of requests that are answered once
    Readiness readiness_;

    lws_context *context_ = nullptr;
    lws_vhost *vhost_ = nullptr;
    std::unique_ptr<Connection> adopting_; // on its way into lws

    uint64_t last_client_ = 0;
    std::unordered_map<uint64_t, Session *> sessions_; // by client
    Subscriptions subscriptions_;

    std::function<void()> done_; // set: shutting down
    UvHandle<uv_timer_t> shutdown_deadline_;
};

} // namespace rtd::net
