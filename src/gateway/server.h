// Server: the port and the clients. It runs in the gateway process on one libuv loop. A
// connection's way: Listener accepts it, an Arrival reads its request, route() decides, and its
// socket goes on to a Reply, or to a Session, which subscribes at the hub.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "gateway/admission/admission.h"
#include "gateway/route.h"
#include "gateway/session/arrival.h"
#include "gateway/session/environment.h"
#include "gateway/session/hub.h"
#include "gateway/session/readiness.h"
#include "gateway/session/session.h"
#include "gateway/session/subscriptions.h"
#include "gateway/transport/listener.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace rtd::net {

class Server final : ArrivalOwner, SessionOwner {
  public:
    Server(uv_loop_t *loop, Hub &hub);

    // Takes up what `settings` say of TLS, for clients who come from now on, and wipes the key. If
    // it cannot be used, that is the result, and nothing has changed.
    std::optional<std::string> load_tls(link::Settings &settings);
    // The first settings: listens, or says why not.
    std::optional<ListenFailure> start(const link::Settings &settings);
    std::vector<std::string> addresses() const { return listener_.addresses(); }

    // Later settings: new limits count from now on. TLS that cannot be used is told to the hub, and
    // stays as it was; so does where to listen, which is the hub's to change with other gateways.
    void reload(link::Settings settings);

    template <class Frame> void handle(Frame &frame) { subscriptions_.handle(frame); }
    void handle(link::Published &published);
    void handle(link::Probed &probed) { readiness_.answered(probed); }
    // The link has been read; what came is for the clients.
    void end_of_frames();
    // The link to the hub is congested no more.
    void link_has_room() { environment_.connections.read_again(); }

    // Accepts nobody any more and closes every client; `done` is called once all are gone, or after
    // a second. A second call does nothing.
    void shut_down(CloseCode code, const std::string &reason, std::function<void()> done);

  private:
    void apply_limits(const link::Settings &settings);
    void on_accept(Fd fd, const Address &address);
    void turn_away(AdmittedSocket socket, const Address &address, Refusal refusal);
    void on_request(Arrival &arrival, const HttpRequest &request,
                    std::string_view what_follows) override;
    void on_bad_request(Arrival &arrival, RefusalReason reason,
                        const std::string &sentence) override;
    void on_slow_request(Arrival &arrival) override;
    void answer(Arrival &arrival, const Answer &answer, bool with_body);
    void on_tls_failure(Arrival &arrival, const std::string &reason) override;
    void open_session(Arrival &arrival, Join &join, bool with_body, std::string_view what_follows);
    std::unique_ptr<Session> make_session(AdmittedSocket socket, Client client, Join &join,
                                          bool with_body);
    void on_session_gone(Session &session) override;
    void finish_if_done();
    void give_memory_back_later();
    void on_all_written();

    Hub &hub_;
    Admission admission_;
    AllowedOrigins allowed_origins_;
    Environment environment_;
    std::optional<TlsContext> tls_; // unset: plain text
    Subscriptions subscriptions_;
    Readiness readiness_;
    Listener listener_;

    size_t round_bytes_ = 0; // of messages, since everybody had been written everything
    uint64_t last_client_ = 0;
    std::unordered_map<uint64_t, Session *> sessions_; // by client
    size_t ended_sessions_ = 0;                        // since memory was given back
    UvHandle<uv_timer_t> giving_back_;

    std::function<void()> done_; // set: shutting down
    UvHandle<uv_timer_t> shutdown_deadline_;
};

} // namespace rtd::net
