// The link: the frames that hub and gateway exchange over one stream (today a socketpair).
//
// A frame is a 32-bit little-endian length of what follows, an 8-bit type, and the fields in the
// encoding of core/bytes.h. The hub speaks first, with Settings, whose version both must share.
// Frames are handled in the order they were sent; the gateway attaches a subscription to its
// instance when it reads Subscribed, so no later Message can miss it and no earlier one reach it.
//
// First messages: a subscription whose Subscribed says `awaits_first` gets nothing until a Message
// for the audience `waiting` of its instance comes; from then on it belongs to the audience `live`.
// A subscription that resumes is live at once, and gets what it missed in Replayed frames, which
// come before the next Message. One that resumes from a table may also wait while it gets them, and
// one that comes meanwhile is live at once and gets its first message as Replayed.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rtd::link {

inline constexpr uint32_t kVersion = 6;
// Largest frame: the largest message plus its envelope and frame fields, with room to spare.
inline constexpr uint32_t kMaxFrameBytes = 1u << 30;
// The same from a gateway, of which the largest frame has a client's message.
inline constexpr uint32_t kMaxGatewayFrameBytes = 64u << 20;

enum class TopicKind : uint8_t { event, state, keyed };
enum class Audience : uint8_t { waiting, live };
// Whose the port is: this gateway's alone; this one's until it listens, then others join it; or
// already that of others, which it joins.
enum class PortUse : uint8_t { alone, first, joined };
enum class TlsVersion : uint8_t { v1_2, v1_3 };

// ---- hub to gateway ----

// Everything the gateway is told of the server's settings. Sent first, and again after a reload,
// but where to listen counts only once: for another place the hub starts other gateways.
struct Settings {
    uint32_t version = kVersion;
    std::string listen_addresses; // comma-separated host names or addresses; "*" for all
    uint16_t port = 0;
    uint32_t max_clients = 0;              // of this gateway
    uint32_t max_client_message_bytes = 0; // what a client may send in one message
    uint32_t client_message_rate = 0;      // messages a client may send per second; 0: any
    uint32_t max_subscriptions_per_client = 0;
    uint64_t client_buffer_bytes = 0;         // what may wait for one client
    uint32_t ping_interval_ms = 0;            // 0: never
    std::vector<std::string> allowed_origins; // besides the gateway's own; "*" for any
    PortUse port_use = PortUse::alone;
    bool tls = false;            // clients speak TLS
    std::string tls_certificate; // with its chain, as PEM text
    std::string tls_key;         // as PEM text; the gateway wipes it once it is read
    std::string tls_problem;     // why the hub has neither: then nothing of TLS changes
    TlsVersion tls_min_version = TlsVersion::v1_2;
    uint32_t max_clients_per_address = 0; // connections of any kind; 0: any number
    uint32_t connection_rate = 0;         // new connections per second and address; 0: any
    bool compression = false;             // permessage-deflate, for clients that offer it
};

struct Subscribed { // answers Subscribe
    uint64_t subscription = 0;
    uint64_t instance = 0;
    TopicKind kind = TopicKind::event;
    bool awaits_first = false;
    bool recovered = false;               // it resumes: everything since the id it named follows
    bool first_follows = false;           // it is live, and its first message comes as Replayed
    std::vector<std::string> params = {}; // as its messages have them; none: as asked for
};

struct Ended { // refuses a Subscribe, or ends a subscription later
    uint64_t subscription = 0;
    CloseCode code = CloseCode::internal_error;
    std::string reason; // a sentence; the gateway shortens it to the 123 bytes a close frame holds
};

struct Message {
    uint64_t instance = 0;
    Audience audience = Audience::live;
    std::string body; // the whole envelope as JSON text
    std::string id;   // the one in the body
};

struct Replayed { // a message that one subscription missed
    uint64_t subscription = 0;
    std::string body;
    std::string id;
};

// A control message for the live subscribers of an instance who take such messages.
struct Control {
    uint64_t instance = 0;
    std::string body; // the whole envelope, without an id
};

// Ends the live subscriptions of an instance whose sessions take no control messages: they cannot
// be told otherwise that what they have is not current.
struct EndUntold {
    uint64_t instance = 0;
    CloseCode code = CloseCode::internal_error;
    std::string reason; // a sentence
};

struct Published { // answers Publish
    uint64_t client = 0;
    uint64_t request = 0;
    uint64_t subscribers = 0; // as rtd_broadcast() returns it
    bool is_refused = false;  // then code and reason say why
    CloseCode code = CloseCode::internal_error;
    std::string reason; // a sentence
};

struct Probed { // answers Probe: an event really travelled through queue, LISTEN and link
    uint64_t probe = 0;
    bool ready = false;
    std::string detail; // a sentence
};

struct Ping { // asks for Pong: the last leg of a probe
    uint64_t probe = 0;
};

struct Shutdown { // close every client with this, then exit
    CloseCode code = CloseCode::going_away;
    std::string reason;
};

// ---- gateway to hub ----

struct Listening {                      // the port is bound; sent once after the first Settings
    std::vector<std::string> addresses; // "127.0.0.1:8787", "[::1]:8787"
};

struct ListenFailed { // followed by the gateway's exit
    std::string address;
    std::string error; // as strerror() or gai_strerror() says it
};

struct TlsFailed {        // the certificate and key of the Settings cannot be used
    std::string problem;  // a sentence
    bool goes_on = false; // as before these Settings; otherwise the gateway's exit follows
};

struct ClientConnected {
    uint64_t client = 0; // unique for the life of this gateway process
    std::string address; // "127.0.0.1:51234"
    uint32_t total = 0;  // clients now connected
};

struct ClientDisconnected {
    uint64_t client = 0;
    std::string address;
    uint16_t code = 0; // close code; 1006 where there was no close frame
    std::string reason;
    uint32_t remaining = 0;
};

struct Subscribe {
    uint64_t subscription = 0; // chosen by the gateway, unique for its life
    uint64_t client = 0;
    std::string topic;
    std::vector<std::string> params;
    std::string since; // id of the last message the client has; empty: none
};

struct Unsubscribe {
    uint64_t subscription = 0;
};

struct Publish { // rtd_broadcast(), as the client's role
    uint64_t client = 0;
    uint64_t request = 0; // chosen by the gateway, unique for the client
    std::string topic;
    std::vector<std::string> params;
    std::string data; // JSON text, as the client wrote it
    std::string type; // empty: the topic's own
};

struct Probe {
    uint64_t probe = 0; // chosen by the gateway
};

struct Pong {
    uint64_t probe = 0;
};

struct Note { // a line for the server's log that has no frame of its own
    std::string text;
};

using HubFrame = std::variant<Settings, Subscribed, Ended, Message, Replayed, Probed, Ping,
                              Shutdown, Control, Published, EndUntold>;
using GatewayFrame = std::variant<Listening, ListenFailed, ClientConnected, ClientDisconnected,
                                  Subscribe, Unsubscribe, Probe, Pong, Note, Publish, TlsFailed>;

// The whole frame, length and type included, ready to be written to the stream.
std::string encode(const HubFrame &frame);
std::string encode(const GatewayFrame &frame);

// Collects the bytes of a stream and yields its frames. A malformed frame is fatal for the link:
// after an error the reader must not be used again.
template <class Frame> class FrameReader {
  public:
    void append(std::string_view bytes) { buffer_.append(bytes); }
    // The next whole frame, nullopt if more bytes are needed, or why the stream is broken.
    Result<std::optional<Frame>> next();
    // What it has memory for. What a large frame took is given back once the frame is taken.
    size_t capacity() const { return buffer_.capacity(); }

  private:
    std::string buffer_;
    size_t consumed_ = 0;
};

extern template class FrameReader<HubFrame>;
extern template class FrameReader<GatewayFrame>;

} // namespace rtd::link
